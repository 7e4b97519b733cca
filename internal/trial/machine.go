package trial

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// ErrNoRelease is that of [BuiltFor] for a file without vermagic.
var ErrNoRelease = errors.New("the file does not say which kernel it was built for")

// Target is a kernel that modules were built for.
type Target struct{ Release, Arch string }

// BuiltFor says which kernel the last of some module files was built for. An error names the file.
func BuiltFor(files []string) (Target, error) {
	t := Target{Arch: runtime.GOARCH}
	for _, path := range files {
		f, err := kmod.Inspect(path)
		if err == nil {
			err = f.Complete()
		}
		if err != nil {
			if e, ok := err.(*kmod.Error); ok {
				err = e.Err
			}
			return t, &kmod.Error{Op: "try", Module: path, Err: err}
		}
		if known, ok := map[string]string{"x86-64": "amd64", "aarch64": "arm64"}[f.Machine]; ok {
			t.Arch = known
		}
		t.Release, _, _ = strings.Cut(f.Value("vermagic"), " ")
	}
	return t, nil
}

// Machine is one with that kernel, which is fetched into the cache if it is not there.
func (t Target) Machine(ctx context.Context, cache string, progress io.Writer) (m lab.Machine, err error) {
	if t.Release == "" {
		return m, ErrNoRelease
	}
	m = lab.Machine{Cache: cache, Progress: progress}
	m.Kernel, err = lab.EnsureKernel(ctx, cache, t.Release, t.Arch, progress)
	return m, err
}
