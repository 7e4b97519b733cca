package output

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

// open makes an output.
func openConfig(t *testing.T, c Config) Output {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Minute // of a test that is about something else, on a busy machine
	}
	o, err := c.Open(Surroundings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

// numbered are entries from a number on.
func numbered(from, n int) []Entry {
	var all []Entry
	for i := range n {
		all = append(all, Entry{Record: journal.Record{Seq: int64(from + i), ID: fmt.Sprint("id-", from+i), Time: epoch, Kind: journal.KindAction, Body: []byte(`{"action":"load","module":"hello","x":"<&>"}`)}, Text: "load of hello: live"})
	}
	return all
}

// seqs are the numbers that stand in lines, each of which must be whole.
func seqs(t *testing.T, text []byte) []int64 {
	t.Helper()
	var all []int64
	for line := range bytes.Lines(text) {
		var v struct{ Seq int64 }
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, v.Seq)
	}
	return all
}

func send(t *testing.T, o Output, entries []Entry) {
	t.Helper()
	if err := o.Send(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestFile(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "log", "records.jsonl")
	o := openConfig(t, Config{Type: "file", Path: path})
	if _, err := os.Stat(path); err == nil {
		t.Error("there is a file before there is something to write")
	}
	send(t, o, nil)
	send(t, o, numbered(1, 2))
	send(t, o, numbered(3, 1))
	text := readFile(t, path)
	if got := seqs(t, text); !slices.Equal(got, []int64{1, 2, 3}) {
		t.Error(got)
	}
	if !bytes.Contains(text, []byte("<&>")) {
		t.Errorf("%s", text)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	send(t, o, numbered(4, 1)) // as after a reload that kept it
	if got := seqs(t, readFile(t, path)); len(got) != 4 {
		t.Error(got)
	}
}

// TestFileTaken: a file that somebody removes, moves away or empties is not lost sight of.
func TestFileTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.jsonl")
	o := openConfig(t, Config{Type: "file", Path: path})
	send(t, o, numbered(1, 1))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	send(t, o, numbered(2, 1))
	if got := seqs(t, readFile(t, path)); !slices.Equal(got, []int64{2}) {
		t.Error(got)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	send(t, o, numbered(3, 1))
	if got := seqs(t, readFile(t, path)); !slices.Equal(got, []int64{3}) {
		t.Error(got)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	send(t, o, numbered(4, 1))
	if got := seqs(t, readFile(t, path)); !slices.Equal(got, []int64{4}) {
		t.Error(got)
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	send(t, o, numbered(5, 1))
	if got := seqs(t, readFile(t, path)); !slices.Equal(got, []int64{5}) {
		t.Error(got)
	}
}

// TestFileTorn: a line that a crash left without its end is not joined to the next.
func TestFileTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.jsonl")
	if err := os.WriteFile(path, []byte("{}\n{\"seq\":"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := openConfig(t, Config{Type: "file", Path: path})
	send(t, o, numbered(1, 1))
	lines := bytes.Split(readFile(t, path), []byte("\n"))
	if len(lines) != 4 || string(lines[1]) != `{"seq":` || !json.Valid(lines[2]) {
		t.Errorf("%q", lines)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("the mode of a file that was there became %v", info.Mode())
	}
}

func TestFileRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.jsonl")
	h := host{}
	o := newFile("file", path, 1000, 0, h.lines(plain))
	t.Cleanup(func() { _ = o.Close() })
	next := 1
	for _, n := range []int{1, 20, 3, 50, 1} { // some of more than a file takes
		send(t, o, numbered(next, n))
		next += n
	}
	names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "records*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names) // by time, and the one in use, without one, last
	if len(names) < 10 || names[len(names)-1] != path {
		t.Fatal(names)
	}
	var got []int64
	for _, name := range names {
		text := readFile(t, name)
		if len(text) > 1000 {
			t.Errorf("%s has %d bytes", name, len(text))
		}
		got = append(got, seqs(t, text)...)
		if info, _ := os.Stat(name); info.Mode().Perm() != 0o640 {
			t.Errorf("mode %v of %s", info.Mode(), name)
		}
	}
	for i, n := range got {
		if n != int64(i+1) {
			t.Fatalf("%v", got)
		}
	}
	if len(got) != next-1 {
		t.Errorf("%d of %d", len(got), next-1)
	}
}

// TestFileLarge: a record that is larger than a file may be is written all the same.
func TestFileLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.jsonl")
	o := newFile("file", path, 100, 0, host{}.lines(plain))
	t.Cleanup(func() { _ = o.Close() })
	send(t, o, numbered(1, 2))
	send(t, o, numbered(3, 1))
	if got := seqs(t, readFile(t, path)); !slices.Equal(got, []int64{3}) {
		t.Error(got)
	}
}

func TestFileKeeps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.jsonl")
	o := newFile("file", path, 100, 2, host{}.lines(plain))
	t.Cleanup(func() { _ = o.Close() })
	send(t, o, numbered(1, 20))
	for { // they are removed beside
		names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		if len(names) == 3 {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatal(names)
		case <-time.After(5 * time.Millisecond):
		}
	}
	if got := seqs(t, readFile(t, path)); !slices.Equal(got, []int64{20}) {
		t.Error(got)
	}
}

// TestFileFails: what cannot be written is an error each time, and works again when it
// can, with nothing of it half there.
func TestFileFails(t *testing.T) {
	dir := t.TempDir()
	inTheWay := filepath.Join(dir, "file")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := openConfig(t, Config{Type: "file", Path: filepath.Join(inTheWay, "records.jsonl")})
	for range 2 {
		if err := o.Send(t.Context(), numbered(1, 2)); err == nil {
			t.Fatal("written into a directory that is none")
		}
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	send(t, o, numbered(1, 2))
	if got := seqs(t, readFile(t, filepath.Join(inTheWay, "records.jsonl"))); !slices.Equal(got, []int64{1, 2}) {
		t.Error(got)
	}
	for _, path := range []string{"/dev/full", dir, "/proc/nothing/x"} {
		o := openConfig(t, Config{Type: "file", Path: path})
		for range 2 {
			if err := o.Send(t.Context(), numbered(1, 2)); err == nil {
				t.Errorf("%s takes it", path)
			}
		}
	}
	if err := openConfig(t, Config{Type: "file", Path: "/dev/full"}).Send(t.Context(), numbered(1, 1)); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}

// TestFilePart: what a disk took only in part is taken back.
func TestFilePart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.jsonl")
	o := openConfig(t, Config{Type: "file", Path: path})
	send(t, o, numbered(1, 1))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	withFileLimit(t, uint64(info.Size()*3+20), func() {
		for range 2 {
			if err := o.Send(t.Context(), numbered(2, 5)); err == nil {
				t.Error("more than there is room for is taken")
			}
		}
		if got := seqs(t, readFile(t, path)); !slices.Equal(got, []int64{1}) {
			t.Error(got)
		}
		send(t, o, numbered(2, 1))
	})
	send(t, o, numbered(3, 5))
	if got := seqs(t, readFile(t, path)); !slices.Equal(got, []int64{1, 2, 3, 4, 5, 6, 7}) {
		t.Error(got)
	}
}

// withFileLimit bounds the size of files meanwhile, which is like a disk that is full
// after so many bytes.
func withFileLimit(t *testing.T, size uint64, f func()) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

// TestFileBlocked: a pipe that nobody reads holds up no caller, and what is written when
// somebody does is whole.
func TestFileBlocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	o := openConfig(t, Config{Type: "file", Path: path, Timeout: 20 * time.Millisecond})
	for range 2 {
		if err := o.Send(t.Context(), numbered(1, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	if err := o.Close(); err == nil || !strings.Contains(err.Error(), "blocked") {
		t.Error(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for o.Send(t.Context(), numbered(2, 1)) != nil {
		if t.Context().Err() != nil {
			t.Fatal("it stays blocked")
		}
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	got := seqs(t, text)
	if len(got) < 2 || got[0] != 1 || got[len(got)-1] != 2 {
		t.Error(got)
	}
}

// TestStdout: the same of standard output, with a pipe that is full.
func TestStdout(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	s := &stream{name: "stdout", to: w, lines: host{}.lines(plain)}
	o := limited{s, 20 * time.Millisecond}
	big := numbered(1, 1)
	big[0].Text = strings.Repeat("x", 1<<20)
	if err := o.Send(t.Context(), big); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := o.Send(ended, numbered(2, 1)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	text := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(r)
		text <- all
	}()
	for o.Send(t.Context(), numbered(3, 1)) != nil {
		if t.Context().Err() != nil {
			t.Fatal("it stays blocked")
		}
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	got := seqs(t, <-text)
	if got[0] != 1 || got[len(got)-1] != 3 {
		t.Error(got)
	}
}

// cut is a place that takes some bytes and no more.
type cut struct {
	bytes.Buffer
	room int
}

func (c *cut) Write(p []byte) (int, error) {
	n := min(len(p), c.room)
	c.room -= n
	c.Buffer.Write(p[:n])
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// TestStdoutTorn: what was written in part and cannot be taken back spoils no line after
// it.
func TestStdoutTorn(t *testing.T) {
	c := &cut{room: 10}
	o := &stream{to: c, lines: host{}.lines(plain)}
	for range 2 {
		if err := o.Send(t.Context(), numbered(1, 1)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	c.room = 1 << 20
	send(t, o, numbered(1, 1))
	send(t, o, numbered(2, 1))
	_, whole, _ := bytes.Cut(c.Bytes(), []byte("\n"))
	if got := seqs(t, whole); !slices.Equal(got, []int64{1, 2}) {
		t.Errorf("%q", c.Bytes())
	}
}

// TestNoJSON: a body that is none holds nothing up.
func TestNoJSON(t *testing.T) {
	for _, body := range []string{"", "{", "a\nb", "\xff"} {
		var b bytes.Buffer
		o := &stream{to: &b, lines: host{}.lines(plain)}
		send(t, o, []Entry{{Record: journal.Record{Seq: 5, Time: epoch, Body: []byte(body)}}})
		doc, err := parse(b.Bytes())
		if text, _ := doc["raw"].(string); err != nil || text != strings.ToValidUTF8(body, "\uFFFD") {
			t.Errorf("%q: %q, %v", body, b.Bytes(), err)
		}
	}
}

// TestRefused: what no JSON can be made of is said, and what is before it is delivered.
func TestRefused(t *testing.T) {
	all := numbered(1, 3)
	all[1].Time = time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)
	var b bytes.Buffer
	var refused *RefusedError
	err := (&stream{to: &b, lines: host{}.lines(plain)}).Send(t.Context(), all)
	if !errors.As(err, &refused) || refused.Seq != 2 {
		t.Fatal(err)
	}
	if got := seqs(t, b.Bytes()); !slices.Equal(got, []int64{1}) {
		t.Error(got)
	}
}
