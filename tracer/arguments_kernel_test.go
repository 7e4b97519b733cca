package tracer_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// testCompat: every kernel of the matrix on x86-64 runs 32-bit programs.
func testCompat(t *testing.T, w *watch) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the 32-bit system call table apart from the 64-bit one is x86-64's")
	}
	program := "testdata/bin/finit32"
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v (make guest builds it)", err)
	}
	got := w.during(t, func() {
		sh(t, program, "load", specimen("hello"))
		sh(t, program, "unload", "hello")
		sh(t, program, "init", specimen("hello"))
		sh(t, "/sbin/rmmod", "hello")
	})
	expect(t, got, "load hello live", "unload hello unloaded", "load hello live", "unload hello unloaded")
	for i, a := range got {
		if a.Call == nil || a.Call.Compat != (i < 3) {
			t.Errorf("%s: %+v", brief(a), a.Call)
		}
	}
	if len(got) > 0 && (got[0].File == nil || got[0].File.Path != specimen("hello")) {
		t.Errorf("file: %+v", got[0].File)
	}
}

// testFiles: a file that lives in memory, one whose name is gone, and a path
// that is too long to keep whole.
func testFiles(t *testing.T, w *watch) {
	image, err := os.ReadFile(specimen("hello"))
	if err != nil {
		t.Fatal(err)
	}
	load := func(fd int) tracer.File {
		got := w.during(t, func() {
			if err := unix.FinitModule(fd, "", 0); err != nil {
				t.Fatal(err)
			}
			if err := unix.DeleteModule("hello", unix.O_NONBLOCK); err != nil {
				t.Fatal(err)
			}
		})
		expect(t, got, "load hello live", "unload hello unloaded")
		if t.Failed() || got[0].File == nil {
			t.Fatal("no file")
		}
		return *got[0].File
	}

	memfd, err := unix.MemfdCreate("secret", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(memfd)
	if _, err := unix.Write(memfd, image); err != nil {
		t.Fatal(err)
	}
	if f := load(memfd); !f.Memfd || f.Deleted || f.Path != "/memfd:secret" {
		t.Errorf("memfd: %+v", f)
	}

	dir := t.TempDir()
	gone := filepath.Join(dir, "gone.ko")
	if err := os.WriteFile(gone, image, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(gone)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if f := load(int(f.Fd())); !f.Deleted || f.Memfd || f.Path != gone {
		t.Errorf("deleted: %+v", f)
	}

	long := dir
	for range 8 {
		long = filepath.Join(long, strings.Repeat("d", 200))
	}
	if err := os.MkdirAll(long, 0o700); err != nil {
		t.Fatal(err)
	}
	long = filepath.Join(long, "hello.ko")
	if err := os.WriteFile(long, image, 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := os.Open(long)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if f := load(int(g.Fd())); !f.PathCut || !strings.HasSuffix(long, strings.TrimPrefix(f.Path, "…")) {
		t.Errorf("long path: %+v", f)
	}
}

func testParameters(t *testing.T, w *watch) {
	for _, test := range []struct{ params, want string }{
		{`whom="two words"`, `whom="two words"`},
		{"whom=\xff\xfe", `whom=\xff\xfe`},
		{"whom=" + strings.Repeat("x", 1000), "whom=" + strings.Repeat("x", 1000)},
		{"unknown=1 whom=a", "unknown=1 whom=a"},
	} {
		got := w.during(t, func() {
			if err := finit(specimen("hello"), test.params); err != nil {
				t.Errorf("%.20q: %v", test.params, err)
			}
			_ = unix.DeleteModule("hello", unix.O_NONBLOCK)
		})
		expect(t, got, "load hello live", "unload hello unloaded")
		if len(got) > 0 && (got[0].Params == nil || got[0].Params.Text != test.want) {
			t.Errorf("%.20q: %+v", test.params, got[0].Params)
		}
	}
}
