package lab

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const content = "content"

// brought packs entries the way that a guest does.
func brought(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	packed := gzip.NewWriter(&out)
	archive := tar.NewWriter(packed)
	for _, h := range entries {
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
		}
		if h.Mode == 0 && h.Typeflag != tar.TypeXGlobalHeader {
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

var enough = bringLimits{defaultBringBytes, defaultBringFiles}

// collect is what a run does with such a stream.
func collect(wanted []Bring, limits bringLimits, data []byte) error {
	c := newCollector(wanted, limits)
	c.write(data)
	return c.close(io.EOF, time.Minute)
}

// found lists what is below a directory, with kinds and modes.
func found(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := entry.Info()
		rel, _ := filepath.Rel(dir, path)
		names = append(names, fmt.Sprintf("%s %v", rel, info.Mode()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestFilesComeBack(t *testing.T) {
	defer unix.Umask(unix.Umask(0o022))
	data := brought(t,
		tar.Header{Name: "0/dir/", Typeflag: tar.TypeDir, Mode: 0o500},
		tar.Header{Name: "0/dir/file", Mode: 0o4755},
		tar.Header{Name: "0/dir/sub", Typeflag: tar.TypeDir, Mode: 0o555},
		tar.Header{Name: "0/dir/sub/file", Mode: 0o400},
		tar.Header{Name: "1/file", Mode: 0o755},
	)
	for modes, want := range map[bool][]string{
		false: {"new drwxr-xr-x", "new/one drwxr-xr-x", "new/one/dir drwxr-xr-x", "new/one/dir/file -rw-r--r--",
			"new/one/dir/sub drwxr-xr-x", "new/one/dir/sub/file -rw-r--r--", "two drwxr-xr-x", "two/file -rw-r--r--"},
		true: {"new drwxr-xr-x", "new/one drwxr-xr-x", "new/one/dir dr-x------", "new/one/dir/file -rwxr-xr-x",
			"new/one/dir/sub dr-xr-xr-x", "new/one/dir/sub/file -r--------", "two drwxr-xr-x", "two/file -rwxr-xr-x"},
	} {
		base := t.TempDir()
		wanted := []Bring{
			{Guest: "/tmp/dir", Directory: filepath.Join(base, "new", "one"), Modes: modes},
			{Guest: "/file", Directory: filepath.Join(base, "two"), Modes: modes, File: true},
		}
		if err := collect(wanted, enough, data); err != nil {
			t.Fatal(err)
		}
		if got := found(t, base); !slices.Equal(got, want) {
			t.Errorf("modes %t:\n got %q\nwant %q", modes, got, want)
		}
		// Once more: the file is replaced, and the directory is not: somebody may have put
		// something there.
		if err := collect(wanted[1:], enough, brought(t, tar.Header{Name: "0/file", Mode: 0o600})); err != nil {
			t.Error(err)
		}
		if err := collect(wanted, enough, data); err == nil || !strings.Contains(err.Error(), "one/dir is there already") {
			t.Errorf("over a directory: %v", err)
		}
		if err := checkBring(wanted); err == nil || !strings.Contains(err.Error(), "one/dir is there already") {
			t.Errorf("over a directory, before the run: %v", err)
		}
		if got := found(t, base); !slices.Equal(got[:6], want[:6]) || len(got) != len(want) {
			t.Errorf("modes %t, again:\n got %q\nwant %q", modes, got, want)
		}
	}
}

// hostileArchives are the worst of what a guest that was asked for /tmp/a may send, with a
// part of what is said of it.
func hostileArchives(t testing.TB) map[string]struct {
	data []byte
	says string
} {
	link := func(name, to string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
	}
	dir := tar.Header{Name: "0/a", Typeflag: tar.TypeDir}
	many := []tar.Header{dir}
	for i := range 200 {
		many = append(many, tar.Header{Name: fmt.Sprint("0/a/", i), Typeflag: tar.TypeDir})
	}
	bomb := func() []byte { // 16 MiB of zeros
		var out bytes.Buffer
		packed := gzip.NewWriter(&out)
		archive := tar.NewWriter(packed)
		if err := archive.WriteHeader(&tar.Header{Name: "0/a", Size: 16 << 20, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		for range 16 {
			if _, err := archive.Write(make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors_(archive.Close(), packed.Close()); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	sparse := func() []byte { // claims 8 EiB by a header, and has none
		h := tar.Header{Name: "0/a", Typeflag: tar.TypeReg, Size: math.MaxInt64 / 2, Mode: 0o644, Format: tar.FormatGNU}
		var out bytes.Buffer
		packed := gzip.NewWriter(&out)
		archive := tar.NewWriter(packed)
		if err := archive.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if err := packed.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	zeros := func() []byte { // behind the archive's end
		var out bytes.Buffer
		packed := gzip.NewWriter(&out)
		for range 16 {
			if _, err := packed.Write(make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
		if err := packed.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	file := tar.Header{Name: "0/a"}
	return map[string]struct {
		data []byte
		says string
	}{
		"climbs":                 {brought(t, tar.Header{Name: "0/../../escaped"}), "not a name"},
		"climbs below":           {brought(t, dir, tar.Header{Name: "0/a/../../escaped"}), "not a name"},
		"absolute":               {brought(t, tar.Header{Name: "/escaped"}), "not requested"},
		"of another":             {brought(t, tar.Header{Name: "0/Makefile"}), "/tmp/a was asked for"},
		"a git hook":             {brought(t, tar.Header{Name: "0/.git/hooks/pre-commit", Mode: 0o755}), "/tmp/a was asked for"},
		"longer name":            {brought(t, tar.Header{Name: "0/ab"}), "/tmp/a was asked for"},
		"no index":               {brought(t, tar.Header{Name: "1/a"}), "not requested"},
		"negative index":         {brought(t, tar.Header{Name: "-1/a"}), "not requested"},
		"index with a sign":      {brought(t, tar.Header{Name: "+0/a"}), "not requested"},
		"no number":              {brought(t, tar.Header{Name: "x/a"}), "not requested"},
		"only the index":         {brought(t, tar.Header{Name: "0"}), "not a name"},
		"a great index":          {brought(t, tar.Header{Name: "99999999999999999999/a"}), "not requested"},
		"link":                   {brought(t, link("0/a", "/etc/passwd")), "a symbolic link"},
		"through a link":         {brought(t, link("0/a", ".."), tar.Header{Name: "0/a/escaped"}), "a symbolic link"},
		"hard link":              {brought(t, tar.Header{Name: "0/a", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}), "a hard link"},
		"device":                 {brought(t, tar.Header{Name: "0/a", Typeflag: tar.TypeBlock, Devmajor: 8}), "a device"},
		"FIFO":                   {brought(t, tar.Header{Name: "0/a", Typeflag: tar.TypeFifo}), "a named pipe"},
		"global header":          {brought(t, tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "0/a"}}), "an entry of type 'g'"},
		"twice":                  {brought(t, file, file), "exists"},
		"file, then a directory": {brought(t, file, tar.Header{Name: "0/a/b"}), "not a directory"},
		"no parent":              {brought(t, tar.Header{Name: "0/a/b/c"}), "no such file"},
		"control characters":     {brought(t, dir, tar.Header{Name: "0/a/\x1b[2J"}), "control character"},
		"a line":                 {brought(t, dir, tar.Header{Name: "0/a/x\ny"}), "control character"},
		"long name":              {brought(t, dir, tar.Header{Name: "0/a/" + strings.Repeat("x", 256)}), "too long"},
		"deep":                   {brought(t, dir, tar.Header{Name: "0/a" + strings.Repeat("/x", 64)}), "too deep"},
		"name of a megabyte":     {brought(t, dir, tar.Header{Name: "0/a" + strings.Repeat("/x", 400_000)}), "too long"},
		"many":                   {brought(t, many...), "more than 100 files"},
		"bomb":                   {bomb(), "more than 1000000 bytes"},
		"size of a lie":          {sparse(), "more than 1000000 bytes"},
		"zeros behind its end":   {zeros(), "more than may be brought back"},
		"two archives":           {append(brought(t, file), brought(t, file)...), "more than one archive"},
		"not gzip":               {[]byte("0/a"), "EOF"},
	}
}

func errors_(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestHostileArchives: what was not asked for is refused with its name, in one line, and
// nothing of it is left anywhere.
func TestHostileArchives(t *testing.T) {
	for name, c := range hostileArchives(t) {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			target := filepath.Join(base, "in", "to")
			if err := os.MkdirAll(target, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(target, "Makefile"), []byte("all:"), 0o644); err != nil {
				t.Fatal(err)
			}
			err := collect([]Bring{{Guest: "/tmp/a", Directory: target}}, bringLimits{1_000_000, 100}, c.data)
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 1000 {
				t.Errorf("want %q, got %.1200v", c.says, err)
			}
			if got := found(t, base); len(got) != 3 {
				t.Errorf("left: %q", got)
			}
			if text, err := os.ReadFile(filepath.Join(target, "Makefile")); string(text) != "all:" {
				t.Errorf("Makefile: %q, %v", text, err)
			}
		})
	}
}

// TestWhatIsThereStays: nothing is written through a link, and nothing goes that nobody
// asked to replace.
func TestWhatIsThereStays(t *testing.T) {
	file, dir := brought(t, tar.Header{Name: "0/a"}), brought(t, tar.Header{Name: "0/a", Typeflag: tar.TypeDir}, tar.Header{Name: "0/a/x"})
	make := func(name string, do func(string) error) func(string) error {
		return func(base string) error { return do(filepath.Join(base, name)) }
	}
	write := func(path string) error { return os.WriteFile(path, []byte("mine"), 0o644) }
	for name, c := range map[string]struct {
		data  []byte
		there func(base string) error
		says  string // "" where it is replaced
	}{
		"file":                          {file, make("to/a", write), ""},
		"empty directory":               {dir, make("to/a", func(p string) error { return os.Mkdir(p, 0o755) }), ""},
		"link to a file":                {file, make("to/a", func(p string) error { return os.Symlink("../other", p) }), "not a regular file"},
		"link to nothing":               {file, make("to/a", func(p string) error { return os.Symlink("../new", p) }), "not a regular file"},
		"link to a directory":           {dir, make("to/a", func(p string) error { return os.Symlink("..", p) }), "not a regular file"},
		"FIFO":                          {file, make("to/a", func(p string) error { return unix.Mkfifo(p, 0o644) }), "not a regular file"},
		"directory with something":      {dir, make("to/a", func(p string) error { return os.MkdirAll(filepath.Join(p, "b"), 0o755) }), "not empty"},
		"directory, file is sent":       {file, make("to/a", func(p string) error { return os.Mkdir(p, 0o755) }), "is a directory"},
		"file, a directory is sent":     {dir, make("to/a", write), "is a directory"},
		"the directory itself: no such": {file, func(base string) error { return os.Remove(filepath.Join(base, "to")) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			if err := errors_(os.Mkdir(filepath.Join(base, "to"), 0o755), write(filepath.Join(base, "other")), c.there(base)); err != nil {
				t.Fatal(err)
			}
			before := found(t, base)
			err := collect([]Bring{{Guest: "/a", Directory: filepath.Join(base, "to")}}, enough, c.data)
			if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("want %q, got %v", c.says, err)
			}
			if text, err := os.ReadFile(filepath.Join(base, "other")); string(text) != "mine" {
				t.Errorf("other: %q, %v", text, err)
			}
			after := found(t, base)
			if c.says != "" && !slices.Equal(before, after) {
				t.Errorf("before %q, after %q", before, after)
			}
			if c.says == "" && slices.ContainsFunc(after, func(s string) bool { return strings.Contains(s, "kmodtrace") }) {
				t.Errorf("left: %q", after)
			}
		})
	}
}

// TestAddedToADirectory: what go test's coverage writes comes into a directory that has
// more of it, and nothing else does.
func TestAddedToADirectory(t *testing.T) {
	for name, c := range map[string]struct {
		entries []tar.Header
		says    string
		want    []string
	}{
		"new":       {[]tar.Header{{Name: "0/a/cov2"}}, "", []string{"cov1", "cov2"}},
		"old":       {[]tar.Header{{Name: "0/a/cov1"}, {Name: "0/a/cov3"}}, "", []string{"cov1", "cov3"}},
		"other":     {[]tar.Header{{Name: "0/a/cov4"}, {Name: "0/a/.bashrc"}}, ".bashrc", []string{"cov1"}},
		"directory": {[]tar.Header{{Name: "0/a/cov", Typeflag: tar.TypeDir}}, "not requested", []string{"cov1"}},
	} {
		base := filepath.Join(t.TempDir(), "a")
		if err := errors_(os.Mkdir(base, 0o755), os.WriteFile(filepath.Join(base, "cov1"), []byte("mine"), 0o644)); err != nil {
			t.Fatal(err)
		}
		wanted := []Bring{{Guest: "/tmp/a", Directory: filepath.Dir(base), Add: "cov*"}}
		if err := checkBring(wanted); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		err := collect(wanted, enough, brought(t, append([]tar.Header{{Name: "0/a", Typeflag: tar.TypeDir}}, c.entries...)...))
		if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		entries, _ := os.ReadDir(base)
		var got []string
		for _, entry := range entries {
			got = append(got, entry.Name())
		}
		if text, _ := os.ReadFile(filepath.Join(base, "cov1")); string(text) != "mine" || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %q", name, got, text)
		}
	}
}

func TestCheckBring(t *testing.T) {
	dir := t.TempDir()
	for says, wanted := range map[string][]Bring{
		"absolute":        {{Guest: "a", Directory: dir}},
		"no name":         {{Guest: "/tmp/..", Directory: dir}},
		"the same place":  {{Guest: "/a/x", Directory: dir}, {Guest: "/b/x", Directory: dir + "/."}},
		"not a directory": {{Guest: "/a", Directory: "/dev/null/x"}},
	} {
		if err := checkBring(wanted); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
	if err := checkBring([]Bring{{Guest: "/a", Directory: dir}, {Guest: "/b", Directory: dir}}); err != nil {
		t.Error(err)
	}
}

func TestCutOffFilesAreAnError(t *testing.T) {
	data := brought(t, tar.Header{Name: "0/a"}, tar.Header{Name: "1/b"})
	for n := range len(data) {
		dir := filepath.Join(t.TempDir(), "new")
		c := newCollector([]Bring{{Guest: "/a", Directory: dir}, {Guest: "/b", Directory: dir}}, enough)
		c.write(data[:n])
		if err := c.close(io.ErrUnexpectedEOF, time.Minute); err == nil {
			t.Fatalf("%d of %d bytes: no error", n, len(data))
		}
		if _, err := os.Lstat(dir); err == nil {
			t.Fatalf("%d of %d bytes: left %q", n, len(data), found(t, dir))
		}
	}
}

// TestWholeFilesOfARunThatDied: the guest sent all, and then never said that it was done.
func TestWholeFilesOfARunThatDied(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	c := newCollector([]Bring{{Guest: "/a", Directory: dir}}, enough)
	c.write(brought(t, tar.Header{Name: "0/a"}))
	if err := c.close(io.ErrUnexpectedEOF, time.Minute); err == nil {
		t.Error("no error")
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Errorf("left %q", found(t, dir))
	}
}

func TestDirectoryThatTakesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := newCollector([]Bring{{Guest: "/a", Directory: file}}, enough)
	for range 100 { // must not block, though nobody reads any more
		c.write(brought(t, tar.Header{Name: "0/a"}))
	}
	if err := c.close(io.EOF, time.Minute); err == nil {
		t.Error("no error")
	}
}

// FuzzCollect: whatever archive a guest sends, nothing but what was asked for is there
// afterwards.
func FuzzCollect(f *testing.F) {
	seeds := [][]byte{brought(f, tar.Header{Name: "0/a"})}
	for _, c := range hostileArchives(f) {
		seeds = append(seeds, c.data)
	}
	for _, seed := range seeds {
		if packed, err := gzip.NewReader(bytes.NewReader(seed)); err == nil {
			data, _ := io.ReadAll(io.LimitReader(packed, 64<<10))
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		var data bytes.Buffer
		packed := gzip.NewWriter(&data)
		_, err := packed.Write(archive)
		if err := errors_(err, packed.Close()); err != nil {
			t.Fatal(err)
		}
		base := t.TempDir()
		in := filepath.Join(base, "in")
		if err := os.Mkdir(in, 0o755); err != nil {
			t.Fatal(err)
		}
		err = collect([]Bring{{Guest: "/tmp/a", Directory: in}}, bringLimits{100_000, 20}, data.Bytes())
		for _, name := range found(t, base) {
			i := strings.LastIndexByte(name, ' ') // a mode has none
			name, kind := name[:i], name[i+1:]
			asked := name == "in" || err == nil && (name == "in/a" || strings.HasPrefix(name, "in/a/"))
			if !asked || kind[0] != '-' && kind[0] != 'd' || kind[0] == '-' && strings.Contains(kind, "x") {
				t.Errorf("%s %s is there, error %v", name, kind, err)
			}
		}
	})
}
