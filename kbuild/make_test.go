package kbuild

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestEnvironmentDoesNotMislead(t *testing.T) {
	got := environment([]string{"PATH=/bin", "MAKEFLAGS=-k", "PWD=/x", "M=/y", "MY=1", "KBUILD_OUTPUT=/z"}, "/m")
	if want := []string{"PATH=/bin", "MY=1", "PWD=/m"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestCheckVariables(t *testing.T) {
	for _, v := range []string{"V=1", "KCFLAGS=-DX -DY", "CFLAGS_hello.o=-g", "CONFIG_X:=m", "X+=1"} {
		if err := checkVariables([]string{v}); err != nil {
			t.Errorf("%q: %v", v, err)
		}
	}
	for _, v := range []string{"M=/x", "O=/x", "MO=", "=1", "-j", "a b=1", "1=2", "KBUILD_EXTMOD=x"} {
		if err := checkVariables([]string{v}); !errors.Is(err, ErrBadTarget) {
			t.Errorf("%q: %v", v, err)
		}
	}
}

// TestOnATerminal: a command sees a terminal as wide as ours, and what it prints comes
// out as it was.
func TestOnATerminal(t *testing.T) {
	like, end, err := openTerminal(nil)
	if err != nil {
		t.Skipf("needs terminals: %v", err)
	}
	defer like.Close()
	defer end.Close()
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `test -t 1 && test -t 2 && printf 'one\ntwo\t\033[1m' && exit 3`)
	err = runAll(cmd, &out, end)
	if cmd.ProcessState.ExitCode() != 3 || out.String() != "one\ntwo\t\x1b[1m" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// TestRunAllEndsAll: neither a stopped command's children nor those that a command leaves
// live on.
func TestRunAllEndsAll(t *testing.T) {
	_, screen, err := openTerminal(nil)
	if err != nil {
		t.Skipf("needs terminals: %v", err)
	}
	defer screen.Close()
	for name, script := range map[string]string{"stopped": "sleep 1000 & sleep 1000", "left": "sleep 1000 >/dev/null 2>&1 & echo", "stubborn": "trap '' TERM; sleep 1000"} {
		for _, terminal := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			cmd := exec.CommandContext(ctx, "sh", "-c", script)
			if name != "left" {
				time.AfterFunc(100*time.Millisecond, cancel)
			}
			var out bytes.Buffer
			start := time.Now()
			if terminal {
				_ = runAll(cmd, &out, screen)
			} else {
				_ = runAll(cmd, &out, nil)
			}
			cancel()
			if took := time.Since(start); took > 3*grace {
				t.Errorf("%s, terminal %v: took %v", name, terminal, took)
			}
			if left := groupOf(t, cmd.Process.Pid); len(left) > 0 {
				t.Errorf("%s, terminal %v: left %q", name, terminal, left)
			}
		}
	}
}

// groupOf gives the processes of a group that have not ended, by their states.
func groupOf(t *testing.T, pgid int) (alive []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		text, _ := os.ReadFile(path)
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 2 && fields[2] == strconv.Itoa(pgid) && fields[0] != "Z" && fields[0] != "X" {
			alive = append(alive, string(text))
		}
	}
	return alive
}
