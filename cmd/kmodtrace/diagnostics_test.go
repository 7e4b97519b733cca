package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// Errors too follow --log: they have their exit status, and one object is one line.
func TestLogJSON(t *testing.T) {
	for _, args := range [][]string{
		{"--log", "json", "nosuchcommand"},
		{"watch", "--log=json", "--count", "-1"},
		{"info", "--log=json", "/nosuch.ko"},
	} {
		var out, errs bytes.Buffer
		status := run(args, nil, &out, &errs)
		var said struct {
			Level, Message string
			Status         int
		}
		if err := json.Unmarshal(errs.Bytes(), &said); err != nil {
			t.Errorf("%q: %v\n%s", args, err, errs.Bytes())
		}
		if said.Level != "error" || said.Message == "" || said.Status != status || status == exitOK {
			t.Errorf("%q: status %d, said %s", args, status, errs.Bytes())
		}
	}
}

func TestLogFormatRefused(t *testing.T) {
	var out, errs bytes.Buffer
	if status := run([]string{"list", "--log", "xml"}, nil, &out, &errs); status != exitUsage {
		t.Errorf("status %d: %s", status, errs.Bytes())
	}
}
