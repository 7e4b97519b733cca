package kmod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"golang.org/x/sys/unix"
)

// UnloadOptions change how Unload asks. Nil is the same as its zero value.
type UnloadOptions struct {
	// Force removes a module that is in use or cannot be unloaded, where the kernel
	// has CONFIG_MODULE_FORCE_UNLOAD. It taints the kernel and may well crash it.
	Force bool
	// Wait asks again while the module is in use, until the context ends. The waiting
	// is done here: kernels from 3.13 on never wait, whatever the flags of
	// delete_module say.
	Wait bool
	// Root is the directory that holds proc and sys, read to find out whether the kernel may
	// be asked, and to explain a refusal; "" is /.
	Root string
}

// Unload takes a module out of the kernel. The name may have dashes for underscores.
// Each attempt is one delete_module system call of the calling thread, with
// O_NONBLOCK always and O_TRUNC for Force.
//
// A module whose refcount is negative, or cannot be read, is refused before the kernel is
// asked, also with Force: [ErrNegativeRefcount], [ErrUnreadRefcount]. The kernel does not
// survive the call: see [ErrNotAsked].
//
// Errors: [ErrNotLoaded] (ENOENT), [ErrInUse] (EAGAIN), [ErrBuiltin] (ENOENT), EBUSY for a module
// that is loading, unloading or without exit, EPERM without CAP_SYS_MODULE or after
// kernel.modules_disabled was set. When the context ends a wait, its error is added.
func Unload(ctx context.Context, name string, opts *UnloadOptions) error {
	if opts == nil {
		opts = &UnloadOptions{}
	}
	module, err := NormalName(name)
	if err != nil {
		return &Error{Op: "unload", Module: name, Err: err}
	}
	flags := unix.O_NONBLOCK
	if opts.Force {
		flags |= unix.O_TRUNC
	}
	err = ctx.Err()
	if err == nil {
		err = opts.ask(module, flags)
	}
	for pause := 5 * time.Millisecond; opts.Wait && opts.mayPass(module, err); pause = min(2*pause, 250*time.Millisecond) {
		select {
		case <-ctx.Done():
			return &Error{Op: "unload", Module: module, Err: because(opts.explain(module, err), ctx.Err())}
		case <-time.After(pause):
		}
		err = opts.ask(module, flags)
	}
	if err != nil {
		return &Error{Op: "unload", Module: module, Err: opts.explain(module, err)}
	}
	return nil
}

// ask is the one place that calls delete_module. Right before that it looks at the count:
// what the kernel would not survive it is not asked.
func (o *UnloadOptions) ask(module string, flags int) error {
	return undisturbed(func() error {
		if err := checkRefcount(o.Root, module); err != nil {
			return err
		}
		return unix.DeleteModule(module, flags)
	})
}

// mayPass tells whether a refusal can end by itself. EBUSY stands for a module on its
// way in or out, which passes, and for one without an exit function, which does not.
func (o *UnloadOptions) mayPass(module string, err error) bool {
	if errors.Is(err, unix.EBUSY) {
		state := initState(o.Root, module)
		return state == "coming" || state == "going"
	}
	return errors.Is(err, unix.EAGAIN)
}

// explain adds to the errno what /sys/module tells about the module.
func (o *UnloadOptions) explain(module string, err error) error {
	switch {
	case errors.Is(err, ErrNotAsked):
		return err
	case errors.Is(err, unix.ENOENT) && isBuiltin(o.Root, module):
		return because(ErrBuiltin, err)
	case errors.Is(err, unix.ENOENT):
		return because(ErrNotLoaded, err)
	case errors.Is(err, unix.EAGAIN):
		return because(fmt.Errorf("%w%s", ErrInUse, holders(o.Root, module)), err)
	case errors.Is(err, unix.EBUSY) && initState(o.Root, module) == "live":
		return because(errors.New("it has no exit function"), err)
	}
	return refusal(o.Root, err)
}

// holders says by whom a module is used, as far as sysfs tells: other modules by
// name, everything else only by number.
func holders(root, module string) string {
	dir := filepath.Join(rooted(root), "sys/module", module)
	entries, _ := os.ReadDir(filepath.Join(dir, "holders"))
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if len(names) > 0 {
		return " by " + strings.Join(names, ", ")
	}
	if refs, err := procfs.RefCount(rooted(root), module); err == nil && refs != 0 {
		return fmt.Sprintf(" (refcount %d)", refs)
	}
	return ""
}
