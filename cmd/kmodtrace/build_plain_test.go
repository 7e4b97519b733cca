//go:build !race

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// inWorkshop is set where a test of this file runs once more, in a workshop of the lab: to the
// release of the kernel whose headers are there. inWorkshopRun are its scripts.
const (
	inWorkshop    = "KMODTRACE_WORKSHOP"
	inWorkshopRun = "KMODTRACE_WORKSHOP_SCRIPTS"
)

// TestBuildScripts runs testdata/build: each script in a root directory with a compiler and a
// kernel's headers, as on a machine where modules are built. Beside the commands of
// TestScripts there are
//
//	programs NAME...    the machine has only these programs from now on
//	hide FILE           the machine's file is empty from now on
//	distribution FILE   it is of the distribution that the file says, as in /etc/os-release
//	readonly DIR        nothing can be written into the directory from now on
//	small DIR BYTES     the directory becomes a file system of that size
//	pipe FILE           the file is a pipe
//	waitfor FILE [TEXT] wait until the file exists, and has the text
//	orphans             no process of the script's may be left
//
// the condition kernel:SERIES, $RELEASE, the kernel whose headers are there, and $RUNNING, the one
// that runs.
func TestBuildScripts(t *testing.T) {
	for _, c := range []struct{ kernel, scripts string }{
		{"5.10", "shapes"}, // make works in the kernel's directory, and lists modules
		{"6.12", "refused busy"},
		{"6.12", "hostile"},
		{lab.Newest, "hello shapes"}, // make works in the module's directory, and lists objects
		{"6.12", "missing"},          // it changes the machine
	} {
		t.Run(c.kernel+" "+c.scripts, func(t *testing.T) {
			t.Parallel()
			enterWorkshop(t, c.kernel, c.scripts)
		})
	}
}

// enterWorkshop runs scripts in a workshop, whose /etc and list of kernels are its own.
func enterWorkshop(t *testing.T, series, scripts string) {
	if testing.Short() {
		t.Skip("compiles for a minute: not with -short")
	}
	cache, err := lab.CacheDir()
	if err != nil {
		t.Skipf("needs a cache: %v", err)
	}
	shop, err := lab.OpenWorkshop(cache, series)
	if err != nil {
		t.Skip(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	etc, modules := t.TempDir(), t.TempDir()
	installed := filepath.Join(modules, shop.Kernel.Release)
	if err := os.Mkdir(installed, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/src/linux-headers-"+shop.Kernel.Release, filepath.Join(installed, "build")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = shop.Run(t.Context(), map[string]string{
		"etc": etc, "usr/lib/modules": modules, "build/test": filepath.Dir(self), "build/here": here,
	}, &out, "/bin/sh", "-c", `cd /build/here && exec env "$@"`, "sh",
		inWorkshop+"="+shop.Kernel.Release, inWorkshopRun+"="+scripts,
		filepath.Join("/build/test", filepath.Base(self)), "-test.run=^TestInWorkshop$", fmt.Sprintf("-test.v=%v", testing.Verbose()))
	if err != nil {
		t.Errorf("%v\n%s", err, out.String())
	} else if testing.Verbose() {
		t.Log(out.String())
	}
}

// TestInWorkshop is the inner half of TestBuildScripts.
func TestInWorkshop(t *testing.T) {
	release := os.Getenv(inWorkshop)
	if release == "" {
		t.Skip("TestBuildScripts runs it where a compiler and a kernel's headers are")
	}
	// What these tests are started with may ignore it (nohup), and then all their children
	// do, which one of them is to be ended by.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP)
	var scripts []string
	for _, name := range strings.Fields(os.Getenv(inWorkshopRun)) {
		scripts = append(scripts, filepath.Join("testdata", "build", name+".txtar"))
	}
	var running unix.Utsname
	if err := unix.Uname(&running); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Files: scripts,
		Setup: func(env *testscript.Env) error {
			env.Setenv("RELEASE", release)
			env.Setenv("RUNNING", unix.ByteSliceToString(running.Release[:]))
			env.Setenv("TOP", env.WorkDir)
			env.Setenv("HOME", filepath.Join(env.WorkDir, ".home"))
			return setDistribution("ID=debian\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n")
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":   scriptStatus,
			"schema":   scriptSchema,
			"programs": scriptPrograms,
			"hide":     scriptHide,
			"readonly": scriptReadonly,
			"small":    scriptSmall,
			"pipe":     scriptPipe,
			"waitfor":  scriptWaitFor,
			"orphans":  scriptOrphans,
			"distribution": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(setDistribution(ts.ReadFile(args[0])))
			},
		},
		Condition: func(name string) (bool, error) {
			series, ok := strings.CutPrefix(name, "kernel:")
			if !ok {
				return false, fmt.Errorf("no condition is called %s", name)
			}
			return strings.HasPrefix(release, series+"."), nil
		},
	})
}

func setDistribution(text string) error { return os.WriteFile("/etc/os-release", []byte(text), 0o644) }

// scriptPrograms leaves the machine only some programs, beside this command itself.
func scriptPrograms(ts *testscript.TestScript, neg bool, args []string) {
	bin := ts.MkAbs(".programs")
	ts.Check(os.RemoveAll(bin))
	ts.Check(os.Mkdir(bin, 0o755))
	for _, name := range args {
		path, err := exec.LookPath(name)
		ts.Check(err)
		ts.Check(os.Symlink(path, filepath.Join(bin, name)))
	}
	own, _, _ := strings.Cut(ts.Getenv("PATH"), ":")
	ts.Setenv("PATH", own+":"+bin)
}

func scriptHide(ts *testscript.TestScript, neg bool, args []string) {
	files, err := filepath.Glob(args[0])
	ts.Check(err)
	for _, file := range files {
		ts.Check(unix.Mount("/dev/null", file, "", unix.MS_BIND, ""))
	}
}

func scriptReadonly(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	ts.Defer(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	ts.Check(unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
}

func scriptSmall(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+args[1]))
	ts.Defer(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

func scriptPipe(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	ts.Check(unix.Mkfifo(path, 0o644))
}

func scriptWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	came := await.True(func() bool {
		text, err := os.ReadFile(path)
		return err == nil && bytes.Contains(text, []byte(strings.Join(args[1:], " ")))
	})
	if !came {
		ts.Fatalf("%s did not come", args)
	}
}

// scriptOrphans looks for the script's processes by a variable that all of them have.
func scriptOrphans(ts *testscript.TestScript, neg bool, args []string) {
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	ts.Check(err)
	for _, path := range environs {
		text, err := os.ReadFile(path)
		if err == nil && bytes.Contains(text, []byte("TOP="+ts.Getenv("TOP"))) {
			words, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			ts.Fatalf("left behind: %q", bytes.ReplaceAll(words, []byte{0}, []byte{' '}))
		}
	}
}
