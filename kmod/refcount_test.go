package kmod

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCheckRefcount: what the kernel would not survive it is not asked, nor what might be
// that; all else it is, for its own answer. An error has no errno, which would look as if the
// kernel had given it.
func TestCheckRefcount(t *testing.T) {
	const (
		refcnt = "sys/module/hello/refcnt"
		state  = "sys/module/hello/initstate"
		listed = "proc/modules"
		others = "other 4096 0 - Live 0x0\n"
	)
	type files = map[string]string
	for name, c := range map[string]struct {
		files files
		want  error
		says  string
	}{
		"none":                  {files{refcnt: "0\n", state: "live\n"}, nil, ""},
		"some":                  {files{refcnt: "7\n", state: "live\n"}, nil, ""},
		"negative":              {files{refcnt: "-1\n", state: "live\n"}, ErrNegativeRefcount, "(-1)"},
		"after a BUG":           {files{refcnt: "-2\n", state: "live\n"}, ErrNegativeRefcount, "(-2)"},
		"the least":             {files{refcnt: "-2147483648\n", state: "live\n"}, ErrNegativeRefcount, "(-2147483648)"},
		"leaving":               {files{refcnt: "-1\n", state: "going\n"}, nil, ""},
		"coming":                {files{refcnt: "-1\n", state: "coming\n"}, nil, ""},
		"no state":              {files{refcnt: "-1\n"}, ErrNegativeRefcount, ""},
		"not loaded":            {files{listed: others}, nil, ""},
		"built in":              {files{listed: others, "sys/module/hello/parameters/x": "1\n"}, nil, ""},
		"not counted":           {files{listed: "hello 4096 - -\n", state: "live\n"}, nil, ""},
		"gone from sysfs":       {files{listed: "hello 4096 -1 - Live 0x0\n"}, ErrNegativeRefcount, "(-1)"},
		"gone, sound":           {files{listed: others + "hello 4096 2 - Live 0x0\n"}, nil, ""},
		"gone, leaving":         {files{listed: "hello 4096 -1 - Unloading 0x0\n"}, nil, ""},
		"gone, no state":        {files{listed: "hello 4096 -1 -\n"}, ErrNegativeRefcount, ""},
		"nothing mounted":       {nil, ErrUnreadRefcount, "proc/modules"},
		"no modules":            {files{"proc/self/comm": "x\n"}, ErrNoModules, "refcount cannot be read"},
		"empty":                 {files{refcnt: "", state: "live\n", listed: ""}, ErrUnreadRefcount, "refcnt"},
		"not a number":          {files{refcnt: "many\n", state: "live\n", listed: others}, ErrUnreadRefcount, "refcnt"},
		"a dash":                {files{refcnt: "-\n", state: "live\n", listed: others}, ErrUnreadRefcount, "refcnt"},
		"not UTF-8":             {files{refcnt: "\xff\x00-1\n", state: "live\n", listed: ""}, ErrUnreadRefcount, "refcnt"},
		"no int":                {files{refcnt: "-99999999999999999999\n", state: "live\n", listed: ""}, ErrUnreadRefcount, "out of range"},
		"huge":                  {files{refcnt: strings.Repeat("0", 1<<20), state: "live\n", listed: ""}, ErrUnreadRefcount, "more than 64 bytes"},
		"a directory":           {files{refcnt + "/x": "", listed: ""}, ErrUnreadRefcount, "not a regular file"},
		"no number, but listed": {files{refcnt: "many\n", state: "live\n", listed: "hello 4096 -1 - Live 0x0\n"}, ErrNegativeRefcount, "(-1)"},
		"both are nonsense":     {files{refcnt: "many\n", state: "live\n", listed: "hello x\n"}, ErrUnreadRefcount, "too few fields"},
		"a list without end":    {files{listed: strings.Repeat(others, maxModules/len(others)+1)}, ErrUnreadRefcount, "more than"},
	} {
		err := checkRefcount(rootOf(t, c.files), "hello")
		var errno unix.Errno
		switch {
		case !errors.Is(err, c.want) || c.want != nil && (!errors.Is(err, ErrNotAsked) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want %v", name, err, c.want)
		case errors.As(err, &errno):
			t.Errorf("%s: the errno %v of %v is not the kernel's answer", name, errno, err)
		}
	}
}

// TestCheckRefcountUnreadable: files that are there and cannot be read.
func TestCheckRefcountUnreadable(t *testing.T) {
	root := rootOf(t, map[string]string{"sys/module/hello/initstate": "live\n", "proc/modules": ""})
	path := filepath.Join(root, "sys/module/hello/refcnt")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkRefcount(root, "hello"); !errors.Is(err, ErrUnreadRefcount) {
		t.Errorf("a FIFO: %v", err)
	}
	if os.Geteuid() == 0 {
		t.Skip("root may read every file")
	}
	os.Remove(path)
	if err := os.WriteFile(path, []byte("0\n"), 0); err != nil {
		t.Fatal(err)
	}
	if err := checkRefcount(root, "hello"); !errors.Is(err, ErrUnreadRefcount) {
		t.Errorf("not to be read: %v", err)
	}
}

// TestCheckRefcountGoes: a module goes while it is looked at, and comes again: the count of
// the load that leaves is not taken for that of the one that lives.
func TestCheckRefcountGoes(t *testing.T) {
	const loads = 300
	files := map[string]string{"proc/modules": "", "sys/module/other/initstate": ""}
	for i := range loads { // each with a number of its own, as in sysfs
		leaving, live := fmt.Sprintf("load%d/", 2*i), fmt.Sprintf("load%d/", 2*i+1)
		files[leaving+"refcnt"], files[leaving+"initstate"] = "-1\n", "going\n"
		files[live+"refcnt"], files[live+"initstate"] = "0\n", "live\n"
	}
	root := rootOf(t, files)
	at, next := filepath.Join(root, "sys/module/hello"), filepath.Join(root, "next")
	done := make(chan error)
	go func() {
		for i := range 2 * loads {
			if err := errors.Join(os.Symlink(fmt.Sprintf("%s/load%d", root, i), next), os.Rename(next, at)); err != nil {
				done <- err
				return
			}
		}
		close(done)
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
		if err := checkRefcount(root, "hello"); errors.Is(err, ErrNegativeRefcount) {
			t.Fatalf("two loads taken for one: %v", err)
		}
	}
}

// TestUnloadNotAsked: the refusal is the error of Unload, and no errno explains it.
func TestUnloadNotAsked(t *testing.T) {
	root := rootOf(t, map[string]string{"sys/module/hello/initstate": "live\n", "sys/module/hello/refcnt": "-1\n"})
	for _, opts := range []UnloadOptions{{Root: root}, {Root: root, Force: true}, {Root: root, Wait: true}} {
		err := Unload(t.Context(), "hello", &opts)
		if !errors.Is(err, ErrNegativeRefcount) || err.Error() != "unload hello: the kernel was not asked: its refcount is negative (-1)" {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}
