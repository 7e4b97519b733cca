package guest

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/cavaliergopher/cpio"
)

type packed struct {
	name, content string
	mode          cpio.FileMode
}

func pack(t *testing.T, files ...packed) *bytes.Buffer {
	t.Helper()
	var archive bytes.Buffer
	w := cpio.NewWriter(&archive)
	for _, f := range files {
		if err := w.WriteHeader(&cpio.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &archive
}

// A payload replaces what is there, links included, but for directories.
func TestUnpack(t *testing.T) {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	for _, err := range []error{
		os.Mkdir(at("dir"), 0o755), os.WriteFile(at("dir/kept"), []byte("kept"), 0o644),
		os.WriteFile(at("file"), []byte("old"), 0o600), os.WriteFile(at("target"), []byte("target"), 0o644), os.Symlink("target", at("link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	archive := pack(t,
		packed{"dir", "", cpio.TypeDir | 0o755}, packed{"dir/new", "new", cpio.TypeReg | 0o755},
		packed{"file", "longer than before", cpio.TypeReg | 0o644}, packed{"link", "own", cpio.TypeReg | 0o644},
		packed{"other", "file", cpio.TypeSymlink | 0o777}, packed{"empty", "", cpio.TypeReg | 0o400},
		packed{"tmp", "", cpio.TypeDir | cpio.ModeSticky | 0o777},
	)
	archive.Write(make([]byte, 1<<20)) // what the device's memory has behind it
	if err := unpack(archive, root); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"dir/kept": "kept", "dir/new": "new", "file": "longer than before", "link": "own", "target": "target", "other": "longer than before", "empty": "",
	} {
		if got, err := os.ReadFile(at(name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]os.FileMode{"dir/new": 0o755, "file": 0o644, "tmp": os.ModeDir | os.ModeSticky | 0o777} {
		if info, err := os.Stat(at(name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", name, info, err, want)
		}
	}
}

// A payload that is none, or is cut off, is an error.
func TestUnpackGarbage(t *testing.T) {
	whole := pack(t, packed{"file", "content", cpio.TypeReg | 0o644}).Bytes()
	for name, archive := range map[string][]byte{
		"zeros": make([]byte, 1<<10), "no archive": []byte("not an archive of any kind, but long enough to have a header that could be read, were it one of those 110 bytes"),
		"cut off in a header": whole[:50], "cut off in a file": whole[:120], "no end": whole[:128],
		"a device": pack(t, packed{"null", "", cpio.TypeChar | 0o666}).Bytes(),
	} {
		t.Run(name, func(t *testing.T) {
			if err := unpack(bytes.NewReader(archive), t.TempDir()); err == nil {
				t.Error("it was unpacked")
			}
		})
	}
}

func TestFindDevice(t *testing.T) {
	devices := t.TempDir()
	for name, ids := range map[string][2]string{"0000:00:00.0": {"0x8086", "0x29c0"}, "0000:00:02.0": {payloadVendor, payloadDevice}} {
		if err := os.Mkdir(filepath.Join(devices, name), 0o755); err != nil {
			t.Fatal(err)
		}
		for i, file := range []string{"vendor", "device"} {
			if err := os.WriteFile(filepath.Join(devices, name, file), []byte(ids[i]+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, err := findDevice(devices, payloadVendor, payloadDevice); err != nil || filepath.Base(got) != "0000:00:02.0" {
		t.Errorf("%s, %v", got, err)
	}
	for _, devices := range []string{devices, filepath.Join(devices, "nowhere")} {
		if got, err := findDevice(devices, payloadVendor, "0xffff"); err == nil {
			t.Errorf("a device that there is not: %s", got)
		}
	}
}
