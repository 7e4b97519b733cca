package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

// journalLine is a record as tests write it down. An inventory has the names of the
// modules that it found.
type journalLine struct {
	ID, Boot, Module, Action, Outcome, Cause, User, Container, File, Content string

	Time    time.Time
	Kind    journal.Kind
	UID     *uint32
	Count   int64
	Modules []string
	Body    json.RawMessage
}

func (l *journalLine) record(n int) journal.Record {
	r := journal.Record{
		ID: l.ID, Time: l.Time, Boot: l.Boot, Kind: l.Kind, Module: l.Module, Action: l.Action, Outcome: l.Outcome, Cause: l.Cause,
		User: l.User, Container: l.Container, File: l.File, Content: l.Content, UID: l.UID, Count: l.Count, Body: l.Body,
	}
	if r.ID == "" {
		r.ID = fmt.Sprintf("%.8s-%d-7", r.Boot, 1_000_000+n)
	}
	if len(l.Body) > 0 && l.Body[0] == '"' { // what is no JSON object is written as a text
		var text string
		if json.Unmarshal(l.Body, &text) == nil {
			r.Body = []byte(text)
		}
	}
	return r
}

// makeJournal makes a journal of lines. One without a time or a boot has that of the
// line before.
func makeJournal(path, lines string) error {
	j, err := journal.Open(path, nil)
	if err != nil {
		return err
	}
	last := journalLine{}
	n := 0
	for text := range strings.Lines(lines) {
		if n++; strings.TrimSpace(text) == "" {
			continue
		}
		l := journalLine{Time: last.Time, Boot: last.Boot, Kind: journal.KindAction}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if err := appendLine(j, &l, n); err != nil {
			return err
		}
		last = l
	}
	return errors.Join(j.Close())
}

func appendLine(j *journal.Journal, l *journalLine, n int) error {
	ctx := context.Background()
	if l.Kind != journal.KindInventory {
		_, err := j.Append(ctx, l.record(n))
		return err
	}
	var found []journal.Record
	for _, name := range l.Modules {
		found = append(found, journal.Record{
			ID: fmt.Sprintf("%.8s-%d-present-%s", l.Boot, n, name), Time: l.Time, Boot: l.Boot, Module: name,
			Body: []byte(`{"text":"is loaded"}`),
		})
	}
	_, err := j.AppendInventory(ctx, l.record(n), found)
	return err
}
