package kmod

import (
	"context"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnloadExplains: each errno of delete_module, with what sysfs shows beside it.
func TestUnloadExplains(t *testing.T) {
	root := rootOf(t, map[string]string{
		"sys/module/held/initstate": "live\n", "sys/module/held/refcnt": "1\n", "sys/module/held/holders/user_a": "",
		"sys/module/busy/initstate": "live\n", "sys/module/busy/refcnt": "3\n",
		"sys/module/kernel/parameters/x": "1\n",
		"sys/module/gone/initstate":      "going\n",
		"proc/modules":                   "", "proc/sys/kernel/modules_disabled": "1\n",
	})
	opts := UnloadOptions{Root: root}
	for name, c := range map[string]struct {
		module string
		errno  unix.Errno
		want   error
		text   string
		passes bool
	}{
		"not there": {"nope", unix.ENOENT, ErrNotLoaded, "not loaded", false},
		"built in":  {"kernel", unix.ENOENT, ErrBuiltin, "built into", false},
		"held":      {"held", unix.EAGAIN, ErrInUse, "in use by user_a", true},
		"busy":      {"busy", unix.EAGAIN, ErrInUse, "refcount 3", true},
		"no exit":   {"busy", unix.EBUSY, unix.EBUSY, "no exit function", false},
		"going":     {"gone", unix.EBUSY, unix.EBUSY, "busy", true},
		"no kernel": {"held", unix.ENOSYS, ErrNoModules, "loads no modules", false},
		"disabled":  {"held", unix.EPERM, ErrNoModules, "modules_disabled", false},
	} {
		err := opts.explain(c.module, c.errno)
		if !errors.Is(err, c.want) || !errors.Is(err, c.errno) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
		if got := opts.mayPass(c.module, c.errno); got != c.passes {
			t.Errorf("%s: may pass: %v", name, got)
		}
	}
}

func TestUnloadRefusesNames(t *testing.T) {
	for _, name := range []string{"", "a/b", "/x/hello.ko", strings.Repeat("x", 4096), "a\x00", "-f"} {
		err := Unload(t.Context(), name, nil)
		if !errors.Is(err, ErrBadName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Unload(ctx, "hello", nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
