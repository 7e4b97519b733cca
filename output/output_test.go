package output

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func entries() []Entry {
	return []Entry{
		{Seq: 1, ID: "b-1-1", Time: time.Unix(1, 0).UTC(), Kind: "action", Body: []byte(`{"module":"hello","x":"<&>"}`), Text: "load of hello: live"},
		{Seq: 2, ID: "b-2-stopped", Kind: "stopped", Body: []byte(`{"text":"\u001b[31m"}`), Text: "hostile \x1b[31m\n\xff"},
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.jsonl")
	o, err := Config{Type: "file", Path: path}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for range 2 {
		if err := o.Send(t.Context(), entries()); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	if len(lines) != 4 {
		t.Fatalf("%d lines:\n%s", len(lines), text)
	}
	for _, line := range lines {
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil || v["id"] == "" || v["record"] == nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if bytes.ContainsRune(text, '\x1b') || !bytes.Contains(text, []byte("<&>")) {
		t.Errorf("%q", text)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

// TestFileFails: what cannot be written is an error each time, and works again when it can.
func TestFileFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file", "records.jsonl")
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := Config{Type: "file", Path: path}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for range 2 {
		if err := o.Send(t.Context(), entries()); err == nil {
			t.Fatal("written into a folder that is none")
		}
	}
	if err := os.Remove(filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	if err := o.Send(t.Context(), entries()); err != nil {
		t.Error(err)
	}
	full, err := Config{Type: "file", Path: "/dev/full"}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if err := full.Send(t.Context(), entries()); err == nil {
		t.Error("a full disk takes it")
	}
}

func TestNoJSON(t *testing.T) {
	for _, body := range []string{"", "{", "a\nb"} {
		o := &lines{to: new(bytes.Buffer)}
		if err := o.Send(t.Context(), []Entry{{Seq: 5, Body: []byte(body)}}); err == nil || !strings.Contains(err.Error(), "record 5") {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []Config{{}, {Type: "pigeon"}, {Type: "file"}, {Type: "file", Path: "relative"}, {Type: "stdout", Path: "/x"},
		{Type: "file", Path: "/x", Keep: -1}, {Type: "file", Path: "/x", MaxMiB: -1}} {
		if c.Check() == nil {
			t.Errorf("%+v is taken", c)
		}
		if _, err := c.Open(); err == nil {
			t.Errorf("%+v is opened", c)
		}
	}
}
