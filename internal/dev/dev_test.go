package dev

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/kbuild"
)

func TestIsSource(t *testing.T) {
	for path, want := range map[string]bool{
		"hello.c": true, "a/Makefile": true, "Kbuild": true, "x.h": true, "x.S": true, "data.bin": true,
		"hello.ko": false, "hello.mod.c": false, "Module.symvers": false, ".hello.c.swp": false, "hello.c~": false, ".git": false, "modules.order": false,
	} {
		if got := isSource(path); got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
}

// TestSourceWatch: what is saved in any way is seen, once; what a build writes is not.
func TestSourceWatch(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link") // to the directory, as dev may be given
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	s, err := watchSources(link)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	seen := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := s.wait(ctx, 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		return ctx.Err() == nil
	}
	for _, name := range []string{"hello.c", "sub/deep.h"} {
		if write(name); !seen() {
			t.Errorf("%s is not seen", name)
		}
	}
	write(".new")
	if err := os.Rename(filepath.Join(dir, ".new"), filepath.Join(dir, "hello.c")); err != nil { // as editors save
		t.Fatal(err)
	}
	if !seen() {
		t.Error("a file moved over another is not seen")
	}
	if err := os.Mkdir(filepath.Join(dir, "later"), 0o755); err != nil {
		t.Fatal(err)
	}
	seen()
	if write("later/x.c"); !seen() {
		t.Error("a directory made later is not watched")
	}
	if err := os.Remove(filepath.Join(dir, "hello.c")); err != nil {
		t.Fatal(err)
	}
	if !seen() {
		t.Error("a file that is gone is not seen")
	}
	for _, name := range []string{"hello.ko", "hello.mod.c", ".hello.o.cmd"} {
		write(name)
	}
	if seen() {
		t.Error("what a build writes is taken for a save")
	}
	if _, err := watchSources(filepath.Join(dir, "nosuch")); err != nil {
		return // its caller looks before
	}
}

func TestPick(t *testing.T) {
	two := []kbuild.Module{{Name: "a"}, {Name: "b"}}
	for name, c := range map[string]struct {
		module  string
		modules []kbuild.Module
		want    string
		says    string
	}{
		"one":     {"", two[:1], "a", ""},
		"named":   {"b", two, "b", ""},
		"several": {"", two, "", "makes a, b: --module names one"},
		"other":   {"c", two, "", "makes no module c, but a, b"},
	} {
		d := &Loop{Options: &Options{Dir: ".", Module: c.module}}
		m, err := d.pick(c.modules)
		switch {
		case c.want != "" && (err != nil || m.Name != c.want), c.want == "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// TestDevScreen: a round that says nothing leaves no heading.
func TestDevScreen(t *testing.T) {
	var b bytes.Buffer
	s := newScreen(&b)
	s.later("build 1")
	s.later("build 2")
	s.kernel("hello: \x1b[2JHello!")
	s.line(cells.Good, "done")
	if got := b.String(); strings.Contains(got, "build 1") || !strings.HasSuffix(got, "build 2\nkernel │ hello: \\x1b[2JHello!\ndone\n") {
		t.Errorf("%q", got)
	}
}
