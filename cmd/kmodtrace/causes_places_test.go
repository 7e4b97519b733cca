package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/cause"
)

// placeCases are failures of files that the tracer cannot find by their path, or finds something else
// at it: the kernel's file decides, wherever the loader has it from. Each place is a way; in all of
// them but "held" the loader is gone when the failure is looked at.
func placeCases() []causeCase {
	cases := []causeCase{
		{code: cause.NotELF, file: "text.ko"},
		{code: cause.ELFDamaged, file: "truncated.ko"},
		{code: cause.WrongArchitecture, file: "wrong_arch.ko", says: []string{"aarch64", "x86-64"}},
		{code: cause.Vermagic, file: "bad_vermagic.ko", says: []string{"0.0.0-specimen"}},
		{code: cause.SymbolMissing, file: "wants_nothing.ko", says: []string{"specimen_nowhere"}},
	}
	for i := range cases {
		c := &cases[i]
		file := c.file
		c.name, c.boot, c.check = "elsewhere", plainBoot, unasked
		c.ways = []string{"memfd", "held", "deleted", "namespace", "overlay", "renamed", "image"}
		c.do = func(w *world, t *testing.T, place string) seen { return w.loadFrom(t, place, w.specimen(file)) }
	}
	return cases
}

// loadFrom has the kernel refuse a file that is in one of the places.
func (w *world) loadFrom(t *testing.T, place, file string) seen {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// What is at the path for everybody else is a module that the kernel would take.
	path := filepath.Join(dir, "there.ko")
	w.write(t, path, w.readSpecimen(t, "hello.ko"))
	switch place {
	case "memfd", "held":
		fd, err := unix.MemfdCreate("held", unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, data); err != nil {
			t.Fatal(err)
		}
		if place == "held" {
			defer unix.Close(fd)
			return w.seenDuring(func() { _ = unix.FinitModule(fd, "", 0) })
		}
		return w.seenDuring(func() {
			_ = unix.FinitModule(fd, "", 0)
			_ = unix.Close(fd)
		})
	case "deleted", "renamed":
		w.write(t, path, data)
		return w.seenDuring(func() {
			fd, err := unix.Open(path, unix.O_RDONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			if place == "deleted" {
				_ = os.Remove(path)
			}
			_ = unix.FinitModule(fd, "", 0)
			_ = unix.Close(fd)
			if place == "renamed" {
				_ = os.Rename(path, path+".old")
				w.write(t, path, w.readSpecimen(t, "hello.ko"))
			}
		})
	case "namespace":
		return w.seenDuring(func() {
			command("unshare", "--mount", "sh", "-c", `mount --bind "$1" "$2" && /sbin/insmod "$2"`, "sh", file, path)
		})
	case "overlay":
		layers := t.TempDir()
		const script = `set -e
			mount -t tmpfs none "$3"
			mkdir "$3/up" "$3/work" "$3/all"
			mount -t overlay -o "lowerdir=$2,upperdir=$3/up,workdir=$3/work" none "$3/all"
			cat "$1" >"$3/all/there.ko"
			/sbin/insmod "$3/all/there.ko"`
		return w.seenDuring(func() {
			if _, errs := command("unshare", "--mount", "sh", "-c", script, "sh", file, dir, layers); !bytes.Contains(errs, []byte("insmod")) {
				t.Errorf("insmod does not say that it failed: %s", errs)
			}
		})
	case "image":
		return w.seenDuring(func() { _ = unix.InitModule(data, "") })
	}
	return seen{problem: "no such place"}
}
