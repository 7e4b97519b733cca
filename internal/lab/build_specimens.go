package lab

import (
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/kmodtrace/kmodtrace/examples"
)

// specimenSources are modules that behave in one particular way each.
//
//go:embed specimens/*.c specimens/*.h
var specimenSources embed.FS

// naps and slowusers are how many there are of the modules that exist in copies:
// nap0, nap1, and so on. One of each length of name is compiled, and the variants
// have the others: compiling all of them would take most of the time.
const (
	naps      = 64
	slowusers = 3
)

// BuildSpecimens compiles the lab's test modules and the example hello for a
// kernel, once, makes the variants of them, and gives the directory that holds all:
// <cache>/specimens/<arch>/<release>. One run of the kernel's build system makes
// the modules. They carry no debug information, like a distribution's own, but for inner.
func BuildSpecimens(ctx context.Context, cache string, k Kernel, progress io.Writer) (string, error) {
	s, err := specimens()
	if err != nil {
		return "", err
	}
	compiled, err := buildCached(ctx, cache, k, s, progress,
		"CONFIG_DEBUG_INFO=", "CONFIG_DEBUG_INFO_BTF_MODULES=",
		"KBUILD_MODPOST_WARN=1") // or the build refuses what imports a symbol that nobody exports
	if err != nil {
		return "", fmt.Errorf("specimens: %w", err)
	}
	whole, err := variantsCached(ctx, compiled, k, progress)
	if err != nil {
		return "", fmt.Errorf("specimens: %w", err)
	}
	dir := filepath.Join(cache, "specimens", k.Arch, k.Release)
	if err := pointTo(dir, whole); err != nil {
		return "", fmt.Errorf("specimens: %w", err)
	}
	return dir, nil
}

// specimens are the sources of all test modules and of hello.
func specimens() (sources, error) {
	s := sources{}
	if err := s.add(specimenSources, "specimens/*"); err != nil {
		return nil, fmt.Errorf("specimens: %w", err)
	}
	if err := s.add(examples.Hello, "hello/*.c"); err != nil {
		return nil, fmt.Errorf("specimens: %w", err)
	}
	included := sources{} // by the others: not modules themselves
	for _, name := range []string{"nap0", "nap10", "slowuser0"} {
		file := strings.TrimRight(name, "0123456789") + ".c"
		s[name+".c"] = fmt.Appendf(nil, "#include %q\n", file)
		if s[file] != nil {
			included[file] = s[file]
			delete(s, file)
		}
	}
	s["inner_bare.c"] = []byte("#include \"inner.c\"\n")
	s.listModules()
	// Its lines are asked for; inner_bare is the same without them.
	s["Kbuild"] = append(s["Kbuild"], "CFLAGS_inner.o := -g\n"...)
	maps.Copy(s, included)
	return s, nil
}

// add takes the files that match into one directory.
func (s sources) add(from fs.FS, pattern string) error {
	files, err := fs.Glob(from, pattern)
	if err != nil {
		return err
	}
	for _, file := range files {
		if s[path.Base(file)], err = fs.ReadFile(from, file); err != nil {
			return err
		}
	}
	return nil
}

// pointTo makes dir a link to target, replacing what it was in one step.
func pointTo(dir, target string) error {
	relative, err := filepath.Rel(filepath.Dir(dir), target)
	if err != nil {
		return err
	}
	if old, err := os.Readlink(dir); err == nil && old == relative {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	link := dir + fmt.Sprintf(".new-%d", os.Getpid())
	if err := os.Symlink(relative, link); err != nil {
		return err
	}
	if err := os.Rename(link, dir); err != nil {
		os.Remove(link)
		return err
	}
	return nil
}
