package lab

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// brought packs entries the way that a guest does.
func brought(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	packed := gzip.NewWriter(&out)
	archive := tar.NewWriter(packed)
	for _, h := range entries {
		content := "content"
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := archive.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(archive, content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestUnpackBrought(t *testing.T) {
	base := t.TempDir()
	wanted := []Bring{{Folder: filepath.Join(base, "new", "one")}, {Folder: filepath.Join(base, "two")}}
	data := brought(t,
		tar.Header{Name: "0/dir", Typeflag: tar.TypeDir, Mode: 0o500},
		tar.Header{Name: "0/dir/file", Mode: 0o400},
		tar.Header{Name: "1/link", Typeflag: tar.TypeSymlink, Linkname: "file"},
		tar.Header{Name: "1/file"},
	)
	for range 2 { // the second time everything is there already
		if err := unpackBrought(bytes.NewReader(data), wanted); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"new/one/dir/file", "two/file", "two/link"} {
		if got, err := os.ReadFile(filepath.Join(base, name)); string(got) != "content" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestNothingLeavesItsFolder(t *testing.T) {
	for _, entries := range [][]tar.Header{
		{{Name: "0/../../escaped"}},
		{{Name: "0/link", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "0/link/escaped"}},
		{{Name: "0/link", Typeflag: tar.TypeSymlink, Linkname: "../escaped"}, {Name: "0/link/x"}},
		{{Name: "/escaped"}},
		{{Name: "1/escaped"}},
		{{Name: "-1/escaped"}},
		{{Name: "x/escaped"}},
		{{Name: "0"}},
		{{Name: "99999999999999999999/x"}},
	} {
		base := t.TempDir()
		err := unpackBrought(bytes.NewReader(brought(t, entries...)), []Bring{{Folder: filepath.Join(base, "in")}})
		if err == nil {
			t.Errorf("%s: no error", entries[len(entries)-1].Name)
		}
		if found, _ := filepath.Glob(filepath.Join(base, "escaped*")); len(found) > 0 {
			t.Errorf("%s: written outside: %v", entries[len(entries)-1].Name, found)
		}
	}
}

func TestCutOffFilesAreAnError(t *testing.T) {
	data := brought(t, tar.Header{Name: "0/a"}, tar.Header{Name: "0/b"})
	for n := range len(data) {
		c := newCollector([]Bring{{Folder: t.TempDir()}})
		c.write(data[:n])
		if err := c.close(io.ErrUnexpectedEOF); err == nil {
			t.Fatalf("%d of %d bytes: no error", n, len(data))
		}
	}
}

func TestFolderThatTakesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := newCollector([]Bring{{Folder: file}})
	for range 100 { // must not block, though nobody reads any more
		c.write(brought(t, tar.Header{Name: "0/a"}))
	}
	if err := c.close(io.EOF); err == nil {
		t.Error("no error")
	}
}
