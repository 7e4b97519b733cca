package record

import "github.com/kmodtrace/kmodtrace/internal/jsonline"

// Parse reads a record as watch --json prints it, and as a journal keeps it in its body: one of
// this release, or of an earlier one.
func Parse(text []byte) (*Record, error) {
	a := new(Record)
	if err := jsonline.Unmarshal(text, a); err != nil {
		return nil, err
	}
	a.readReports() // releases before did not keep them
	return a, nil
}
