package cause

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestWriters: this process has a file open for writing, and then only for reading.
func TestWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "module.ko")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	// Of the superblock, as an event has it: on btrfs a file's own is another.
	device, _ := deviceOfMount("/proc/self", descriptorOf(string(info)).mount)
	file := &tracer.File{Path: path, Inode: st.Ino, Device: device}
	self := fmt.Sprintf("[%d]", os.Getpid())
	holds := func() bool {
		found, err := writers(t.Context(), file)
		if err != nil {
			t.Error(err)
		}
		return slices.ContainsFunc(found, func(w string) bool { return len(w) > len(self) && w[len(w)-len(self):] == self })
	}
	if !holds() {
		t.Error("a file that is open for writing has no writer")
	}
	f.Close()
	if f, err = os.Open(path); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if holds() {
		t.Error("a file that is open for reading has a writer")
	}
}

// TestDescriptorIsOf: a path says little about a process in another mount namespace.
func TestDescriptorIsOf(t *testing.T) {
	file := &tracer.File{Path: "/lib/a.ko", Inode: 42, Device: tracer.Device{Major: 8, Minor: 1}}
	const mounts = "21 20 8:1 / / rw - ext4 /dev/sda1 rw\n22 20 0:50 / /tmp rw - tmpfs tmpfs rw\n23 20 x:y / /bad rw - t t rw\n24\n"
	for name, c := range map[string]struct {
		info, target, mounts string
		want                 bool // in this process's mount namespace
		elsewhere            bool // in another
	}{
		"the file":                             {"pos:\t0\nflags:\t0100002\nmnt_id:\t21\nino:\t42\n", "/lib/a.ko", mounts, true, true},
		"under another name":                   {"flags:\t02\nmnt_id:\t21\nino:\t42\n", "/host/lib/a.ko", mounts, true, true},
		"another file of that name":            {"flags:\t02\nmnt_id:\t22\nino:\t42\n", "/lib/a.ko", mounts, false, false},
		"another inode of that name":           {"flags:\t02\nmnt_id:\t21\nino:\t43\n", "/lib/a.ko", mounts, false, false},
		"for reading":                          {"flags:\t0100000\nmnt_id:\t21\nino:\t42\n", "/lib/a.ko", mounts, false, false},
		"before 5.14":                          {"flags:\t01\nmnt_id:\t21\n", "/lib/a.ko", mounts, true, false},
		"before 5.14, under another name":      {"flags:\t01\nmnt_id:\t21\n", "/lib/b.ko", mounts, false, false},
		"before 5.14, another of that name":    {"flags:\t01\nmnt_id:\t22\n", "/lib/a.ko", mounts, false, false},
		"a mount of the kernel":                {"flags:\t02\nmnt_id:\t9\nino:\t42\n", "/lib/a.ko", mounts, true, true},
		"a mount of the kernel, another name":  {"flags:\t02\nmnt_id:\t9\nino:\t42\n", "/memfd:a (deleted)", mounts, false, false},
		"no mounts to be had":                  {"flags:\t02\nmnt_id:\t21\nino:\t42\n", "/lib/a.ko", "", true, true},
		"a mount that cannot be read":          {"flags:\t02\nmnt_id:\t23\nino:\t42\n", "/lib/b.ko", mounts, false, false},
		"an empty fdinfo":                      {"", "/lib/a.ko", mounts, false, false},
		"flags that are not a number":          {"flags:\tmany\nmnt_id:\t21\nino:\t42\n", "/lib/a.ko", mounts, false, false},
		"a line that goes on as another would": {"flags:\t00\nscm_fds: 1\nflags\n", "/lib/a.ko", mounts, false, false},
	} {
		process := t.TempDir()
		for path, text := range map[string]string{"fdinfo/3": c.info, "mountinfo": c.mounts} {
			path = filepath.Join(process, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, dir := range []string{"fd", "ns"} {
			if err := os.Mkdir(filepath.Join(process, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(c.target, filepath.Join(process, "fd/3")); err != nil {
			t.Fatal(err)
		}
		namespace, err := os.Readlink("/proc/self/ns/mnt")
		if err != nil {
			t.Fatal(err)
		}
		for link, want := range map[string]bool{namespace: c.want, "mnt:[1]": c.elsewhere} {
			_ = os.Remove(filepath.Join(process, "ns/mnt"))
			if err := os.Symlink(link, filepath.Join(process, "ns/mnt")); err != nil {
				t.Fatal(err)
			}
			if got, err := hasOpenForWriting(t.Context(), process, file); err != nil || got != want {
				t.Errorf("%s, %s: %v, %v", name, link, got, err)
			}
		}
	}
}
