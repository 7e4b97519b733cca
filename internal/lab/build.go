package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/kmodtrace/kmodtrace/kbuild"
)

// Build compiles out-of-tree modules for a kernel and puts the .ko files into
// the directory out, giving their paths. What to build is one directory with a Makefile
// or Kbuild of its own, or C files that become one module each. It is built in a
// copy: the user's directory stays as it is. The result is kept in the cache, so
// that the same sources for the same kernel cost nothing the second time.
//
// A compiler's complaints go to progress as they are; the error repeats the
// first one.
func Build(ctx context.Context, cache string, k Kernel, paths []string, out string, progress io.Writer) ([]string, error) {
	s, err := readSources(paths)
	if err != nil {
		return nil, err
	}
	built, err := buildCached(ctx, cache, k, s, progress)
	if err != nil {
		return nil, err
	}
	return copyModules(built, out)
}

// buildCached gives the directory in the cache that holds the modules built from
// the sources for the kernel.
func buildCached(ctx context.Context, cache string, k Kernel, s sources, progress io.Writer, arguments ...string) (string, error) {
	k, err := EnsureHeaders(ctx, cache, k, progress)
	if err != nil {
		return "", err
	}
	t, err := ensureToolchain(ctx, cache, progress)
	if err != nil {
		return "", err
	}
	key := s.hash(append([]string{k.Release, k.Arch, t.identity}, arguments...)...)
	dir := filepath.Join(cache, "built", k.Arch, k.Release, key)
	if exists(dir) {
		used(dir)
		return dir, nil
	}
	unlock, err := lockFile(ctx, dir+".lock", progress)
	if err != nil {
		return "", err
	}
	defer unlock()
	defer os.Remove(dir + ".lock")
	if exists(dir) {
		return dir, nil
	}
	return dir, t.build(ctx, k, s, dir, progress, arguments)
}

// build compiles in a directory beside dir and moves the modules to dir when all
// are there.
func (t *toolchain) build(ctx context.Context, k Kernel, s sources, dir string, progress io.Writer, arguments []string) error {
	start := time.Now()
	// We hold dir's lock: what lies here from before is of a build that was killed.
	work := filepath.Join(filepath.Dir(dir), ".build-"+filepath.Base(dir))
	tree, result := filepath.Join(work, "tree"), filepath.Join(work, "result")
	defer os.RemoveAll(work)
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(result, 0o755), s.writeTo(tree)); err != nil {
		return fmt.Errorf("build modules: %w", err)
	}
	fmt.Fprintf(progress, "building modules for %s\n", k.Release)
	var complaints bytes.Buffer
	err := t.make(ctx, k, tree, &complaints, arguments)
	if ctx.Err() != nil {
		return fmt.Errorf("build modules for %s: %w", k.Release, context.Cause(ctx))
	}
	if err != nil {
		progress.Write(complaints.Bytes())
		return fmt.Errorf("build modules for %s: %s (%w)", k.Release, kbuild.FirstComplaint(complaints.String()), err)
	}
	modules, err := copyModules(tree, result)
	if err == nil {
		err = os.Rename(result, dir)
	}
	if err != nil {
		return fmt.Errorf("build modules for %s: %w", k.Release, err)
	}
	fmt.Fprintf(progress, "built %d modules for %s in %.1f s\n", len(modules), k.Release, time.Since(start).Seconds())
	return nil
}

// make runs the kernel's build system on tree. The headers must stand where
// their own Makefiles say they are, by absolute path: /usr/src and /usr/lib.
func (t *toolchain) make(ctx context.Context, k Kernel, tree string, out io.Writer, arguments []string) error {
	done, err := k.use()
	if err != nil {
		return err
	}
	defer done()
	binds := append(k.headerBinds(), bind{tree, "build"})
	argv := []string{"make", "--no-print-directory", fmt.Sprintf("-j%d", runtime.NumCPU()),
		"-C", "/usr/src/linux-headers-" + k.Release, "M=/build", "modules"}
	argv = append(argv, compilerArguments(k.Arch)...)
	return t.run(ctx, binds, out, append(argv, arguments...)...)
}

// headerBinds show a kernel's headers where its packages put them.
func (k Kernel) headerBinds() []bind {
	binds := []bind{{filepath.Join(k.Headers, "usr", "src"), "usr/src"}}
	kbuilds, _ := filepath.Glob(filepath.Join(k.Headers, "usr", "lib", "linux-kbuild-*"))
	for _, kbuild := range kbuilds {
		binds = append(binds, bind{kbuild, filepath.Join("usr", "lib", filepath.Base(kbuild))})
	}
	return binds
}

// copyModules copies the modules in from to the directory to, and makes that.
func copyModules(from, to string) ([]string, error) {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return nil, fmt.Errorf("copy modules: %w", err)
	}
	var modules []string
	err := filepath.WalkDir(from, func(p string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(p) != ".ko" {
			return err
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		target := filepath.Join(to, filepath.Base(p))
		modules = append(modules, target)
		return os.WriteFile(target, text, 0o644)
	})
	if err == nil && len(modules) == 0 {
		err = errors.New("no module came out: does the Makefile say obj-m?")
	}
	if err != nil {
		return nil, fmt.Errorf("copy modules to %s: %w", to, err)
	}
	return modules, nil
}
