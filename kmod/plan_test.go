package kmod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/kmodtrace/kmodtrace/internal/koimage"
)

// fakeModprobe is a script that answers as modprobe would.
func fakeModprobe(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "modprobe")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

var ignoreInner = cmpopts.IgnoreUnexported(Step{})

// TestPlanName: the lines are those that kmod 30 writes.
func TestPlanName(t *testing.T) {
	loaded := map[string]string{"sys/module/crc16/initstate": "live\n", "sys/module/ext4/initstate": "live\n"}
	for name, c := range map[string]struct {
		target, lines, aliases string
		params                 Params
		files                  map[string]string
		want                   []Step
	}{
		"one": {
			target: "dummy", lines: "insmod /lib/modules/6/dummy.ko \n",
			want: []Step{{Module: "dummy", Path: "/lib/modules/6/dummy.ko", Target: true}},
		},
		"dependencies, options and parameters": {
			target: "ext4", files: loaded, params: Params{"who=big world"},
			lines: "insmod /l/crc16.ko\ninsmod /l/mb-cache.ko.xz a=1\ninsmod /l/ext4.ko b=\"2 3\" c\n",
			want: []Step{
				{Kind: StepLoaded, Module: "crc16", Path: "/l/crc16.ko"},
				{Module: "mb_cache", Path: "/l/mb-cache.ko.xz", Params: "a=1"},
				{Module: "ext4", Path: "/l/ext4.ko", Params: `b="2 3" c who="big world"`, Target: true},
			},
		},
		"alias of two": {
			target: "net-pf-1", lines: "insmod /l/a.ko\ninsmod /l/b-c.ko\ninsmod /l/dep.ko\n", aliases: "a\nb_c\n",
			want: []Step{{Module: "a", Path: "/l/a.ko", Target: true}, {Module: "b_c", Path: "/l/b-c.ko", Target: true}, {Module: "dep", Path: "/l/dep.ko"}},
		},
		"built in": {
			target: "ext4", lines: "builtin ext4\n",
			want: []Step{{Kind: StepBuiltin, Module: "ext4", Target: true}},
		},
		"install command": {
			target: "foo", lines: "install /bin/true --now\n",
			want: []Step{{Kind: StepInstall, Module: "foo", Command: "/bin/true --now", Target: true}},
		},
		"directory with a blank": {
			target: "a", lines: "insmod /my modules/a.ko x=1\n",
			want: []Step{{Module: "a", Path: "/my modules/a.ko", Params: "x=1", Target: true}},
		},
		"dashes": {
			target: "snd-seq", lines: "insmod /l/snd-seq.ko.zst\n",
			want: []Step{{Module: "snd_seq", Path: "/l/snd-seq.ko.zst", Target: true}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			script := fmt.Sprintf("case \"$*\" in\n*--show-depends*) cat <<'E'\n%sE\n;;\n*--resolve-alias*) cat <<'E'\n%sE\n;;\nesac\n", c.lines, c.aliases)
			got, err := Plan(t.Context(), c.target, &LoadOptions{Params: c.params, Modprobe: fakeModprobe(t, script), Root: rootOf(t, c.files)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, ignoreInner); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	long := strings.Repeat("x", 4096)
	complain := "echo 'modprobe: FATAL: Module nope not found in directory /lib/modules/6.1' >&2; exit 1"
	for name, c := range map[string]struct {
		target, script string
		params         Params
		want           error
	}{
		"no such module":     {"nope", complain, nil, ErrNotFound},
		"nothing said":       {"nope", "true", nil, ErrNotFound},
		"empty":              {"", "true", nil, ErrBadName},
		"option":             {"--remove", "true", nil, ErrBadName},
		"4 KiB":              {long, "true", nil, ErrBadName},
		"4 KiB alias":        {"pci:" + long, "true", nil, ErrBadName},
		"4 KiB file":         {"/" + long, "true", nil, syscall.ENAMETOOLONG},
		"NUL":                {"a\x00b", "true", nil, ErrBadName},
		"NUL in file":        {"./a\x00b", "true", nil, ErrBadName},
		"missing file":       {"./none.ko", "true", nil, fs.ErrNotExist},
		"directory":          {"/", "true", nil, ErrNotModule},
		"bad parameters":     {"a", "true", Params{`a=" b`}, ErrBadParams},
		"strange words":      {"a", "echo rmmod x", nil, errAny},
		"modprobe dies":      {"a", "kill -9 $$", nil, errAny},
		"modprobe complains": {"a", "echo 'modprobe: ERROR: ../libkmod: bad things' >&2; exit 3", nil, errAny},
	} {
		steps, err := Plan(t.Context(), c.target, &LoadOptions{Params: c.params, Modprobe: fakeModprobe(t, c.script)})
		if err == nil || (c.want != errAny && !errors.Is(err, c.want)) {
			t.Errorf("%s: %v, %v; want %v", name, steps, err, c.want)
			continue
		}
		if text := err.Error(); strings.ContainsAny(text, "\n\x00") || len(text) > 500 {
			t.Errorf("%s: not one clear line: %q", name, text)
		}
	}
	_, err := Plan(t.Context(), "a", &LoadOptions{Modprobe: "/nonexistent/modprobe"})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no modprobe: %v", err)
	}
}

var errAny = errors.New("any error")

// TestPlanStops: a modprobe that hangs does not hang us.
func TestPlanStops(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Plan(ctx, "a", &LoadOptions{Modprobe: fakeModprobe(t, "exec sleep 60")})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestPlanFile(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "other-name.ko"), filepath.Join(dir, "some-text.ko")
	for path, data := range map[string][]byte{good: koimage.Hello().Bytes(), bad: []byte("text")} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, module := range map[string]string{good: "hello", bad: "some_text"} {
		got, err := Plan(t.Context(), path, &LoadOptions{Params: Params{"a=1"}})
		if err != nil {
			t.Fatal(err)
		}
		want := []Step{{Module: module, Path: path, Params: "a=1", Target: true}}
		if diff := cmp.Diff(want, got, ignoreInner); diff != "" {
			t.Error(diff)
		}
	}
}

// TestDoWithoutKernel: the steps that make no system call.
func TestDoWithoutKernel(t *testing.T) {
	for name, c := range map[string]struct {
		step Step
		want error
	}{
		"loaded":                {Step{Kind: StepLoaded}, nil},
		"built in":              {Step{Kind: StepBuiltin}, nil},
		"built in, wanted":      {Step{Kind: StepBuiltin, Target: true}, ErrBuiltin},
		"command":               {Step{Kind: StepInstall, Command: "/bin/true"}, ErrInstallCommand},
		"file gone":             {Step{Path: "/nonexistent/x.ko"}, ErrNotFound},
		"file became directory": {Step{Path: "/"}, ErrNotModule},
	} {
		if err := c.step.Do(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKernelUnpacks: files go to the kernel packed only where it can take them.
func TestKernelUnpacks(t *testing.T) {
	root := rootOf(t, map[string]string{"sys/module/compression": "xz\n"})
	files := packed(t, []byte("x"))
	crc64 := bytes.Clone(files[Xz])
	crc64[7] = 4 // as the xz command writes by default
	for name, c := range map[string]struct {
		root        string
		compression Compression
		data        []byte
		want        bool
	}{
		"xz":          {root, Xz, files[Xz], true},
		"xz of CRC64": {root, Xz, crc64, false},
		"zstd":        {root, Zstd, files[Zstd], false},
		"old kernel":  {t.TempDir(), Xz, files[Xz], false},
	} {
		if got := kernelUnpacks(c.root, c.compression, c.data[:xzHeaderLen]); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestSoftDependencies: which steps modules.dep says are needed, and that Load goes on
// without the others.
func TestSoftDependencies(t *testing.T) {
	root := rootOf(t, map[string]string{
		"modules.dep":      "kernel/other.ko: kernel/wish.ko\nkernel/target.ko: kernel/need.ko kernel/deep.ko\nkernel/wish.ko:\n",
		"kernel/target.ko": "not a module",
	})
	lines := ""
	for _, module := range []string{"wish", "deep", "need", "target"} {
		lines += fmt.Sprintf("echo insmod %s/kernel/%s.ko\n", root, module)
	}
	opts := &LoadOptions{Modprobe: fakeModprobe(t, lines), Root: rootOf(t, map[string]string{
		"sys/module/deep/initstate": "live\n", "sys/module/need/initstate": "live\n",
	})}
	steps, err := Load(t.Context(), "target", opts)
	var e *Error
	if !errors.As(err, &e) || e.Module != "target" {
		t.Fatalf("%+v, %v", steps, err)
	}
	for _, step := range steps {
		if soft := step.Module == "wish"; step.Soft != soft || errors.Is(step.Err, ErrNotFound) != soft {
			t.Errorf("%s: soft %v, error %v", step.Module, step.Soft, step.Err)
		}
	}
	opts.Root = ""
	steps, err = Load(t.Context(), "target", opts)
	if !errors.As(err, &e) || e.Module != "deep" || !errors.Is(err, ErrNotFound) {
		t.Errorf("a needed module is missing: %+v, %v", steps, err)
	}
}

// TestInstallOf: of which module an install command is, modprobe does not print; modules.dep tells.
func TestInstallOf(t *testing.T) {
	root := rootOf(t, map[string]string{
		"modules.dep": "kernel/target.ko: kernel/need.ko kernel/deep.ko\nkernel/alone.ko:\n", "sys/module/deep/initstate": "live\n",
	})
	insmod := func(name string) string { return fmt.Sprintf("echo insmod %s/kernel/%s.ko\n", root, name) }
	command := func(text string) string { return fmt.Sprintf("echo 'install %s'\n", text) }
	for name, c := range map[string]struct {
		target, lines string
		want          string // each step: its kind, its module, and what it is
		err           string // of what Load would do; empty where it is not refused by a command
	}{
		"of a dependency":       {"target", insmod("deep") + command("/bin/false") + insmod("target"), "loaded deep, install need, load target target", "need"},
		"of one that is loaded": {"target", command("/bin/false") + insmod("need") + insmod("target"), "loaded deep, load need, load target target", ""},
		"of two":                {"target", command("/bin/a") + command("/bin/b") + insmod("target"), "loaded deep, install need, load target target", "need"},
		"of one wished for":     {"alone", command("/bin/false") + insmod("alone"), "install  soft, load alone target", ""},
		"of one needed and one wished for, alike": {"target", command("/bin/false") + command("/bin/false") + insmod("deep") + insmod("target"),
			"install need, install  soft, loaded deep, load target target", "need"},
		"of one needed and one wished for": {"target", command("/bin/a") + command("/bin/b") + insmod("deep") + insmod("target"),
			"install , install , loaded deep, load target target", "?"},
		"its own":                  {"target", insmod("deep") + command("/bin/false"), "loaded deep, install target target", "target"},
		"its own, of an alias":     {"alias", command("/bin/false"), "install target target", "target"},
		"its own and another one":  {"target", command("/bin/a") + command("/bin/b"), "install , install target target", "?"},
		"no modules.dep":           {"x", command("/bin/a") + "echo insmod /nowhere/x.ko\n", "install , load x target", "?"},
		"of a dependency, unnamed": {"target", command("/bin/a") + insmod("target"), "install , load target target", "?"},
	} {
		t.Run(name, func(t *testing.T) {
			script := "case \"$*\" in *--resolve-alias*) echo target; exit;; esac\n" + c.lines
			steps, err := Plan(t.Context(), c.target, &LoadOptions{Modprobe: fakeModprobe(t, script), Root: root})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			refused := ""
			for _, s := range steps {
				text := s.Kind.String() + " " + s.Module
				if s.Target {
					text += " target"
				}
				if s.Soft {
					text += " soft"
				}
				got = append(got, text)
				var install *InstallError
				if s.Kind != StepInstall || s.Soft || refused != "" {
					continue
				}
				if err := s.Do(); !errors.As(err, &install) || install.Dependency == s.Target {
					t.Errorf("%s: %v", text, err)
				}
				if refused = s.Module; refused == "" {
					refused = "?"
				}
			}
			if text := strings.Join(got, ", "); text != c.want || refused != c.err {
				t.Errorf("%s; refused by the command of %q; want %s, %q", text, refused, c.want, c.err)
			}
		})
	}
}
