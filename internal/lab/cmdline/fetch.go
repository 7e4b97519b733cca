package cmdline

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/lab"
)

// FetchKernels fetches kernels into the cache, with their headers if those are wanted too, and
// prints the release of each. Without a name it takes those that the lab's tests run on.
func FetchKernels(ctx context.Context, wanted []string, arch string, headers bool, stdout, progress io.Writer) error {
	cache, err := lab.CacheDir()
	if err != nil {
		return err
	}
	if len(wanted) == 0 {
		if wanted, err = lab.Matrix(ctx, cache, arch, progress); err != nil {
			return err
		}
	}
	var errs []error
	for _, name := range wanted {
		k, err := lab.EnsureKernel(ctx, cache, name, arch, progress)
		if err == nil && headers {
			k, err = lab.EnsureHeaders(ctx, cache, k, progress)
		}
		if err == nil {
			fmt.Fprintln(stdout, cells.Printable(k.Release))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Build says for which kernel modules are built, and the directory that they are put into.
type Build struct{ Kernel, Arch, Out string }

// Modules builds modules from a directory or C files, and prints the name of each file.
func (b Build) Modules(ctx context.Context, paths []string, stdout, progress io.Writer) error {
	cache, k, err := b.kernel(ctx, progress)
	if err != nil {
		return err
	}
	modules, err := lab.Build(ctx, cache, k, paths, b.Out, progress)
	for _, m := range modules {
		fmt.Fprintln(stdout, cells.Printable(m))
	}
	return err
}

// Specimens builds the lab's own test modules into the cache, and prints where they are.
func (b Build) Specimens(ctx context.Context, stdout, progress io.Writer) error {
	cache, k, err := b.kernel(ctx, progress)
	if err != nil {
		return err
	}
	dir, err := lab.BuildSpecimens(ctx, cache, k, progress)
	if err == nil {
		fmt.Fprintln(stdout, cells.Printable(dir))
	}
	return err
}

func (b Build) kernel(ctx context.Context, progress io.Writer) (cache string, k lab.Kernel, err error) {
	if cache, err = lab.CacheDir(); err == nil {
		k, err = lab.EnsureKernel(ctx, cache, b.Kernel, b.Arch, progress)
	}
	return cache, k, err
}
