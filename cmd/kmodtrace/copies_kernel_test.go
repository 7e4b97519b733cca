package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// TestCopies: the service keeps the files of loads, also of refused ones, of many at once and of files that have no name, and
// gives back the bytes that the kernel had. Where they are not to be had any more, it says so.
func TestCopies(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if err := roles.Install("kmodtrace"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	store := madeDir(t, filepath.Join(dir, "copies"))
	if err := unix.Mount("tmpfs", store, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(store, unix.MNT_DETACH) })
	s := serve(t, dir, "")
	t.Cleanup(func() { // other tests use this machine
		for _, m := range []string{"hello", "params", "base", "dummy"} {
			mayFail("/sbin/rmmod", m)
		}
		for i := range 64 {
			mayFail("/sbin/rmmod", fmt.Sprintf("nap%d", i))
		}
	})
	insmod := func(args ...string) { mayFail(append([]string{"/sbin/insmod"}, args...)...) }
	// loadOf gives the last record of a load of a module.
	loadOf := func(module string) (rec *journal.Record, a *record.Record) {
		r, err := journal.OpenReadOnly(s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for found, err := range r.Query(context.Background(), journal.Filter{Modules: []string{module}, Kinds: []journal.Kind{journal.KindAction}, Actions: []string{journal.Load}, Limit: 1}) {
			if err != nil {
				t.Fatal(err)
			}
			return &found, history.ActionOf(&found)
		}
		return nil, nil
	}
	check := func(module, file string) {
		t.Helper()
		await.Until(t, "a record of "+module, func() bool { _, a := loadOf(module); return a != nil })
		rec, a := loadOf(module)
		if a.Copy == nil || !a.Copy.Kept {
			t.Errorf("%s: %+v, origin %+v", module, a.Copy, a.Origin)
			return
		}
		to := filepath.Join(t.TempDir(), "copy")
		if out, err := exec.Command(roles.Path("kmodtrace"), "history", "show", "--journal", s.path, "--copy", to, rec.ID).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", module, err, out)
		}
		got, _ := os.ReadFile(to)
		want, err := os.ReadFile(file)
		if err != nil || len(want) == 0 || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d of %s (%v)", module, len(got), len(want), file, err)
		}
		if module != "hello" {
			return
		}
		if out, _ := exec.Command(roles.Path("kmodtrace"), "info", to).CombinedOutput(); !strings.Contains(string(out), module) {
			t.Errorf("info of the copy of %s: %s", module, out)
		}
	}
	insmod(labModule("hello"))
	check("hello", labModule("hello"))
	mayFail("/sbin/rmmod", "hello")
	insmod(labModule("refuse"))
	check("refuse", labModule("refuse"))
	// What has no name can be read as long as who loaded it has it open.
	memfd := memfdOf(t, labModule("params"))
	if err := unix.FinitModule(int(memfd.Fd()), "", 0); err != nil {
		t.Fatal(err)
	}
	check("params", labModule("params"))
	memfd.Close()
	loadFrom(t, memfdOf(t, labModule("base")))
	await.Until(t, "a record of base", func() bool { _, a := loadOf("base"); return a != nil })
	check("base", labModule("base"))
	mayFail("/sbin/rmmod", "base")
	text, err := os.ReadFile(labModule("base"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.InitModule(text, ""); err != nil {
		t.Error(err)
	}
	await.Until(t, "a record of base from memory", func() bool { _, a := loadOf("base"); return a.Call.Call == tracer.InitModule })
	check("base", labModule("base"))
	mayFail("/sbin/modprobe", "dummy")
	check("dummy", installedFile(t, "dummy"))

	var group sync.WaitGroup
	const many = 64
	kept := ""
	for i := range many {
		group.Go(func() { insmod(labModule(fmt.Sprintf("nap%d", i)), "ms=100") })
	}
	group.Wait()
	for i := range many {
		name := fmt.Sprintf("nap%d", i)
		await.Until(t, "a record of "+name, func() bool { _, a := loadOf(name); return a != nil })
		// On a slow machine a look at a file can be too late, and then that is said.
		switch _, a := loadOf(name); {
		case a.NotLookedUp != "":
		case a.Copy == nil, !a.Copy.Kept && a.Copy.Why == "":
			t.Errorf("%s: %+v", name, a.Copy)
		case a.Copy.Kept:
			kept = name
		}
	}
	if kept == "" {
		t.Fatal("none of them is kept")
	}
	check(kept, labModule(kept))

	// A file that is another one before the load has ended.
	file := copied(t, labModule("slowbase"), madeDir(t, "/root/changing"))
	cmd := exec.Command("/sbin/insmod", labModule("nap1"), "ms=10")
	_ = cmd.Run()
	mayFail("/sbin/rmmod", "nap1")
	copied(t, labModule("nap1"), "/root/changing")
	cmd = exec.Command("/sbin/insmod", "/root/changing/nap1.ko", "ms=3000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "nap1 in its init", func() bool { _, err := os.Stat("/sys/module/nap1"); return err == nil })
	if err := os.Rename(file, "/root/changing/nap1.ko"); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	var a *record.Record
	var rec *journal.Record
	await.Until(t, "the record of nap1", func() bool { rec, a = loadOf("nap1"); return a.File != nil && a.File.Path == "/root/changing/nap1.ko" })
	if a.Copy == nil || !a.Copy.Kept || !strings.Contains(a.Copy.Why, "not as the kernel had it") {
		t.Errorf("%+v, %+v", a.Copy, a.Origin)
	}
	check("nap1", labModule("nap1"))

	// loaded loads hello from a file, and gives the record of that.
	loaded := func(file string) *record.Record {
		insmod(file)
		await.Until(t, "the record of "+file, func() bool { rec, a = loadOf("hello"); return a.File != nil && a.File.Path == file })
		mayFail("/sbin/rmmod", "hello")
		return a
	}
	// A module of 64 MiB is kept, unless a slow machine has no time to read it whole.
	large := padded(t, labModule("hello"), "/root/large.ko", 64<<20, zeroes{})
	if a := loaded(large); a.Copy == nil || !a.Copy.Kept && !strings.Contains(a.Copy.Why, "no answer within") {
		t.Errorf("%+v, %+v", a.Copy, a.Origin)
	} else if a.Copy.Kept {
		check("hello", large)
	}
	// One for which the disk has no room is not.
	full := false
	for i := 0; i < 5 && !full; i++ {
		a := loaded(padded(t, labModule("hello"), fmt.Sprintf("/root/larger%d.ko", i), 12<<20, rand.Reader))
		full = a.Copy != nil && !a.Copy.Kept && strings.Contains(a.Copy.Why, "no space left")
		if !full && (a.Copy == nil || a.Copy.Kept || !strings.Contains(a.Copy.Why, "no answer within")) {
			t.Errorf("%+v, %+v", a.Copy, a.Origin)
		}
	}
	if !full {
		t.Error("none was too much for the disk")
	}
	if out, err := exec.Command(roles.Path("kmodtrace"), "history", "show", "--journal", s.path, "--copy", "/root/none", rec.ID).CombinedOutput(); err == nil || !strings.Contains(string(out), "no copy of what it loaded is kept") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat("/root/none"); err == nil {
		t.Error("something was written")
	}
	if left, err := filepath.Glob(filepath.Join(store, "*")); err != nil || slices.ContainsFunc(left, func(name string) bool { return len(filepath.Base(name)) < 64 }) {
		t.Errorf("%q, %v", left, err)
	}
	if status := s.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d: %s", status, s.said)
	}
}

// padded copies a module, and fills the file up to a size, with what the kernel does not look at.
func padded(t *testing.T, module, to string, size int64, padding io.Reader) string {
	t.Helper()
	text, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Cleanup(func() { _ = os.Remove(to) })
	if _, err := io.Copy(f, io.MultiReader(bytes.NewReader(text), io.LimitReader(padding, size-int64(len(text))))); err != nil {
		t.Fatal(err)
	}
	return to
}

// zeroes are without an end.
type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
