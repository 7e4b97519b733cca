package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets a script run the whole command as `kmodtrace`, and what `kmodtrace run`
// does without tracing, which needs no privilege, as `passthrough`. `echoer` says what it hears, and `steps` runs what it reads.
// The rest are the lab's roles.
func TestMain(m *testing.M) {
	commands := roles.Commands()
	commands["kmodtrace"] = func() {
		if size := os.Getenv(ringVariable); size != "" {
			os.Exit(runWithRing(size))
		}
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	commands["passthrough"] = func() { os.Exit(passThrough(os.Args[1:])) }
	commands["echoer"] = echoSignals
	commands["steps"] = steps
	testscript.Main(cleaner{m}, commands)
}

// cleaner removes what tests have shared once all have run.
type cleaner struct{ *testing.M }

func (c cleaner) Run() int {
	defer removeShop()
	return c.M.Run()
}

// TestScripts runs testdata/script: the commands that do several things at once. TestSequentialScripts
// runs the others. Beside testscript's own commands there are
//
//	status N COMMAND...     the command must end with exit status N; its output is kept
//	schema NAME FILE        FILE must follow docs/schema/NAME.schema.json
//	schemalines NAME FILE   so must each line of FILE
//	mkjournal FILE RECORDS  FILE becomes a journal of the records in RECORDS, one a line
//
// the condition root, the files hello.ko, hello.ko.gz and evil.ko in each script's
// directory, and in $VERSION0 what a release printed and recorded before JSON had a version.
func TestScripts(t *testing.T) {
	runScripts(t, isConcurrent)
}

// isConcurrent says whether a script is of a command that watches while something else goes on. The
// others read files and journals, or are refused before they trace: one thing after the other.
func isConcurrent(name string) bool {
	return slices.Contains([]string{"dev", "run", "serve", "try", "watch"}, name)
}

func runScripts(t *testing.T, wanted func(name string) bool) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	version0, err := filepath.Abs(filepath.Join("testdata", "version0"))
	if err != nil {
		t.Fatal(err)
	}
	scripts := slices.DeleteFunc(all, func(path string) bool { return !wanted(strings.TrimSuffix(filepath.Base(path), ".txtar")) })
	testscript.Run(t, testscript.Params{
		Files: scripts,
		Setup: func(env *testscript.Env) error {
			env.Setenv("VERSION0", version0)
			return addModules(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":      scriptStatus,
			"schema":      scriptSchema,
			"schemalines": scriptSchemaLines,
			"mkjournal":   scriptJournal,
		},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("no condition is called %s", name)
		},
	})
}

// addModules puts made-up module files where the script runs. The evil one tries to
// steer the terminal.
func addModules(env *testscript.Env) error {
	hello := koimage.Hello()
	evil := koimage.Module{Info: []string{"name=evil", "description=\x1b[2J\x07\xff\nforged: line", "license=GPL"}}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(hello.Bytes()); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"hello.ko": hello.Bytes(), "hello.ko.gz": packed.Bytes(), "evil.ko": evil.Bytes(), "empty.ko": nil,
	} {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	status := "0"
	if err != nil {
		status = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if status != args[0] {
		ts.Fatalf("exit status %s, want %s", status, args[0])
	}
}

func scriptSchema(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: schema NAME FILE")
	}
	validate(ts, args[0], strings.NewReader(ts.ReadFile(args[1])))
}

func scriptSchemaLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: schemalines NAME FILE")
	}
	text := ts.ReadFile(args[1])
	if strings.TrimSpace(text) == "" {
		ts.Fatalf("%s has no lines to check", args[1])
	}
	for line := range strings.Lines(text) {
		validate(ts, args[0], strings.NewReader(line))
	}
}

// validate checks one JSON value, and that nothing follows it.
func validate(ts *testscript.TestScript, name string, r io.Reader) {
	decoder := json.NewDecoder(r)
	decoder.UseNumber()
	var value, more any
	ts.Check(decoder.Decode(&value))
	if err := decoder.Decode(&more); err != io.EOF {
		ts.Fatalf("something follows the JSON value: %v, %v", more, err)
	}
	ts.Check(validateValue(name, value))
}

func scriptJournal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mkjournal FILE RECORDS")
	}
	ts.Check(makeJournal(ts.MkAbs(args[0]), ts.ReadFile(args[1])))
}
