package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Workshop is a root directory with the lab's compiler and a kernel's headers, where the
// kernel's packages put them: a machine that can build modules, for programs that do so.
// Nothing in it is the host's, but the directories that are shown.
type Workshop struct {
	Kernel    Kernel
	toolchain *toolchain
}

// OpenWorkshop gives a workshop for a kernel that is here already, of the host's own
// architecture. It fetches nothing: an error says what to do first.
func OpenWorkshop(cache, series string) (*Workshop, error) {
	k, err := FindKernel(cache, series, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	if k.Headers == "" {
		return nil, fmt.Errorf("no headers of %s here: fetch them with: kmodtrace lab fetch --headers %s", k.Release, series)
	}
	t, err := openToolchain(filepath.Join(cache, "toolchain", listIdentity(toolchainPackages(runtime.GOARCH))))
	if err != nil {
		return nil, fmt.Errorf("no compiler here: the first kmodtrace lab build fetches it: %w", err)
	}
	return &Workshop{Kernel: k, toolchain: t}, nil
}

// Run runs a command in the workshop. Shown are directories of the host, each by its place in
// the workshop.
func (w *Workshop) Run(ctx context.Context, shown map[string]string, out io.Writer, argv ...string) error {
	done, err := w.Kernel.use()
	if err != nil {
		return err
	}
	defer done()
	binds := w.Kernel.headerBinds()
	for at, from := range shown {
		binds = append(binds, bind{from, at})
	}
	return w.toolchain.run(ctx, binds, out, argv...)
}

// Copy makes a directory a workshop too, for a machine that is to have it.
func (w *Workshop) Copy(ctx context.Context, dir string) error {
	binds := append([]bind{{w.toolchain.root, ""}}, w.Kernel.headerBinds()...)
	for _, b := range binds {
		to := filepath.Join(dir, b.at)
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if _, err := output(exec.CommandContext(ctx, "cp", "-a", "--no-target-directory", b.from, to)); err != nil {
			return fmt.Errorf("copy a workshop: %w", err)
		}
	}
	return nil
}
