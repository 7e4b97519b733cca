package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// savedMemory is a guest's memory with zeros in it, at its ends and between.
func savedMemory(t *testing.T) (*os.File, []byte) {
	t.Helper()
	content := make([]byte, 10*extentUnit+100)
	for _, at := range []int{extentUnit, extentUnit + 1, 4 * extentUnit, 5*extentUnit - 1, 8*extentUnit + 7} {
		content[at] = byte(at)
	}
	f, err := newMemory("test", int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	return f, content
}

func newSnapshotDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "snapshot")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// saved writes a snapshot of such a memory.
func saved(t *testing.T) (dir string, content []byte) {
	t.Helper()
	memory, content := savedMemory(t)
	dir = newSnapshotDir(t)
	if err := writeSnapshot(dir, memory, []byte("state")); err != nil {
		t.Fatal(err)
	}
	return dir, content
}

// A snapshot comes back as it was written.
func TestSnapshotFiles(t *testing.T) {
	dir, content := saved(t)
	s, err := openSnapshot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	got := make([]byte, len(content))
	if n, err := s.memory.ReadAt(got, 0); n != len(got) || !bytes.Equal(got, content) {
		t.Errorf("%d bytes of memory, %v, not those that were written", n, err)
	}
	if info, err := os.Stat(filepath.Join(dir, memoryFile)); err != nil || info.Size() != 3*extentUnit {
		t.Errorf("the file of the memory has %d bytes (%v), want three units: zeros are left out", info.Size(), err)
	}
	if _, err := s.memory.WriteAt([]byte("mine"), 0); err != nil {
		t.Error(err)
	}
	again, err := openSnapshot(dir)
	if err != nil {
		t.Fatalf("after another run has written to its memory: %v", err)
	}
	again.close()
}

// A snapshot that is not what was written is told as damaged.
func TestDamagedSnapshots(t *testing.T) {
	index := func(change func(*snapshotIndex)) func(string) error {
		return func(dir string) error {
			name := filepath.Join(dir, indexFile)
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			var x snapshotIndex
			if err := json.Unmarshal(text, &x); err != nil {
				return err
			}
			change(&x)
			if text, err = json.Marshal(x); err != nil {
				return err
			}
			return os.WriteFile(name, text, 0o644)
		}
	}
	flip := func(file string, at int64) func(string) error {
		return func(dir string) error {
			f, err := os.OpenFile(filepath.Join(dir, file), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			b := make([]byte, 1)
			if _, err := f.ReadAt(b, at); err != nil {
				return err
			}
			b[0]++
			_, err = f.WriteAt(b, at)
			return err
		}
	}
	for name, damage := range map[string]func(dir string) error{
		"a byte of the memory":       flip(memoryFile, extentUnit+5),
		"a byte of the state":        flip(stateFile, 2),
		"the memory cut off":         func(dir string) error { return os.Truncate(filepath.Join(dir, memoryFile), 3*extentUnit-1) },
		"an empty memory":            func(dir string) error { return os.Truncate(filepath.Join(dir, memoryFile), 0) },
		"the state cut off":          func(dir string) error { return os.Truncate(filepath.Join(dir, stateFile), 0) },
		"a state that is too long":   func(dir string) error { return os.Truncate(filepath.Join(dir, stateFile), 1<<20) },
		"no memory":                  func(dir string) error { return os.Remove(filepath.Join(dir, memoryFile)) },
		"no state":                   func(dir string) error { return os.Remove(filepath.Join(dir, stateFile)) },
		"an index that is no JSON":   func(dir string) error { return os.WriteFile(filepath.Join(dir, indexFile), []byte("\x00\x00"), 0o644) },
		"an empty index":             func(dir string) error { return os.Truncate(filepath.Join(dir, indexFile), 0) },
		"no memory at all":           index(func(x *snapshotIndex) { x.Memory = 0 }),
		"memory without end":         index(func(x *snapshotIndex) { x.Memory = 1 << 60 }),
		"less memory":                index(func(x *snapshotIndex) { x.Memory = 4 * extentUnit }),
		"an extent before the start": index(func(x *snapshotIndex) { x.Extents[0].Offset = -1 }),
		"an extent twice":            index(func(x *snapshotIndex) { x.Extents[1] = x.Extents[0] }),
		"an extent of nothing":       index(func(x *snapshotIndex) { x.Extents[0].Size = 0 }),
		"an extent that overflows":   index(func(x *snapshotIndex) { x.Extents[0].Size = 1<<63 - 1 }),
		"another order":              index(func(x *snapshotIndex) { x.Extents[0], x.Extents[1] = x.Extents[1], x.Extents[0] }),
		"an extent less":             index(func(x *snapshotIndex) { x.Extents = x.Extents[1:] }),
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := saved(t)
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			s, err := openSnapshot(dir)
			if damaged := (*damagedError)(nil); !errors.As(err, &damaged) {
				t.Errorf("%v, %v: want it damaged", s, err)
			}
		})
	}
}

// One that others may write to, or of a run that was killed, is none.
func TestForeignSnapshots(t *testing.T) {
	dir := newSnapshotDir(t)
	if s, err := openSnapshot(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without an index: %v, %v", s, err)
	}
	memory, _ := savedMemory(t)
	if err := writeSnapshot(dir, memory, []byte("state")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if s, err := openSnapshot(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("that everybody may write to: %v, %v", s, err)
	}
}

// A snapshot that is being made is nobody's but its maker's, and one that was no good goes
// with its locks.
func TestDiscardSnapshot(t *testing.T) {
	dir, _ := saved(t)
	s, err := openSnapshot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	unlock, err := lockFile(t.Context(), dir+lockSuffix, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if err := discardSnapshot(dir); err != nil || !exists(dir) {
		t.Errorf("while somebody makes it anew: %v, there: %v", err, exists(dir))
	}
	unlock()
	if err := discardSnapshot(dir); err != nil || exists(dir) {
		t.Errorf("%v, there: %v", err, exists(dir))
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := discardSnapshot(dir); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// Whatever goes into a snapshot makes another one when it differs.
func TestSnapshotKeys(t *testing.T) {
	m := quick(t)
	m.Accel = TCG
	tree := t.TempDir()
	module := filepath.Join(tree, "kernel", "a.ko")
	if err := os.MkdirAll(filepath.Dir(module), 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(module, "module")
	write(program, "#!/bin/sh\n")
	m.Kernel.Modules, m.NoModules, m.Program = tree, false, program
	q, err := findQEMU(t.Context(), m.Kernel.Arch)
	if err != nil {
		t.Fatal(err)
	}
	m, err = m.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	key := func(m Machine, q qemu) string {
		t.Helper()
		b, err := m.newBase(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return b.dir()
	}
	first := key(m, q)
	seen := map[string]string{first: "the first"}
	differs := func(what string, m Machine, q qemu) {
		t.Helper()
		dir := key(m, q)
		if other, ok := seen[dir]; ok {
			t.Errorf("%s has the snapshot of %s", what, other)
		}
		seen[dir] = what
	}
	same := m
	same.Files, same.Env, same.Dir, same.Timeout = []File{{Host: program, Guest: "/x"}}, []string{"A=b"}, "/tmp", time.Hour
	if dir := key(same, q); dir != first {
		t.Errorf("other files, variables and limits have another snapshot: %s, %s", dir, first)
	}
	write(program, "#!/bin/sh\n") // the same once more
	if dir := key(m, q); dir != first {
		t.Errorf("a program that was built again, the same, has another snapshot")
	}
	other := m
	other.Memory = 2048
	differs("more memory", other, q)
	other = m
	other.CPUs = 1
	differs("one CPU", other, q)
	other = m
	other.NoModules = true
	differs("no modules", other, q)
	newer := q
	newer.full += "+b4"
	differs("another QEMU", m, newer)
	newer = q
	newer.sandbox = !newer.sandbox
	differs("another sandbox", m, newer)
	write(module, "modul2")
	differs("a module that changed", m, q)
	write(module+".2", "")
	differs("a module more", m, q)
	write(program, "#!/bin/zh\n")
	differs("a program that changed", m, q)
	kernel := filepath.Join(t.TempDir(), "vmlinuz")
	write(kernel, "kernel")
	other = m
	other.Kernel.Image = kernel
	differs("another kernel", other, q)
}

// A guest whose clock is too fast is not saved.
func TestWrongClock(t *testing.T) {
	r, w := io.Pipe()
	for took, saved := range map[time.Duration]bool{0: false, guest.Calm: true} {
		go func() {
			frames := guest.NewWriter(w)
			_ = frames.Open()
			time.Sleep(took)
			_ = frames.Open()
		}()
		if err := awaitCalm(r); (err == nil) != saved {
			t.Errorf("a second in %v: %v", took, err)
		}
	}
}

// A machine that must see a boot does not go on from a snapshot.
func TestRestorable(t *testing.T) {
	m := Machine{Accel: TCG}
	if !m.restorable() {
		t.Error("a plain machine boots")
	}
	for what, m := range map[string]Machine{
		"--boot": {Accel: TCG, Boot: true}, "KVM": {Accel: KVM}, "systemd": {Accel: TCG, Init: Systemd},
		"a command line": {Accel: TCG, Append: "quiet"}, "a disk": {Accel: TCG, Disk: "x"}, "nothing in it": {Accel: TCG, Bare: true},
	} {
		if m.restorable() {
			t.Errorf("%s: goes on from a snapshot", what)
		}
	}
}

// A payload that the device cannot hold is told, and so is a file that is not there.
func TestPayloadBounds(t *testing.T) {
	large := filepath.Join(t.TempDir(), "large")
	f, err := os.Create(large)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(payloadSize+1), f.Close()); err != nil {
		t.Fatal(err)
	}
	b := &base{have: map[string]fs.FileMode{}}
	m := Machine{Files: []File{{Host: large, Guest: "/large"}}}
	if _, _, err := b.makePayload(m, m.task([]string{"true"})); !errors.Is(err, errPayload) {
		t.Errorf("too large: %v", err)
	}
	m.Files[0].Host = large + "r"
	if _, _, err := b.makePayload(m, m.task([]string{"true"})); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not there: %v", err)
	}
	m.Files = nil
	payload, size, err := b.makePayload(m, m.task([]string{"true"}))
	if err != nil || size == 0 || size > 1<<20 {
		t.Errorf("a task: %d bytes, %v", size, err)
	}
	if payload != nil {
		payload.Close()
	}
}
