package rule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLoad: files and directories of rules, and what is no such thing.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := write("own.yaml", one(nil))
	write("rules.d/b.yaml", one(map[string]string{"id": "b"}))
	write("rules.d/a.yaml", one(map[string]string{"id": "a"}))
	write("rules.d/.a.yaml.swp", "junk")
	write("rules.d/.hidden.yaml", "junk")
	write("rules.d/README", "junk")
	write("rules.d/sub.yaml/x.yaml", "junk")
	builtin, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	set, err := Load(own, filepath.Join(dir, "rules.d"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range set.Rules()[len(builtin.Rules()):] {
		ids = append(ids, r.ID)
	}
	if got := strings.Join(ids, " "); got != "r a b" {
		t.Errorf("loaded: %s", got)
	}
	if len(builtin.Rules()) == len(set.Rules()) || builtin.Rule("r") != nil {
		t.Error("the rules that are built in have changed")
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"):      "no such file",
		pipe:                            "it is no regular file",
		write("wrong.yaml", "rules: 7"): "line 1, column",
		write("empty.yaml", ""):         "it has no rules",
		write("large.yaml", strings.Repeat("#", 2<<20)):                          "more than",
		write("taken.yaml", one(map[string]string{"id": builtin.Rules()[0].ID})): "is there twice",
	} {
		done := make(chan error, 1)
		go func() { _, err := Load(path); done <- err }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), filepath.Base(path)) {
				t.Errorf("%s: %v; want %s", path, err, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: it hangs", path)
		}
	}
}
