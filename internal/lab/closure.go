package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// closure is a directory with packages of the host's architecture, and with all that they depend on: a
// root directory for chroot, of which nothing is installed in the host.
// It needs no privilege: the packages are unpacked, and their scripts do not run.
type closure struct {
	kind   string // of the cache's directories, the one that it is in
	what   string // it is, for people
	names  []string
	finish func(root string) error // does what the packages' scripts would; may be nil
}

// closureRecord lists the packages inside.
const closureRecord = "packages"

// ensure gives the directory, and fetches it the first time.
func (c closure) ensure(ctx context.Context, cache string, progress io.Writer) (string, error) {
	dir := filepath.Join(cache, c.kind, listIdentity(c.names))
	return fetchedOnce(ctx, cache, dir, progress, func(a *archive, _ *index) error { return c.fetch(ctx, a, dir) })
}

func (c closure) fetch(ctx context.Context, a *archive, dir string) error {
	start := time.Now()
	fmt.Fprintf(a.progress, "fetching %s\n", c.what)
	err := assemble(dir, c.what, func(debs, root string) error {
		if err := a.downloadClosure(ctx, debs, c.names); err != nil {
			return &downloadError{err}
		}
		files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
		if err != nil || len(files) == 0 {
			return errors.Join(errors.New("apt downloaded nothing"), err)
		}
		if err := unpackPackages(ctx, root, files); err != nil {
			return err
		}
		if err := mergeUsr(root); err != nil {
			return err
		}
		if c.finish != nil {
			if err := c.finish(root); err != nil {
				return err
			}
		}
		if err := recordPackages(root, files); err != nil {
			return err
		}
		fmt.Fprintf(a.progress, "fetched %s in %.1f s\n", c.what, time.Since(start).Seconds())
		return nil
	})
	if err == nil {
		a.cleanCache()
	}
	return err
}

func recordPackages(root string, files []string) error {
	var record strings.Builder
	for _, file := range files {
		fmt.Fprintln(&record, filepath.Base(file))
	}
	return os.WriteFile(filepath.Join(root, closureRecord), []byte(record.String()), 0o644)
}

// downloadClosure downloads packages with all that they depend on, from the
// suite that the guest's tools come from.
func (a *archive) downloadClosure(ctx context.Context, dir string, names []string) error {
	unlock, err := lockFile(ctx, filepath.Join(a.dir, "lock"), a.progress)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := os.ReadFile(filepath.Join(a.dir, "sources.list"))
	if err != nil {
		return err
	}
	only := filepath.Join(dir, "sources.list")
	if err := os.WriteFile(only, sourcesOf(string(all), guestSuite), 0o644); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "partial"), 0o755); err != nil {
		return err
	}
	args := []string{
		"-q", "-y", "--no-install-recommends", "--download-only",
		"-o", "APT::Architecture=" + runtime.GOARCH,
		"-o", "Dir::Etc::sourcelist=" + only,
		"-o", "Dir::Cache::archives=" + dir,
		"install",
	}
	_, err = output(a.command(ctx, "apt-get", append(args, names...)...))
	return err
}

// sourcesOf keeps the lines of one suite.
func sourcesOf(list, suite string) []byte {
	var kept strings.Builder
	for line := range strings.Lines(list) {
		if strings.Contains(line, " "+suite+" ") {
			kept.WriteString(line)
		}
	}
	return []byte(kept.String())
}

// Packages gives a directory with Debian packages and what they depend on, to become a
// root directory in a guest of the host's architecture. It is fetched once; what says in a
// few words what the packages are.
func Packages(ctx context.Context, cache, what string, names []string, progress io.Writer) (string, error) {
	return closure{kind: "packages", what: what, names: names}.ensure(ctx, cache, progress)
}
