package fleet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/kmodtrace/kmodtrace/journal"
)

// lines are a file of JSON, one object on each line.
type lines struct {
	name string
	from io.Reader // in place of the file
}

// maxLine is more than a record and its body can take, with escapes.
const maxLine = 32 << 20

func (s lines) records(ctx context.Context, q query) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		from := s.from
		if from == nil {
			f, err := os.Open(s.name)
			if err != nil {
				yield(nil, err)
				return
			}
			defer f.Close()
			from = f
		}
		for r, err := range readLines(ctx, from) {
			if err == nil && !q.has(r) {
				continue
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// readLines yields the records of lines. Lines of something else than records are an error: who
// asks whether something is missing must not be told that all is there because nothing could be
// read.
func readLines(ctx context.Context, from io.Reader) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		in := bufio.NewScanner(from)
		in.Buffer(make([]byte, 0, 64<<10), maxLine)
		n := 0
		for in.Scan() {
			if n++; n%1024 == 0 && ctx.Err() != nil {
				break
			}
			line := bytes.TrimSpace(in.Bytes())
			if len(line) == 0 {
				continue
			}
			all, err := parseLine(line)
			if err != nil {
				yield(nil, fmt.Errorf("line %d: %w", n, err))
				return
			}
			for _, r := range all {
				if !yield(r, nil) {
					return
				}
			}
		}
		if err := errors.Join(in.Err(), ctx.Err()); err != nil {
			yield(nil, fmt.Errorf("after line %d: %w", n, err))
		}
	}
}

// line is all that a line may have: a record as an output writes it, or as VictoriaLogs gives it,
// or a request of OTLP with many.
type line struct {
	journal.Document
	Host *struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Kernel string `json:"kernel"`
	} `json:"host"`
	Chain *journal.Chained `json:"chain"`

	ResourceLogs []resourceLogs `json:"resourceLogs"`
}

func parseLine(text []byte) ([]*Record, error) {
	if flat := bytes.Contains(text, []byte(`"kmodtrace.seq":`)); flat {
		var fields map[string]string
		if err := json.Unmarshal(text, &fields); err == nil {
			r, err := fieldsRecord(fields)
			return []*Record{r}, err
		}
	}
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, fmt.Errorf("not a record: %w", err)
	}
	if l.ResourceLogs != nil {
		return otlpRecords(l.ResourceLogs)
	}
	if l.Chain == nil {
		if l.Seq == 0 || l.Kind == "" {
			return nil, errors.New("not a record of kmodtrace")
		}
		return nil, fmt.Errorf("record %d does not say which journal it is of: kmodtrace serve of an earlier release wrote it, or history --json", l.Seq)
	}
	r := chainedRecord(l.Chain, l.Body())
	if l.Host != nil {
		r.Host = Host{ID: l.Host.ID, Name: l.Host.Name, Kernel: l.Host.Kernel}
	}
	if r.Changed == "" && (l.Seq != r.Seq || l.Hash != r.Hash || l.Kind != r.Kind || !l.Time.Equal(r.Time)) {
		r.Changed = fmt.Sprintf("record %d has other facts than those that its hash is over", r.Seq)
	}
	return []*Record{r}, nil
}

// chainedRecord is a record with whether it has its hash.
func chainedRecord(c *journal.Chained, body []byte) *Record {
	r := &Record{Record: c.Record(body), Journal: c.Journal}
	if err := r.Intact(c.Journal); err != nil {
		r.Changed = err.Error()
	}
	return r
}
