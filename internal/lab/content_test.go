package lab

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// What is fetched for guests must be whole: a host may have nothing else.
func TestFetchedToolsHaveTheirLibraries(t *testing.T) {
	cache, err := CacheDir()
	if err != nil {
		t.Skip(err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			if testing.Short() {
				t.Skip("may download")
			}
			root, err := GuestRoot(t.Context(), cache, arch, os.Stderr)
			if err != nil {
				t.Skip(err)
			}
			im, err := newImage(io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			libs := newLibraries(root)
			for _, name := range []string{"/bin/kmod", "/bin/dash", "/bin/busybox"} {
				im.must(t, im.program(libs, name, "/usr/bin/"+filepath.Base(name)))
			}
			loaders := 0
			for name := range im.have {
				if strings.HasPrefix(filepath.Base(name), "ld-linux") && im.have[name].IsRegular() {
					loaders++
				}
			}
			if loaders != 1 {
				t.Errorf("%d dynamic loaders in %v", loaders, im.have)
			}
		})
	}
}

func TestGuestProgram(t *testing.T) {
	t.Setenv("KMODTRACE_GUEST", "/nosuch/kmodtrace")
	if got, err := GuestProgram(runtime.GOARCH); err == nil {
		t.Errorf("a program that is not there: got %s", got)
	}
	t.Setenv("KMODTRACE_GUEST", "/bin/sh")
	if got, err := GuestProgram("arm64"); err != nil || got != "/bin/sh" {
		t.Errorf("got %s, %v", got, err)
	}
	t.Setenv("KMODTRACE_GUEST", "")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := GuestProgram(runtime.GOARCH); err != nil || got != self {
		t.Errorf("for the host's architecture: got %s, %v", got, err)
	}
	foreign := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	if _, err := GuestProgram(foreign); err == nil || !strings.Contains(err.Error(), "make guest") {
		t.Errorf("for %s: %v", foreign, err)
	}
}
