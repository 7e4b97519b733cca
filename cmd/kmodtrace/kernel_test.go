package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// TestKernel runs testdata/kernel in a machine of the lab. Beside testscript's own
// commands there are
//
//	status N COMMAND...      the command must end with exit status N
//	unable COMMAND...        as status, without the capabilities that tracing needs; N is 4
//	await FILE               waits until the file is there
//	schema NAME FILE         FILE must follow docs/schema/NAME.schema.json
//	schemalines NAME FILE    so must each line of FILE
//	actions FILE OUT         writes "kind module outcome" of each line of FILE to OUT
//	shared N COMMAND...      as status N kmodtrace COMMAND..., in the test's own process, with
//	                         a tracer that all such lines of all scripts share; a last word
//	                         >FILE says where standard output goes
//	beside COMMAND...        begins kmodtrace COMMAND... --ready-file FILE with that tracer,
//	                         and goes on when FILE is there
//	ended N                  waits until what is beside has ended with exit status N
//	interrupted N            the same, after it was asked to end
//
// and the modules of the lab below $MODULES. $OTHER is the backend that auto does not choose
// here, $NOTUTF8 bytes that are not text.
//
// A line that starts kmodtrace attaches a tracer of its own, as a user's does, which takes
// seconds here. Lines whose subject is what a command does once it is attached share one.
func TestKernel(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	modules := os.Getenv("KMODTRACE_MODULES")
	if modules == "" {
		t.Skip("no modules were built for this kernel (kmodtrace lab build --specimens)")
	}
	scripts, err := filepath.Glob(filepath.Join("testdata", "kernel", "*.txtar"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	scripts = slices.DeleteFunc(scripts, func(name string) bool { return filepath.Base(name) == wreck })
	shared := &sharedTracer{t: t}
	other := "OTHER=" + shared.other().String()
	for _, script := range scripts {
		// One after another, for they share the kernel: testscript would run them at once.
		t.Run(filepath.Base(script), func(t *testing.T) { testscript.Run(t, kernelScript(shared, script, modules, other)) })
		if left := loadedFrom(t, modules); len(left) > 0 {
			t.Errorf("%s leaves %q loaded: what comes after it cannot load them", filepath.Base(script), left)
			unload(t, left)
		}
	}
}

// loadedFrom gives the modules of the files in a directory that are loaded and can be removed.
func loadedFrom(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.ko"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no modules in %s: %v", dir, err)
	}
	text, err := os.ReadFile("/proc/modules")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, file := range files {
		if name, ok := modname.OfFile(file); ok {
			names[name] = true
		}
	}
	var loaded []string
	for line := range strings.Lines(string(text)) {
		if name, _, _ := strings.Cut(line, " "); names[name] && !strings.Contains(line, "[permanent]") {
			loaded = append(loaded, name)
		}
	}
	return loaded
}

// wreck is the script that leaves the kernel damaged.
const wreck = "wreck.txtar"

// TestWreck crashes its kernel, after which any load may hang there from 6.5 on
// (docs/kernel-facts.md): it runs alone in a machine, as TestReloadCrash does.
func TestWreck(t *testing.T) {
	if os.Getenv("KMODTRACE_CRASH") == "" {
		t.Skip("crashes the kernel: runs only when asked to, alone in a machine of the lab (KMODTRACE_CRASH)")
	}
	shared := &sharedTracer{t: t}
	testscript.Run(t, kernelScript(shared, filepath.Join("testdata", "kernel", wreck), os.Getenv("KMODTRACE_MODULES")))
}

func kernelScript(shared *sharedTracer, script, modules string, more ...string) testscript.Params {
	return testscript.Params{
		Files: []string{script},
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, more...)
			env.Setenv("MODULES", modules)
			env.Setenv("NOTUTF8", "\377\033[2J")
			return addModules(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": scriptStatus, "unable": scriptUnable, "await": scriptAwait, "actions": scriptActions,
			"schema": kernelSchema, "schemalines": kernelSchemaLines, "shared": shared.script,
			"beside": shared.begin, "ended": shared.ended, "interrupted": shared.interrupted,
		},
	}
}

// scriptUnable runs a command that must end with 4, as root without the capabilities
// that tracing needs.
func scriptUnable(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: unable COMMAND...")
	}
	path := filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], args[0])
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	done := make(chan error, 1)
	var out []byte
	go func() {
		// The thread, and what it starts, never has them again: it ends here.
		runtime.LockOSThread()
		for _, c := range []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_BPF, unix.CAP_PERFMON} {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				done <- err
				return
			}
		}
		var err error
		out, err = cmd.CombinedOutput()
		done <- err
	}()
	err := <-done
	ts.Logf("%s", out)
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != exitNoTrace {
		ts.Fatalf("%v, want exit status %d", err, exitNoTrace)
	}
}

// scriptAwait looks again and again for a file. That it takes long is the machine's
// fault, that it never comes is the command's.
func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	came := await.True(func() bool {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil
	})
	if !came {
		ts.Fatalf("%s did not come within %v", args[0], await.Bound)
	}
}

func scriptActions(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: actions FILE OUT")
	}
	var out strings.Builder
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var a struct {
			Action, Module, Outcome string
			ErrnoName               string `json:"errno_name"`
		}
		ts.Check(json.Unmarshal([]byte(line), &a))
		fmt.Fprintln(&out, strings.TrimRight(fmt.Sprintf("%s %s %s %s", a.Action, a.Module, a.Outcome, a.ErrnoName), " "))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(out.String()), 0o600))
}

func kernelSchema(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: schema NAME FILE")
	}
	ts.Check(validateText(args[0], []byte(ts.ReadFile(args[1]))))
}

func kernelSchemaLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: schemalines NAME FILE")
	}
	text := ts.ReadFile(args[1])
	if strings.TrimSpace(text) == "" {
		ts.Fatalf("%s has no lines to check", args[1])
	}
	for line := range strings.Lines(text) {
		ts.Check(validateText(args[0], []byte(line)))
	}
}
