package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Offers lists the kernels that can be fetched for an architecture, oldest
// first. The package indexes are read from the network at most once a day.
func Offers(ctx context.Context, cache, arch string, progress io.Writer) ([]Offer, error) {
	a, err := openArchive(ctx, cache, progress)
	if err != nil {
		return nil, err
	}
	ix, err := a.index(ctx, false)
	if err != nil {
		return nil, err
	}
	return ix.offers(arch, runtime.GOARCH), nil
}

// Matrix names the series that the lab's tests run on, as far as they are
// offered: on amd64 5.10, 6.1, 6.12, the oldest 7.x and the newest; on arm64
// 6.1, 6.12 and the newest.
func Matrix(ctx context.Context, cache, arch string, progress io.Writer) ([]string, error) {
	offers, err := Offers(ctx, cache, arch, progress)
	if err != nil {
		return nil, err
	}
	return matrix(offers, arch), nil
}

// EnsureKernel finds a kernel as FindKernel does, and fetches it when it is not
// here. For Newest it looks at what is offered first, and falls back to what is
// here when nothing can be reached. Progress, in lines of text, goes to
// progress.
func EnsureKernel(ctx context.Context, cache, wanted, arch string, progress io.Writer) (Kernel, error) {
	found, err := FindKernel(cache, wanted, arch)
	if err == nil && wanted != Newest {
		return found, nil
	}
	if err != nil && !errors.As(err, new(*NotFetchedError)) {
		return Kernel{}, err
	}
	fetched, fetchErr := fetchKernel(ctx, cache, wanted, arch, progress)
	if fetchErr != nil && err == nil && ctx.Err() == nil {
		fmt.Fprintf(progress, "using %s, the newest kernel here: %v\n", found.Release, fetchErr)
		return found, nil
	}
	return fetched, fetchErr
}

// EnsureHeaders fetches a kernel's headers where they are missing, and gives the
// kernel with its Headers set. A mirror drops old headers: those of a kernel
// that was fetched long ago may be gone.
func EnsureHeaders(ctx context.Context, cache string, k Kernel, progress io.Writer) (Kernel, error) {
	if k.Headers != "" {
		return k, nil
	}
	dir := kernelDir(cache, k.Arch, k.Release)
	if !exists(filepath.Join(dir, kernelRecord)) {
		return k, fmt.Errorf("headers of %s: not installed: install the package linux-headers-%s", k.Release, k.Release)
	}
	err := fetchOffered(ctx, cache, k.Release, k.Arch, progress, func(a *archive, o Offer) error {
		return a.fetchHeaders(ctx, dir, o)
	})
	if err != nil {
		return k, fmt.Errorf("headers of %s: %w", k.Release, err)
	}
	return readKernel(dir)
}

func fetchKernel(ctx context.Context, cache, wanted, arch string, progress io.Writer) (Kernel, error) {
	var dir string
	err := fetchOffered(ctx, cache, wanted, arch, progress, func(a *archive, o Offer) error {
		dir = kernelDir(cache, arch, o.Release)
		return a.fetchKernel(ctx, dir, o)
	})
	if err != nil {
		return Kernel{}, err
	}
	return readKernel(dir)
}

// fetchOffered chooses an offer and hands it to fetch. When that fails, the
// index may be older than the mirror: it is refreshed, once.
func fetchOffered(ctx context.Context, cache, wanted, arch string, progress io.Writer, fetch func(*archive, Offer) error) error {
	a, err := openArchive(ctx, cache, progress)
	if err != nil {
		return err
	}
	for refresh := false; ; refresh = true {
		ix, err := a.index(ctx, refresh)
		if err != nil {
			return err
		}
		offers := ix.offers(arch, runtime.GOARCH)
		offer, ok := choose(offers, wanted)
		if !ok {
			err = notOffered(wanted, arch, offers, ix.Missing)
		} else if err = fetch(a, offer); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("fetch kernel %s: %w", wanted, context.Cause(ctx))
		}
		mayFix := isStale(err) || (!ok && ix.Missing != "")
		if refresh || !mayFix {
			return err
		}
		fmt.Fprintf(progress, "trying again: %v\n", err)
	}
}

// downloadError is apt's failure to get packages that the index lists.
type downloadError struct{ err error }

func (e *downloadError) Error() string { return e.err.Error() }
func (e *downloadError) Unwrap() error { return e.err }

// fetchedOnce gives a directory of the cache, and has it fetched where it is not there:
// once, whoever else wants it, and again with a new index where the one at hand is stale.
func fetchedOnce(ctx context.Context, cache, dir string, progress io.Writer, fetch func(*archive, *index) error) (string, error) {
	if exists(dir) {
		return dir, nil
	}
	unlock, err := lockFile(ctx, dir+".lock", progress)
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(dir) {
		return dir, nil
	}
	a, err := openArchive(ctx, cache, progress)
	if err != nil {
		return "", err
	}
	for refresh := false; ; refresh = true {
		ix, err := a.index(ctx, refresh)
		if err != nil {
			return "", err
		}
		err = fetch(a, ix)
		if err == nil {
			return dir, nil
		}
		if refresh || !isStale(err) || ctx.Err() != nil {
			return "", err
		}
		fmt.Fprintf(progress, "trying again: %v\n", err)
	}
}

// isStale tells a download that failed because the mirror has moved on since the
// index was read, which a fresher index fixes, from one that failed because there is no
// network, which apt has tried often enough.
func isStale(err error) bool {
	var download *downloadError
	if !errors.As(err, &download) {
		return false
	}
	for _, sign := range []string{"404  Not Found", "Hash Sum mismatch", "unexpected size", "was not found"} {
		if strings.Contains(download.Error(), sign) {
			return true
		}
	}
	return false
}

func notOffered(wanted, arch string, offers []Offer, missing string) error {
	var series []string
	for _, o := range offers {
		if !slices.Contains(series, o.Series) {
			series = append(series, o.Series)
		}
	}
	msg := fmt.Sprintf("no %s kernel %q in the package sources; they offer %s", arch, wanted, strings.Join(series, ", "))
	if len(series) == 0 {
		msg = fmt.Sprintf("no %s kernel in the package sources", arch)
	}
	if missing != "" {
		msg += "; some could not be read: " + missing
	}
	return errors.New(msg)
}

// fetchKernel downloads and unpacks an offered kernel into dir. What is under
// way lies in a directory of another name, so that dir is there only when whole.
func (a *archive) fetchKernel(ctx context.Context, dir string, o Offer) error {
	unlock, err := lockFile(ctx, dir+".lock", a.progress)
	if err != nil {
		return err
	}
	defer unlock()
	if exists(filepath.Join(dir, kernelRecord)) {
		return nil // another kmodtrace fetched it while we waited
	}
	return a.unpackInto(ctx, dir, "kernel "+o.Release, o.image, func(root string) error {
		return finishKernel(ctx, root, o)
	})
}

// fetchHeaders downloads and unpacks an offered kernel's headers beside it.
func (a *archive) fetchHeaders(ctx context.Context, dir string, o Offer) error {
	unlock, err := lockFile(ctx, dir+".lock", a.progress)
	if err != nil {
		return err
	}
	defer unlock()
	headers := filepath.Join(dir, "headers")
	if exists(headers) {
		return nil
	}
	return a.unpackInto(ctx, headers, "headers of "+o.Release, o.headers, func(string) error { return nil })
}

// unpackInto downloads packages, unpacks them into one root directory, lets finish
// complete it and moves it to dir as the last step.
func (a *archive) unpackInto(ctx context.Context, dir, what string, packages []pkg, finish func(root string) error) error {
	start := time.Now()
	fmt.Fprintf(a.progress, "fetching %s (%s)\n", what, formatSize(totalSize(packages)))
	err := assemble(dir, what, func(debs, root string) error {
		if err := a.download(ctx, debs, packages); err != nil {
			return &downloadError{err}
		}
		files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
		if err != nil || len(files) != len(packages) {
			return errors.Join(fmt.Errorf("downloaded %d of %d packages", len(files), len(packages)), err)
		}
		if err := unpackPackages(ctx, root, files); err != nil {
			return err
		}
		return finish(root)
	})
	if err == nil {
		fmt.Fprintf(a.progress, "fetched %s in %.1f s\n", what, time.Since(start).Seconds())
		a.cleanCache()
	}
	return err
}

// assemble makes the directory dir whole or not at all: make works in a directory beside
// it, with one for packages and one that becomes dir. The caller holds dir's lock,
// so what lies there from before is of a fetch that was killed.
func assemble(dir, what string, make func(debs, root string) error) error {
	work := filepath.Join(filepath.Dir(dir), ".fetch-"+filepath.Base(dir))
	debs, root := filepath.Join(work, "debs"), filepath.Join(work, "root")
	defer os.RemoveAll(work)
	err := os.RemoveAll(work)
	for _, directory := range []string{debs, root} {
		if err == nil {
			err = os.MkdirAll(directory, 0o755)
		}
	}
	if err == nil {
		err = make(debs, root)
	}
	if err == nil {
		err = os.Rename(root, dir)
	}
	if err != nil {
		return fmt.Errorf("fetch %s: %w", what, err)
	}
	return nil
}

func unpackPackages(ctx context.Context, root string, files []string) error {
	for _, file := range files {
		if _, err := output(exec.CommandContext(ctx, "dpkg-deb", "-x", file, root)); err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(file), err)
		}
	}
	return nil
}

// finishKernel makes a bootable kernel of an unpacked one: the module tree in
// one place for all versions, its dependency files, and the record.
func finishKernel(ctx context.Context, root string, o Offer) error {
	if err := settleModules(root); err != nil {
		return err
	}
	if _, err := output(exec.CommandContext(ctx, depmodPath(), "-b", root, o.Release)); err != nil {
		return fmt.Errorf("list module dependencies: %w", err)
	}
	k := Kernel{
		Release: o.Release,
		Series:  o.Series,
		Arch:    o.Arch,
		Modules: filepath.Join("lib", "modules", o.Release),
	}
	var imageErr, configErr error
	k.Image, imageErr = bootFile(root, "vmlinuz", o.Release)
	k.Config, configErr = bootFile(root, "config", o.Release)
	if err := errors.Join(imageErr, configErr); err != nil {
		return fmt.Errorf("kernel is not whole: %w", err)
	}
	text, err := json.MarshalIndent(k, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, kernelRecord), append(text, '\n'), 0o644)
}

// bootFile finds a kernel's file below root: in boot with the release in its
// name, or from 7.x in the module tree.
func bootFile(root, name, release string) (string, error) {
	inTree := filepath.Join("lib", "modules", release, name)
	if exists(filepath.Join(root, inTree)) {
		return inTree, nil
	}
	inBoot := filepath.Join("boot", name+"-"+release)
	_, err := os.Stat(filepath.Join(root, inBoot))
	return inBoot, err
}

// settleModules moves the module tree to lib/modules, where packages up to
// bookworm have it; later ones have usr/lib/modules. A link at the other place
// serves a depmod that was built to look there.
func settleModules(root string) error {
	lib, usrLib := filepath.Join(root, "lib"), filepath.Join(root, "usr", "lib")
	switch {
	case exists(filepath.Join(lib, "modules")) && !exists(usrLib):
		return os.Symlink("../lib", usrLib)
	case !exists(lib) && exists(usrLib):
		return errors.Join(os.Rename(usrLib, lib), os.Symlink("../lib", usrLib))
	}
	return nil
}

// depmodPath finds depmod, which is often missing from a user's PATH.
func depmodPath() string {
	if path, err := exec.LookPath("depmod"); err == nil {
		return path
	}
	return "/usr/sbin/depmod"
}

func totalSize(packages []pkg) (sum int64) {
	for _, p := range packages {
		sum += p.Size
	}
	return sum
}

func formatSize(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
