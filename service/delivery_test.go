package service

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/output"
)

// picky is an output that refuses one record, as its own contract has it.
type picky struct {
	refuses int64
	took    []int64
}

func (p *picky) Name() string { return "picky" }
func (p *picky) Close() error { return nil }

func (p *picky) Send(_ context.Context, entries []output.Entry) error {
	for _, e := range entries {
		if e.Seq == p.refuses {
			return &output.RefusedError{Seq: e.Seq, Err: errors.New("no")}
		}
		p.took = append(p.took, e.Seq)
	}
	return nil
}

// TestRefused: a record that an output will never take holds up none after it, and those
// before it are not sent again.
func TestRefused(t *testing.T) {
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for i := range 4 {
		r := journal.Record{ID: fmt.Sprint(i), Time: time.Unix(int64(i), 0), Boot: "b", Kind: journal.KindLost, Body: []byte(`{}`)}
		if _, err := j.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	p := &picky{refuses: 2}
	d := &delivery{output: p, journal: j, log: zerolog.Nop()}
	for {
		n, err := d.pass(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if !slices.Equal(p.took, []int64{1, 3, 4}) {
		t.Errorf("took %v", p.took)
	}
	if at, err := j.Cursor(t.Context(), "picky"); err != nil || at != 4 {
		t.Errorf("at %d, %v", at, err)
	}
}
