package lab

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"
	"github.com/google/go-cmp/cmp"
)

// readImage gives the archive's entries as "mode name", links with " -> target"
// and files with their content.
func readImage(t *testing.T, data []byte) []string {
	t.Helper()
	var got []string
	r := cpio.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		line := h.FileInfo().Mode().String() + " " + h.Name
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		} else if h.Mode.IsRegular() {
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			line += ": " + string(content)
		}
		got = append(got, line)
	}
}

func TestImage(t *testing.T) {
	host := t.TempDir()
	for name, mode := range map[string]fs.FileMode{"a": 0o755, "sub/b,c d": 0o600} {
		name = filepath.Join(host, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(filepath.Base(name)), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../nowhere", filepath.Join(host, "sub", "dangling")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	im, err := newImage(&out)
	if err != nil {
		t.Fatal(err)
	}
	im.must(t, im.file(filepath.Join(host, "a"), "/sbin/a"))
	im.must(t, im.tree(host, "/x/y", func(rel string) bool { return rel == "a" }))
	im.must(t, im.dir("/x", 0o700)) // there already
	im.must(t, im.close())
	want := []string{
		"Lrwxrwxrwx bin -> usr/bin", "drwxr-xr-x usr", "drwxr-xr-x usr/bin",
		"Lrwxrwxrwx sbin -> usr/sbin", "drwxr-xr-x usr/sbin",
		"Lrwxrwxrwx lib -> usr/lib", "drwxr-xr-x usr/lib",
		"Lrwxrwxrwx lib64 -> usr/lib64", "drwxr-xr-x usr/lib64",
		"-rwxr-xr-x usr/sbin/a: a",
		"drwxr-xr-x x", "drwxr-xr-x x/y", "drwxr-xr-x x/y/sub",
		"-rw------- x/y/sub/b,c d: b,c d", "Lrwxrwxrwx x/y/sub/dangling -> ../nowhere",
	}
	if diff := cmp.Diff(want, readImage(t, out.Bytes())); diff != "" {
		t.Errorf("image (-want +got):\n%s", diff)
	}
}

func (im *image) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestImageRefuses(t *testing.T) {
	im, err := newImage(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	im.must(t, im.text("/etc/x", 0o644, nil))
	for what, err := range map[string]error{
		"the same file twice":            im.text("/etc/x", 0o644, nil),
		"the same by another way":        im.text("/a/../etc//x", 0o644, nil),
		"a file in place of a directory": im.text("/etc", 0o644, nil),
		"a file through a link to /usr":  errors.Join(im.text("/usr/bin/y", 0o755, nil), im.text("/bin/y", 0o755, nil)),
		"a directory as a file":          im.file(t.TempDir(), "/f"),
		"no such file":                   im.file("/nosuch/file", "/g"),
		"a device":                       im.file("/dev/null", "/h"),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if err := im.file("/nosuch/file", "/g"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
}

// fullDisk takes some bytes and then none.
type fullDisk struct{ left int }

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), d.left)
	d.left -= n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

func TestImageOnAFullDisk(t *testing.T) {
	im, err := newImage(&fullDisk{left: 3 << 20})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(im.text("/big", 0o644, []byte(strings.Repeat("x", 8<<20))), im.close())
	if !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
}

func TestParentMayNotBeAFile(t *testing.T) {
	im, err := newImage(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	im.must(t, im.text("/etc/x", 0o644, nil))
	if err := im.text("/etc/x/y", 0o644, nil); err == nil {
		t.Error("a file below a file: no error")
	}
}
