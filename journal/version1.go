package journal

import (
	"context"
	"database/sql"
	"strings"
)

// version1 asks a journal of version 1, which is only read, what is asked in the words of
// the newest: it has no classes, no packed bodies and fewer kinds.
type version1 struct{ querier }

func inVersion1(question string) string {
	return strings.NewReplacer(
		", class, form, ", ", 0, 0, ",
		isChange, "(kind = 'present' OR (kind = 'action' AND outcome IN ('live', 'unloaded')))",
		isShown, "(r.kind = 'present' OR (r.kind = 'action' AND r.action <> 'request'))",
	).Replace(question)
}

func (v version1) QueryContext(ctx context.Context, question string, args ...any) (*sql.Rows, error) {
	return v.querier.QueryContext(ctx, inVersion1(question), args...)
}

func (v version1) QueryRowContext(ctx context.Context, question string, args ...any) *sql.Row {
	return v.querier.QueryRowContext(ctx, inVersion1(question), args...)
}
