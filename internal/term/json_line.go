package term

import (
	"io"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/jsonline"
)

// JSONLine gives v as one line, with the version of its schema. What would steer a terminal is
// escaped also beyond the control characters that JSON forbids: a file's name may hold C1
// controls or marks that turn the direction of text.
func JSONLine(v any) ([]byte, error) { return appendJSONLine(nil, v) }

func appendJSONLine(to []byte, v any) ([]byte, error) {
	line, err := jsonline.Append(to, v)
	if err != nil {
		return to, err
	}
	line = append(line[:len(to)], cells.EscapeJSON(line[len(to):])...)
	return append(line, '\n'), nil
}

// PrintJSONLine prints a value as [JSONLine] gives it.
func PrintJSONLine(w io.Writer, v any) error {
	line, err := JSONLine(v)
	if err != nil {
		return err
	}
	_, err = w.Write(line)
	return OutputError(err)
}
