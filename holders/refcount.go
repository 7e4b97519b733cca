package holders

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// maxModuleName is the kernel's MODULE_NAME_LEN without the final NUL.
const maxModuleName = 55

// What keeps one module's references from being asked about.
var (
	// ErrNotLoaded: the kernel has no module of that name in memory.
	ErrNotLoaded = errors.New("not loaded")
	// ErrNotCounted: it has, and counts no references to it: it is a part of the
	// kernel image, or this kernel cannot unload.
	ErrNotCounted = errors.New("the kernel counts no references to it: it is built in, or nothing can be unloaded here")
)

// RefCount reads how many references a loaded module has, without the one that
// the kernel itself keeps of it. Errors are [ErrNotLoaded] and [ErrNotCounted].
func RefCount(module string) (int, error) { return refCount("/", module) }

func refCount(root, module string) (int, error) {
	if err := checkModuleName(module); err != nil {
		return 0, err
	}
	dir := filepath.Join(root, "sys/module", module)
	n, err := procfs.RefCount(root, module)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, os.ErrNotExist):
		return 0, fmt.Errorf("read reference count of %s: %w", module, err)
	}
	if _, err := os.Stat(dir); err == nil {
		return 0, fmt.Errorf("%s: %w", module, ErrNotCounted)
	}
	return 0, fmt.Errorf("%s: %w", module, ErrNotLoaded)
}

// checkModuleName refuses what would name something else below /sys/module.
func checkModuleName(module string) error {
	if module == "" || len(module) > maxModuleName || strings.ContainsAny(module, "/\x00") || module == "." || module == ".." {
		return fmt.Errorf("%q: not a module name", module)
	}
	return nil
}
