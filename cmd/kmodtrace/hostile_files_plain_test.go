//go:build !race

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/koimage"
)

// TestHostileFiles gives every file that an attacker may leave to the commands that read
// files: each ends, with the right status, printable text and in a bound of memory that
// the kernel keeps.
func TestHostileFiles(t *testing.T) {
	program, err := exec.LookPath("kmodtrace") // testscript puts this binary there
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	names, err := koimage.HostileDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"info", "--symbols"}, {"info", "--json"}, {"check"}} {
		for _, name := range names {
			// check has all of an ELF file in memory, to verify its signature.
			if args[0] == "check" && name == "sparse ELF 900 MiB.ko" {
				continue
			}
			path := filepath.Join(dir, name)
			out, errs, status := limited(t, program, append(slices.Clone(args), path)...)
			what := strings.Join(args, " ") + " " + cells.Printable(name)
			if allowed := map[string][]int{"info": {exitOK, exitRefused}, "check": {exitOK, exitRefused, exitUnconfirmed}}[args[0]]; !slices.Contains(allowed, status) {
				t.Errorf("%s: status %d: %.600q", what, status, errs)
			}
			checkShown(t, what, out)
			checkShown(t, what, errs)
			if status == exitRefused && args[0] == "info" && (strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "kmodtrace: inspect ") || out != "") {
				t.Errorf("%s: not one clear line: %.600q, %.600q", what, errs, out)
			}
			if args[len(args)-1] == "--json" && out != "" && !json.Valid([]byte(out)) {
				t.Errorf("%s: no JSON: %.600q", what, out)
			}
		}
	}
}

// limited runs the program with memory for its tables, and not for all that a file becomes.
func limited(t *testing.T, program string, args ...string) (out, errs string, status int) {
	t.Helper()
	const limit = "450000" // KiB, of which Go's own bookkeeping and this test's code take some 150 MB
	ctx, cancel := context.WithTimeout(t.Context(), await.Bound)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", `ulimit -d ` + limit + ` && exec "$0" "$@"`, program}, args...)...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%.200q: %v, %v", args, err, ctx.Err())
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}
