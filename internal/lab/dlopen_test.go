package lab

import (
	"debug/elf"
	"encoding/binary"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dlopenNote is a note as a linker writes it.
func dlopenNote(owner string, kind uint32, text string) []byte {
	pad := func(s string) string { return s + strings.Repeat("\x00", (4-len(s)%4)%4) }
	owner += "\x00"
	note := binary.LittleEndian.AppendUint32(nil, uint32(len(owner)))
	note = binary.LittleEndian.AppendUint32(note, uint32(len(text)))
	note = binary.LittleEndian.AppendUint32(note, kind)
	return append(note, pad(owner)+pad(text)...)
}

func TestParseDlopen(t *testing.T) {
	xz := dlopenNote("FDO", dlopenNoteType, `[{"feature":"xz","priority":"recommended","soname":["liblzma.so.5"]}]`)
	two := dlopenNote("FDO", dlopenNoteType, `[{"soname":["liba.so.2","liba.so.1"]},{"soname":["libb.so.1"]}]`)
	bad := dlopenNote("FDO", dlopenNoteType, `[{"soname":`)
	for name, c := range map[string]struct {
		notes []byte
		want  [][]string
	}{
		"empty":                 {},
		"one":                   {xz, [][]string{{"liblzma.so.5"}}},
		"two notes":             {slices.Concat(two, xz), [][]string{{"liba.so.2", "liba.so.1"}, {"libb.so.1"}, {"liblzma.so.5"}}},
		"another owner":         {slices.Concat(dlopenNote("GNU", dlopenNoteType, `[{"soname":["libc.so.6"]}]`), xz), [][]string{{"liblzma.so.5"}}},
		"another type":          {dlopenNote("FDO", 1, `[{"soname":["libc.so.6"]}]`), nil},
		"not JSON":              {slices.Concat(bad, xz), [][]string{{"liblzma.so.5"}}},
		"not a list":            {dlopenNote("FDO", dlopenNoteType, `{"soname":["libc.so.6"]}`), nil},
		"no soname":             {dlopenNote("FDO", dlopenNoteType, `[{"feature":"xz"},{"soname":[]}]`), nil},
		"a path":                {dlopenNote("FDO", dlopenNoteType, `[{"soname":["../../etc/passwd"]}]`), nil},
		"cut in the header":     {append(slices.Clone(xz), xz[:7]...), [][]string{{"liblzma.so.5"}}},
		"cut in the text":       {xz[:len(xz)-20], nil},
		"a size beyond the end": {binary.LittleEndian.AppendUint32(nil, 0xffffffff), nil},
		"an owner of 4 GiB":     {slices.Concat([]byte{0xff, 0xff, 0xff, 0xff}, xz[4:]), nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := &elf.File{FileHeader: elf.FileHeader{ByteOrder: binary.LittleEndian}}
			if diff := cmp.Diff(c.want, parseDlopen(c.notes, f)); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

// TestGuestReadsCompressedModules: the guest's kmod has the libraries that it opens while it runs.
func TestGuestReadsCompressedModules(t *testing.T) {
	cache, err := CacheDir()
	if err != nil {
		t.Skip(err)
	}
	kmods, err := filepath.Glob(filepath.Join(cache, "guest", "*", "*", "usr", "bin", "kmod"))
	if err != nil || len(kmods) == 0 {
		t.Skip("no guest's tools in the lab's cache")
	}
	for _, kmod := range kmods {
		root := strings.TrimSuffix(kmod, "/usr/bin/kmod")
		found, err := newLibraries(root).of("/usr/bin/kmod")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"liblzma.so.5", "libzstd.so.1"} {
			if !slices.ContainsFunc(found, func(lib string) bool { return filepath.Base(lib) == want }) {
				t.Errorf("%s: %v lacks %s", kmod, found, want)
			}
		}
	}
}
