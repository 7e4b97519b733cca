package cause

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// configuredWith is an action of who loads, on a machine whose modprobe has lines of configuration.
func configuredWith(comm, given string) tracer.Action {
	return tracer.Action{
		Kind: tracer.Load, Module: "hello", Thread: tracer.Thread{Comm: comm},
		Call: &tracer.Enter{Call: tracer.FinitModule, Capable: true, Text: given},
	}
}

// TestParameterLine: a parameter that is refused is of a line, where one has the same value and is passed.
func TestParameterLine(t *testing.T) {
	for name, c := range map[string]struct {
		comm, line string
		recorded   bool
		named      bool
	}{
		"modprobe":      {comm: "modprobe", line: "options hello times=x", named: true},
		"another value": {comm: "modprobe", line: "options hello times=y"},
		"insmod":        {comm: "insmod", line: "options hello times=x"},
		"of the past":   {comm: "modprobe", line: "options hello times=x", recorded: true},
		"no value":      {comm: "modprobe", line: "options hello times"},
	} {
		t.Run(name, func(t *testing.T) {
			machine := ordinary().with(files{"etc/modprobe.d/x.conf": c.line + "\n"})
			a := configuredWith(c.comm, "times=x")
			a.Outcome, a.Stage, a.Errno, a.ErrnoName = tracer.Failed, tracer.StageParams, unix.EINVAL, "EINVAL"
			a.Messages = said("hello: `x' invalid for parameter `times'")
			e := NewExplainer(machine.open(t), &Options{Recorded: c.recorded}).Explain(t.Context(), a)
			says := `take "x" for its parameter times`
			if c.named {
				says = "x.conf:1 sets it"
			}
			checkCause(t, e.Cause, ParameterInvalid, says)
			if _, named := e.Cause.Names["config"]; named != c.named {
				t.Errorf("%s names a line: %v", e.Cause, named)
			}
		})
	}
}

// TestParameterLineUnreadable: where no line is found, what could not be read is named.
func TestParameterLineUnreadable(t *testing.T) {
	k := ordinary().with(files{"etc/modprobe.d/x.conf": "options hello times=y\n"}).open(t)
	a := configuredWith("modprobe", "times=x")
	a.Outcome, a.Stage, a.Errno, a.ErrnoName = tracer.Failed, tracer.StageParams, unix.EINVAL, "EINVAL"
	a.Messages = said("hello: `x' invalid for parameter `times'")
	dir, _ := k.ModulesDir()
	root := strings.TrimSuffix(dir[:strings.Index(dir, "lib/modules")], "usr/")
	file := filepath.Join(root, "etc/modprobe.d/unreadable.conf")
	if err := os.Symlink("/proc/self/mem", file); err != nil {
		t.Fatal(err)
	}
	e := NewExplainer(k, nil).Explain(t.Context(), a)
	want := file + ": it cannot be read (input/output error): whether it sets the parameter is not known"
	if e.Cause == nil || !slices.Contains(e.Cause.Evidence, want) {
		t.Errorf("%+v lacks %q", e.Cause, want)
	}
}

// TestOptionsIgnored: a load that goes well warns of what was not passed, and of what was and is not known.
func TestOptionsIgnored(t *testing.T) {
	for name, c := range map[string]struct {
		comm, line, given string
		message           string
		code              Code
		says              string
	}{
		"passed":    {comm: "modprobe", line: "options hello times=1", given: "times=1"},
		"insmod":    {comm: "insmod", line: "options hello times=1", code: OptionsIgnored, says: `x.conf:1 says "options hello times=1", and hello did not get it: insmod does not read`},
		"bare":      {comm: "modprobe", line: "options hello", code: OptionsIgnored, says: "it has no parameter"},
		"unknown":   {comm: "modprobe", line: "options hello nosuch=1", given: "nosuch=1", message: "hello: unknown parameter 'nosuch' ignored", code: ParameterUnknown, says: "x.conf:1 sets it"},
		"by hand":   {comm: "modprobe", line: "options hello nosuch=1", given: "nosuch=2", message: "hello: unknown parameter 'nosuch' ignored", code: ParameterUnknown, says: "hello has no parameter nosuch: it was ignored"},
		"of others": {comm: "insmod", line: "options other times=1"},
	} {
		t.Run(name, func(t *testing.T) {
			a := configuredWith(c.comm, c.given)
			a.Outcome = tracer.Live
			if c.message != "" {
				a.Messages = said(c.message)
			}
			e := NewExplainer(ordinary().with(files{"etc/modprobe.d/x.conf": c.line + "\n"}).open(t), nil).Explain(t.Context(), a)
			switch {
			case c.code == "" && len(e.Warnings) != 0:
				t.Errorf("warns: %v", e.Warnings)
			case c.code != "" && len(e.Warnings) != 1:
				t.Errorf("%d warnings: %v", len(e.Warnings), e.Warnings)
			case c.code != "":
				checkCause(t, &e.Warnings[0], c.code, c.says)
			}
		})
	}
}

// TestCheckOptions: check names the line whose value would be refused.
func TestCheckOptions(t *testing.T) {
	k := ordinary().with(files{"etc/modprobe.d/x.conf": "options hello times=x colour=1\noptions hello2 times=x\nblacklist hello2\n"}).open(t)
	path := file(t, "hello.ko", hello().Bytes())
	lines := k.Options("hello", "hello", "")
	v, err := Check(t.Context(), path, k, &CheckOptions{Params: kmod.Params{"colour=1", "times=x"}, Options: lines})
	if err != nil || v.Cause == nil || len(v.Warnings) != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	checkCause(t, v.Cause, ParameterInvalid, "x.conf:1 sets it")
	checkCause(t, &v.Warnings[0], ParameterUnknown, "x.conf:1 sets it")

	v, err = Check(t.Context(), path, k, &CheckOptions{Params: kmod.Params{"times=y"}, Options: lines})
	if err != nil || v.Cause == nil || v.Cause.Names["config"] != "" {
		t.Errorf("%+v, %v", v, err)
	}

	other := byFileName(k, "/x/hello.ko", "hello2")
	if len(other) != 2 {
		t.Fatalf("%v", other)
	}
	checkCause(t, &other[0], OptionsIgnored, "modprobe goes by the name of the file, which is hello")
	checkCause(t, &other[1], ConfigIgnored, "modprobe goes by the name of the file, which is hello")
}

// TestFileHidden: of two files of a name modprobe takes the one that is listed.
func TestFileHidden(t *testing.T) {
	k := ordinary().with(files{modules + "updates/own.ko": "newer"}).open(t)
	warnings := byFileName(k, "/x/own.ko", "own")
	if len(warnings) != 1 {
		t.Fatalf("%v", warnings)
	}
	checkCause(t, &warnings[0], FileHidden, modules+"kernel/own.ko for own, and not ")
	checkCause(t, &warnings[0], FileHidden, modules+"updates/own.ko")
	for _, name := range []string{"dep", "nosuch"} {
		if warnings := byFileName(k, "/x/"+name+".ko", name); len(warnings) != 0 {
			t.Errorf("%s: %v", name, warnings)
		}
	}
}
