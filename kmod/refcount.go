package kmod

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"golang.org/x/sys/unix"
)

// checkRefcount errs with [ErrNegativeRefcount] where the kernel counts fewer references to
// a module than none: the module dropped one that it did not have. delete_module takes the
// kernel's own reference from the count, and has a BUG for a result below zero
// (try_release_module_ref), also when it is forced. The thread dies with module_mutex held,
// and whoever loads or unloads a module then waits until reboot. rmmod refuses it by the
// same file.
//
// It errs with [ErrUnreadRefcount] where neither /sys nor /proc has a count and one may
// exist. Neither error has an errno: the kernel gave none.
func checkRefcount(root, module string) error {
	root = rooted(root)
	count, leaving, err := sysfsRefcount(root, module)
	if err != nil { // not loaded, hidden from sysfs, or sysfs is not mounted
		count, leaving, err = listedRefcount(root, module, err)
	}
	switch {
	case errors.Is(err, ErrNoModules):
		return because(ErrUnreadRefcount, ErrNoModules)
	case err != nil:
		return fmt.Errorf("%w: %v", ErrUnreadRefcount, err)
	case isNegative(count, leaving):
		return &RefcountError{count}
	}
	return nil
}

// isNegative: of a module that is on its way out the kernel has taken its own reference, so
// that -1 is right. delete_module refuses it without looking at the count.
func isNegative(count int, leaving bool) bool { return count < 0 && !leaving }

// maxReloads is how often a module may be replaced by another load of it while it is looked at.
const maxReloads = 100

// sysfsRefcount reads the count and the state of one and the same load of a module: -1 of
// an old one that leaves and "live" of its successor would make a broken module of both.
func sysfsRefcount(root, module string) (count int, leaving bool, err error) {
	dir := filepath.Join(root, "sys/module", module)
	for range maxReloads {
		before := instance(dir)
		count, err = procfs.RefCount(root, module)
		state := initState(root, module)
		if instance(dir) == before {
			return count, state == "coming" || state == "going", err
		}
	}
	return 0, false, fmt.Errorf("%s: it is loaded and unloaded all the time", dir)
}

// instance tells the loads of a module from each other; see [Loaded.Instance].
func instance(dir string) uint64 {
	var stat unix.Stat_t
	if unix.Stat(dir, &stat) != nil {
		return 0
	}
	return stat.Ino
}

// maxModules bounds /proc/modules: a kernel has some hundred lines there.
const maxModules = 16 << 20

// listedRefcount reads the count from /proc/modules, where sysfs gave an error. It is 0 of a
// module that is neither there nor in sysfs, and where the kernel counts none because it
// cannot unload: the kernel refuses both by itself.
func listedRefcount(root, module string, sysfs error) (count int, leaving bool, err error) {
	modules, err := listed(root)
	if err != nil {
		return 0, false, err
	}
	for i := range modules {
		m := &modules[i]
		switch {
		case m.Name != module:
		case m.Refs != nil:
			return *m.Refs, m.passing(), nil
		default:
			return 0, false, nil
		}
	}
	if errors.Is(sysfs, fs.ErrNotExist) || errors.Is(sysfs, unix.ENODEV) { // the latter: gone while it was read
		return 0, false, nil
	}
	return 0, false, sysfs
}

// listed reads /proc/modules alone.
func listed(root string) ([]Module, error) {
	path := filepath.Join(root, "proc/modules")
	text, err := procfs.ReadFile(path, maxModules)
	if errors.Is(err, fs.ErrNotExist) {
		if _, procErr := os.Stat(filepath.Join(root, "proc/self")); procErr == nil {
			return nil, because(ErrNoModules, err) // else it is only that nothing is mounted
		}
	}
	if err != nil {
		return nil, err
	}
	modules, err := parseProcModules(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return modules, nil
}
