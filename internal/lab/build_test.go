package lab

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestReadSourcesOfFiles(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "one.c"), "1")
	writeFile(t, filepath.Join(dir, "two.c"), "2")
	s, err := readSources([]string{filepath.Join(dir, "two.c"), filepath.Join(dir, "one.c")})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(s["Kbuild"]); got != "obj-m := one.o two.o\n" {
		t.Errorf("Kbuild %q", got)
	}
}

func TestReadSourcesRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/x.c", "b/x.c", "empty/README", "file.txt", "with space.c", "x;y.c"} {
		writeFile(t, filepath.Join(dir, name), "x")
	}
	in := func(names ...string) (paths []string) {
		for _, n := range names {
			paths = append(paths, filepath.Join(dir, n))
		}
		return paths
	}
	for name, paths := range map[string][]string{
		"nothing":                 nil,
		"a missing file":          in("none.c"),
		"a missing second file":   in("a/x.c", "none.c"),
		"no rules in a directory": in("empty"),
		"two directories":         in("a", "b"),
		"two files of one name":   in("a/x.c", "b/x.c"),
		"another kind of file":    in("file.txt"),
		"a space":                 in("with space.c"),
		"shell in a name":         in("x;y.c"),
		"an empty name":           {""},
		"a device":                {"/dev/null"},
	} {
		if s, err := readSources(paths); err == nil {
			t.Errorf("%s: took %d files", name, len(s))
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %q is not one line", name, err)
		}
	}
	if _, err := readSources(in("none.c")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v, want fs.ErrNotExist", err)
	}
}

func TestDirectorySourcesLeavesOutWhatWasBuilt(t *testing.T) {
	directory := fstest.MapFS{
		"Makefile": {Data: []byte("obj-m := a.o")}, "a.c": {}, "sub/b.h": {}, "a.mod.c": {}, "a.o": {}, "a.ko": {},
		"Module.symvers": {}, ".git/config": {}, ".a.o.cmd": {}, "link": {Mode: fs.ModeSymlink},
	}
	s, err := directorySources(directory, "x")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"Makefile", "a.c", "sub/b.h"}) {
		t.Errorf("sources %q", names)
	}
	directory["big"] = &fstest.MapFile{Data: make([]byte, maxSources)}
	if _, err := directorySources(directory, "x"); err == nil {
		t.Error("took a directory that is too big for a module")
	}
}

func TestHashTellsSourcesApart(t *testing.T) {
	base := sources{"a.c": []byte("1"), "b.c": []byte("2")}
	same := sources{"b.c": []byte("2"), "a.c": []byte("1")}
	if base.hash("6.12") != same.hash("6.12") {
		t.Error("the same sources have two hashes")
	}
	others := map[string]string{
		"content":  sources{"a.c": []byte("1"), "b.c": []byte("3")}.hash("6.12"),
		"name":     sources{"a.c": []byte("1"), "c.c": []byte("2")}.hash("6.12"),
		"swapped":  sources{"a.c": []byte("2"), "b.c": []byte("1")}.hash("6.12"),
		"fewer":    sources{"a.c": []byte("1")}.hash("6.12"),
		"kernel":   base.hash("6.13"),
		"argument": base.hash("6.12", ""),
	}
	for name, h := range others {
		if h == base.hash("6.12") {
			t.Errorf("%s: same hash", name)
		}
	}
}

// buildKernel gives a kernel with headers that is here already, or skips.
func buildKernel(t *testing.T, series, arch string) (cache string, k Kernel) {
	t.Helper()
	cache, err := CacheDir()
	if err != nil {
		t.Skipf("needs a cache: %v", err)
	}
	k, err = FindKernel(cache, series, arch)
	if err != nil {
		t.Skipf("needs a kernel: %v", err)
	}
	if k.Headers == "" {
		t.Skipf("needs headers: kmodtrace lab fetch --headers --arch %s %s", arch, series)
	}
	if _, err := openToolchain(filepath.Join(cache, "toolchain", listIdentity(toolchainPackages(runtime.GOARCH)))); err != nil {
		t.Skipf("needs the compiler, which the first kmodtrace lab build fetches: %v", err)
	}
	return cache, k
}

// modinfo reads a field of a built module, by the kernel's own rule: the section
// .modinfo is a list of name=value strings.
func modinfo(t *testing.T, path, field string) string {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := f.Section(".modinfo").Data()
	if err != nil {
		t.Fatal(err)
	}
	for entry := range bytes.SplitSeq(text, []byte{0}) {
		if value, ok := strings.CutPrefix(string(entry), field+"="); ok {
			return value
		}
	}
	return ""
}

// scratchBuilds is a cache that shares all of another but what was built there.
func scratchBuilds(t *testing.T, cache string) string {
	t.Helper()
	scratch := t.TempDir()
	for _, name := range []string{"apt", "kernels", "toolchain"} {
		if err := os.Symlink(filepath.Join(cache, name), filepath.Join(scratch, name)); err != nil {
			t.Fatal(err)
		}
	}
	return scratch
}

func TestBuildHelloByItsOwnMakefile(t *testing.T) {
	for _, target := range [][2]string{{"5.10", "amd64"}, {"6.1", "amd64"}, {"6.12", "amd64"}, {Newest, "amd64"}, {"6.1", "arm64"}, {Newest, "arm64"}} {
		t.Run(target[0]+"-"+target[1], func(t *testing.T) {
			cache, k := buildKernel(t, target[0], target[1])
			out := t.TempDir()
			modules, err := Build(t.Context(), scratchBuilds(t, cache), k, []string{"../../examples/hello"}, out, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if want := []string{filepath.Join(out, "hello.ko")}; !slices.Equal(modules, want) {
				t.Fatalf("built %q, want %q", modules, want)
			}
			if got := modinfo(t, modules[0], "vermagic"); !strings.HasPrefix(got, k.Release+" ") {
				t.Errorf("vermagic %q, want that of %s", got, k.Release)
			}
			if got := modinfo(t, modules[0], "parm"); !strings.HasPrefix(got, "whom:") {
				t.Errorf("parameter %q, want whom with its description", got)
			}
		})
	}
}

func TestBuildLeavesTheSourcesAloneAndTheSecondIsFree(t *testing.T) {
	cache, k := buildKernel(t, "6.1", "amd64")
	cache = scratchBuilds(t, cache)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../examples/hello")); err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	for _, progress := range []*bytes.Buffer{&first, &second} {
		if _, err := Build(t.Context(), cache, k, []string{dir}, t.TempDir(), progress); err != nil {
			t.Fatal(err)
		}
	}
	if first.Len() == 0 || second.Len() != 0 {
		t.Errorf("first build said %q, second %q; want something and nothing", first.String(), second.String())
	}
	original, _ := os.ReadDir("../../examples/hello")
	after, _ := os.ReadDir(dir)
	if len(after) > len(original) {
		t.Errorf("the directory has %d files, had %d", len(after), len(original))
	}
}

func TestBuildReportsTheCompilersComplaint(t *testing.T) {
	cache, k := buildKernel(t, "6.1", "amd64")
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"bad.c":     {"#include <linux/module.h>\nthis is not C\n", "error: "},
		"missing.c": {"#include <linux/module.h>\nvoid nowhere(void);\nint init_module(void){nowhere();return 0;}\nMODULE_LICENSE(\"GPL\");\n", "nowhere"},
		"empty.c":   {"", "ERROR: "},
		"binary.c":  {"\x00\x01\x02\xff", "error: "},
	} {
		path := filepath.Join(dir, name)
		writeFile(t, path, c.text)
		var progress bytes.Buffer
		out := t.TempDir()
		_, err := Build(t.Context(), scratchBuilds(t, cache), k, []string{path}, out, &progress)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line with %q", name, err, c.want)
		}
		if left, _ := os.ReadDir(out); len(left) != 0 {
			t.Errorf("%s: left behind %v", name, left)
		}
	}
}

func TestBuildInterrupted(t *testing.T) {
	cache, k := buildKernel(t, "6.1", "amd64")
	cache = scratchBuilds(t, cache)
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	if _, err := BuildSpecimens(ctx, cache, k, io.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("BuildSpecimens = %v, want the context's end", err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), cache) || strings.Contains(string(mounts), "/toolchain/") {
		t.Errorf("left mounted:\n%s", mounts)
	}
	left, err := filepath.Glob(filepath.Join(cache, "built", "*", "*", "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind %v, %v", left, err)
	}
}

func TestSpecimensHaveDistinctNames(t *testing.T) {
	s, err := specimens()
	if err != nil {
		t.Fatal(err)
	}
	list, _, _ := strings.Cut(string(s["Kbuild"]), "\n")
	objects := strings.Fields(strings.TrimPrefix(list, "obj-m := "))
	slices.Sort(objects)
	if unique := slices.Compact(slices.Clone(objects)); len(unique) != len(objects) || len(objects) < 20 {
		t.Errorf("%d objects, %d names", len(objects), len(unique))
	}
	for _, o := range objects {
		if s[strings.TrimSuffix(o, ".o")+".c"] == nil {
			t.Errorf("no source for %s", o)
		}
	}
}
