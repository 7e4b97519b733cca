package main

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/follow"
)

func TestFindProgram(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("good", 0o755)
	write("plain", 0o644)
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	for name, want := range map[string]int{
		"good":                                0,
		filepath.Join(dir, "good"):            0,
		"plain":                               exitCannotStart,
		filepath.Join(dir, "plain"):           exitCannotStart,
		filepath.Join(dir, "directory"):       exitCannotStart,
		filepath.Join(dir, "good", "sub"):     exitCannotStart,
		"directory":                           exitNotFound,
		"nothing":                             exitNotFound,
		filepath.Join(dir, "nothing"):         exitNotFound,
		"":                                    exitNotFound,
		"-x":                                  exitNotFound,
		"\x1b[2J" + strings.Repeat("x", 5000): exitNotFound,
	} {
		p, err := follow.Find([]string{name, "argument"})
		if statusOf(err) != want {
			t.Errorf("%.80q: %v", name, err)
		}
		switch {
		case err == nil:
			if p.Path != filepath.Join(dir, "good") || !slices.Equal(p.Argv, []string{name, "argument"}) {
				t.Errorf("%q: %q, %q", name, p.Path, p.Argv)
			}
		case strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 300:
			t.Errorf("not one clear line: %q", err.Error())
		}
	}
}

// TestFindProgramHere: "." in PATH is what its user wants.
func TestFindProgramHere(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("here", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", ".")
	if p, err := follow.Find([]string{"here"}); err != nil || p.Path != "./here" && p.Path != "here" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestCredential(t *testing.T) {
	c, err := follow.CredentialOf(&user.User{Uid: "0", Gid: "7", Username: "root"})
	if err != nil || c.Uid != 0 || c.Gid != 7 || c.NoSetGroups {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := follow.CredentialOf(&user.User{Uid: "S-1-5", Gid: "0", Username: "root"}); err == nil {
		t.Error("a user id that is not a number")
	}
}

func TestWithVariables(t *testing.T) {
	env := []string{"HOME=/root", "HOMER=x", "USER=root", "A=", "HOME=/again"}
	got := follow.WithVariables(env, "HOME=/home/alice", "USER=alice", "LOGNAME=alice")
	want := []string{"HOMER=x", "A=", "HOME=/home/alice", "USER=alice", "LOGNAME=alice"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
