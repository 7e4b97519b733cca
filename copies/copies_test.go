package copies

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func open(t *testing.T, most int64) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "copies"), most)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Store) put(t *testing.T, text []byte) error {
	t.Helper()
	d, err := s.Draft()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write(text); err != nil {
		t.Fatal(err)
	}
	return d.Keep(sumOf(text))
}

// names are those in the directory.
func (s *Store) names(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func noise(n int) []byte {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte(rand.Uint32())
	}
	return text
}

// TestCopies: what is kept comes back byte for byte, from 64 goroutines at once too, and nothing that lies there can be
// loaded.
func TestCopies(t *testing.T) {
	s := open(t, 1<<30)
	var group sync.WaitGroup
	texts := [][]byte{nil, []byte("\x7fELF"), noise(3 << 20), bytes.Repeat([]byte("module"), 1<<20)}
	for i := range 64 {
		group.Go(func() {
			if err := s.put(t, texts[i%len(texts)]); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, text := range texts {
		var got bytes.Buffer
		if err := Extract(s.dir, sumOf(text), &got); err != nil || !bytes.Equal(got.Bytes(), text) || !s.Has(sumOf(text)) {
			t.Errorf("%d bytes: %v, %d came back", len(text), err, got.Len())
		}
		raw, err := os.ReadFile(s.path(sumOf(text)))
		if err != nil || !bytes.HasPrefix(raw, []byte(magic)) {
			t.Errorf("%v, %.20q", err, raw)
		}
		if info, err := os.Stat(s.path(sumOf(text))); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", err, info.Mode())
		}
	}
	if names := s.names(t); len(names) != len(texts) {
		t.Errorf("%q", names)
	}
}

// TestNotWhole: what is not whole, not what it must be or too large is not there.
func TestNotWhole(t *testing.T) {
	s := open(t, 1<<20)
	if err := s.put(t, noise(2<<20)); err == nil || !strings.Contains(err.Error(), "may take 1048576") {
		t.Errorf("%v", err)
	}
	d, err := s.Draft()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(d, "half of")
	if err := d.Keep(sumOf([]byte("half of it"))); err == nil || !strings.Contains(err.Error(), "what was copied has the SHA-256") {
		t.Errorf("%v", err)
	}
	if d, err = s.Draft(); err != nil {
		t.Fatal(err)
	}
	d.Drop()
	_, _ = io.WriteString(d, "by who is left behind")
	if names := s.names(t); len(names) != 0 {
		t.Errorf("%q", names)
	}
	for name, text := range map[string]string{
		"none":       "",
		"cut off":    magic[:5],
		"no zstd":    magic + "x",
		"a module":   "\x7fELF",
		"an other's": "",
	} {
		sum := sumOf([]byte(name))
		want := ErrDamaged
		switch name {
		case "none":
			want = ErrNone
		case "an other's":
			if err := s.put(t, []byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(s.path(sumOf([]byte("x"))), s.path(sum)); err != nil {
				t.Fatal(err)
			}
		default:
			if err := os.WriteFile(s.path(sum), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := Extract(s.dir, sum, io.Discard); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, sum := range []string{"", "../../etc/passwd", strings.Repeat("A", 64), strings.Repeat("a", 63)} {
		if err := Extract(s.dir, sum, io.Discard); !errors.Is(err, ErrNone) || s.Has(sum) {
			t.Errorf("%q: %v", sum, err)
		}
	}
}

// TestTrim: the oldest go first, until what is left may stay; what is not a copy stays.
func TestTrim(t *testing.T) {
	s := open(t, 3500)
	var sums []string
	for i := range 5 {
		text := noise(1000)
		if err := s.put(t, text); err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sumOf(text))
		at := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(s.path(sumOf(text)), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "README"), noise(5000), 0o600); err != nil {
		t.Fatal(err)
	}
	removed, err := s.Trim()
	if err != nil || fmt.Sprint(removed) != fmt.Sprint(sums[:2]) {
		t.Errorf("%q, %v; of %q", removed, err, sums)
	}
	if again, err := s.Trim(); err != nil || len(again) > 0 || len(s.names(t)) != 4 {
		t.Errorf("%q, %v, %q", again, err, s.names(t))
	}
}

// TestOpen: what a killed process left is taken away; a directory in which others may write is refused.
func TestOpen(t *testing.T) {
	s := open(t, 1<<20)
	if _, err := s.Draft(); err != nil {
		t.Fatal(err)
	}
	if err := s.put(t, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir, 1<<20); err != nil {
		t.Fatal(err)
	}
	if names := s.names(t); len(names) != 1 || !s.Has(sumOf([]byte("x"))) {
		t.Errorf("%q", names)
	}
	if err := os.Chmod(s.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir, 1<<20); err == nil {
		t.Error("opened where everybody may write")
	}
	for _, dir := range []string{"/dev/null/x", filepath.Join(t.TempDir(), "none", "copies")} {
		if _, err := Open(dir, 1); err == nil {
			t.Errorf("opened %s", dir)
		}
	}
}
