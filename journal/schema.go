package journal

import (
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed" // schema.sql
	"errors"
	"fmt"
	"maps"
	"slices"

	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed schema.sql
var schema1 string

//go:embed schema2.sql
var schema2 string

// applicationID marks the file as a journal ("kmod"), as file(1) and SQLite know it.
const applicationID = 0x6b6d6f64

// steps are what brings a journal from each version of its schema to the next. The
// version of a file is its PRAGMA user_version; that of an empty one is 0.
func steps() []string { return []string{schema1, schema2} }

// querier is a database, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// layout says what a file is: whose, of which version, and what is in it.
type layout struct {
	application, version int
	objects              map[string]string // the statement that made each
}

func readLayout(ctx context.Context, q querier) (l layout, err error) {
	if err := q.QueryRowContext(ctx, "PRAGMA application_id").Scan(&l.application); err != nil {
		return l, err
	}
	if err := q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&l.version); err != nil {
		return l, err
	}
	l.objects, err = readObjects(ctx, q)
	return l, err
}

func readObjects(ctx context.Context, q querier) (map[string]string, error) {
	rows, err := q.QueryContext(ctx, "SELECT type || ' ' || name || ' of ' || tbl_name, ifnull("+bounded("sql", MaxText)+", '') FROM sqlite_schema WHERE octet_length(name) < 1000 LIMIT 1000")
	if err != nil {
		return nil, asDamage(err)
	}
	defer rows.Close()
	objects := map[string]string{}
	for rows.Next() {
		var name, statement text
		if err := rows.Scan(&name, &statement); err != nil {
			return nil, corrupt("its list of tables: %v", err)
		}
		objects[string(name)] = string(statement)
	}
	return objects, asDamage(rows.Err())
}

// asDamage takes a complaint about the statements themselves for damage: they are
// right, so it is the tables that are not.
func asDamage(err error) error {
	if code, ok := resultCode(err); ok && code == sqlite3.SQLITE_ERROR {
		return corrupt("%v", err)
	}
	return err
}

// judge tells why a file with this layout cannot be used. An empty one can be, and has
// version 0.
func (l *layout) judge() error {
	_, ours := l.objects["table head of head"]
	switch {
	case len(l.objects) == 0 && l.application == 0 && l.version == 0:
		return nil
	case l.application != applicationID && ours:
		return corrupt("its mark is %#x, not %#x", uint32(l.application), uint32(applicationID))
	case l.application != applicationID:
		return ErrForeign
	case l.version > len(steps()):
		return fmt.Errorf("%w: its version is %d, and this one knows up to %d", ErrNewer, l.version, len(steps()))
	case l.version < 1:
		return corrupt("its version is %d", l.version)
	}
	return nil
}

// check tells whether the tables are those of its version, with nothing added: a
// trigger or a view could make it say anything.
func (l *layout) check(ctx context.Context) error {
	want, err := objectsOf(ctx, steps()[:l.version])
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got, ok := l.objects[name]; !ok {
			return corrupt("there is no %s in it", name)
		} else if got != want[name] {
			return corrupt("%s was altered", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.objects)) {
		if _, ok := want[name]; !ok {
			return corrupt("%s was added", name)
		}
	}
	return nil
}

// objectsOf says what the steps make of an empty file.
func objectsOf(ctx context.Context, steps []string) (map[string]string, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each would have a memory of its own
	for _, step := range steps {
		if _, err := db.ExecContext(ctx, step); err != nil {
			return nil, err
		}
	}
	return readObjects(ctx, db)
}

// migrate brings a file to the newest version, wholly or not at all.
func migrate(ctx context.Context, c *sql.Conn, from int, steps []string) (err error) {
	if from == len(steps) {
		return nil
	}
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, undo := c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			err = errors.Join(err, ignoreNoTransaction(undo))
		}
	}()
	for i := from; i < len(steps); i++ {
		if _, err := c.ExecContext(ctx, steps[i]); err != nil {
			return fmt.Errorf("bring it from version %d to %d: %w", i, i+1, err)
		}
	}
	if from == 0 {
		if err := beginChain(ctx, c); err != nil {
			return err
		}
	}
	_, err = c.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d; COMMIT", len(steps)))
	return err
}

// beginChain names a new journal: an anchor of one tells nothing about another.
func beginChain(ctx context.Context, c *sql.Conn) error {
	if _, err := c.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return err
	}
	_, err := c.ExecContext(ctx, "INSERT INTO head VALUES (1, ?, 0, ?)", rand.Text(), make([]byte, len(Sum{})))
	return err
}

// ignoreNoTransaction drops the complaint that there is nothing to roll back: SQLite
// has done it already for some errors, as a full disk.
func ignoreNoTransaction(err error) error {
	if code, ok := resultCode(err); ok && code == sqlite3.SQLITE_ERROR {
		return nil
	}
	return err
}
