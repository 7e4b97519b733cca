package term

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// JSONLine gives v as one line. What would steer a terminal is escaped also
// beyond the control characters that JSON forbids: a file's name may hold C1
// controls or marks that turn the direction of text.
func JSONLine(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	return append(cells.EscapeJSON(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), '\n'), nil
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
