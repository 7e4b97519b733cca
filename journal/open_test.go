package journal

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain lets the test's own program be the process that is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("KMODTRACE_JOURNAL_CHILD"); path != "" {
		child(path)
	}
	os.Exit(m.Run())
}

// child appends batches until it is killed, and prints how many records it was told are
// kept.
func child(path string) {
	j, err := Open(path, nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	first := j.head.seq + 1
	fmt.Println("open")
	for n := first; ; {
		var batch []Record
		for range 1 + n%5 {
			r := load(int(n), fmt.Sprint("m", n%13))
			r.Body = bytes.Repeat([]byte("x"), int(n*37%9000))
			switch n % 4 {
			case 1:
				r.Body = deep(int(n), int(n%9), 300).Body
			case 2:
				r.Outcome, r.Class = "failed", Class(1+n%2)
			}
			batch, n = append(batch, r), n+1
		}
		done, err := j.Append(context.Background(), batch...)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(done[len(done)-1].Seq)
		if n%7 == 0 {
			if _, err := j.Retain(context.Background(), Limits{Bytes: 300 << 10}, begin, "boot-1"); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			n = j.head.seq + 1
		}
	}
}

// startChild starts one that has the journal open when it returns.
func startChild(t testing.TB, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "KMODTRACE_JOURNAL_CHILD="+path)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the child says %q", lines.Text())
	}
	return c, lines
}

func TestNewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	old := unix.Umask(0)
	defer unix.Umask(old)
	j := reopen(t, path)
	add(t, j, load(1, "m"))
	for _, suffix := range []string{"", "-wal", "-shm", "-lock"} {
		info, err := os.Stat(j.Path() + suffix)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("journal%s: %v, %v", suffix, info, err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range companions {
		if _, err := os.Stat(j.Path() + suffix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("journal%s is left: %v", suffix, err)
		}
	}
}

// What cannot be a journal is refused with one clear line, and left as it is.
func TestOpenRefuses(t *testing.T) {
	file := func(content string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(content), 0o600) }
	}
	database := func(statements string) func(string) error {
		return func(path string) error { return execute(path, statements) }
	}
	for name, c := range map[string]struct {
		make       func(path string) error
		want       error
		says       string
		readerSays string // where it says another thing
	}{
		"directory":       {func(p string) error { return os.Mkdir(p, 0o700) }, nil, "it is a directory", ""},
		"pipe":            {func(p string) error { return unix.Mkfifo(p, 0o600) }, nil, "not a regular file", ""},
		"no directory":    {func(p string) error { return os.Remove(filepath.Dir(p)) }, fs.ErrNotExist, "its directory must exist", "no such file"},
		"dangling link":   {func(p string) error { return os.Symlink("nowhere", p) }, nil, "it is a symbolic link", "no such file"},
		"text":            {file(strings.Repeat("not a database\n", 1000)), ErrCorrupt, "it is damaged", ""},
		"one byte":        {file("x"), ErrCorrupt, "it has 1 bytes", ""},
		"zeros":           {file(strings.Repeat("\x00", 8192)), ErrCorrupt, "it is damaged", ""},
		"another's":       {database("CREATE TABLE songs (title)"), ErrForeign, "it is not a journal", ""},
		"another's mark":  {database("PRAGMA application_id = 5; CREATE TABLE head (a)"), ErrCorrupt, "its mark is 0x5", ""},
		"another version": {database("PRAGMA application_id = 0x6b6d6f64; CREATE TABLE head (a); PRAGMA user_version = 99"), ErrNewer, "its version is 99, and this one knows up to 2", ""},
		"no version":      {database("PRAGMA application_id = 0x6b6d6f64; CREATE TABLE head (a)"), ErrCorrupt, "its version is 0", ""},
		"other tables":    {database("PRAGMA application_id = 0x6b6d6f64; CREATE TABLE head (a); PRAGMA user_version = 1"), ErrCorrupt, "there is no index by_action", ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sub", "journal.db")
			os.Mkdir(filepath.Dir(path), 0o700)
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(regular(path))
			_, err := Open(path, nil)
			check(t, "open", err, c.want, c.says)
			_, err = OpenReadOnly(path)
			check(t, "read", err, c.want, pick(c.readerSays, c.says))
			if after, _ := os.ReadFile(regular(path)); c.want != nil && !strings.HasPrefix(name, "another") && !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

func pick(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// regular gives the path only where reading it does not wait.
func regular(path string) string {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return os.DevNull
	}
	return path
}

func check(t *testing.T, op string, err, want error, says string) {
	t.Helper()
	switch {
	case err == nil:
		t.Fatalf("%s: no error", op)
	case want != nil && !errors.Is(err, want), !strings.Contains(err.Error(), says):
		t.Errorf("%s: %v", op, err)
	case strings.Contains(err.Error(), "\n"):
		t.Errorf("%s: not one line: %v", op, err)
	}
}

// execute lets a program that knows nothing of journals change a file.
func execute(path, statements string) error {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	_, err = db.Exec(statements)
	return errors.Join(err, db.Close())
}

// An empty file is one to begin with: a crash before the first transaction leaves it.
func TestEmptyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenReadOnly(path)
	check(t, "read", err, nil, "it is empty")
	if j := reopen(t, path); !j.New() {
		t.Error("it is not said to be new")
	}
}

func TestSymbolicLink(t *testing.T) {
	j := make1(t)
	add(t, j, loads(3)...)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(j.Path(), link); err != nil {
		t.Fatal(err)
	}
	_, err := Open(link, nil)
	check(t, "open", err, nil, "it is a symbolic link")
	r, err := OpenReadOnly(link)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := all(t, r); len(got) != 3 {
		t.Errorf("%d records through the link", len(got))
	}
}

// A name with every byte that means something in a URI.
func TestStrangePath(t *testing.T) {
	j := reopen(t, filepath.Join(t.TempDir(), "a?b#c%41&d=e;f g\xffü:x"))
	add(t, j, loads(3)...)
	if _, err := os.Stat(j.Path() + "-wal"); err != nil {
		t.Error(err)
	}
	r, err := OpenReadOnly(j.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := all(t, r); len(got) != 3 {
		t.Errorf("%d records", len(got))
	}
	t.Chdir(t.TempDir())
	relative := reopen(t, "journal.db")
	add(t, relative, loads(3)...)
	if _, err := os.Stat("journal.db-wal"); err != nil {
		t.Error(err)
	}
}

func TestOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	c, _ := startChild(t, path)
	_, err := Open(path, nil)
	check(t, "open", err, ErrLocked, fmt.Sprintf("it has a writer already: process %d", c.Process.Pid))
	_, err = SetAside(path, begin)
	check(t, "set aside", err, ErrLocked, "it has a writer already")

	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	j := reopen(t, path) // at once
	_, err = Open(path, nil)
	check(t, "open in one process", err, ErrLocked, "it has a writer already")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	reopen(t, path)
}

// A program that writes without the lock is noticed, and nothing is built on it.
func TestWriterWithoutLock(t *testing.T) {
	j := make1(t)
	add(t, j, loads(3)...)
	if err := execute(j.Path(), "DELETE FROM record WHERE seq = 3; UPDATE head SET seq = 2, hash = (SELECT hash FROM record WHERE seq = 2)"); err != nil {
		t.Fatal(err)
	}
	_, err := j.Append(t.Context(), load(4, "m"))
	check(t, "append", err, ErrCorrupt, "another program wrote to it")
	if a, _ := j.Anchor(t.Context(), begin); a.Count != 3 {
		t.Errorf("the anchor is of what the file says: %+v", a)
	}
}

func TestSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	c, lines := startChild(t, path)
	for range 20 {
		lines.Scan()
	}
	c.Process.Kill()
	c.Wait()
	var names []string
	for range 2 {
		kept, err := SetAside(path, begin)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.Base(kept))
		// It is whole where it is, with its log.
		r, err := OpenReadOnly(kept)
		if err != nil {
			t.Fatal(err)
		}
		verify(t, r)
		r.Close()
		j := reopen(t, path)
		if !j.New() {
			t.Error("what follows is not new")
		}
		add(t, j, Record{ID: "c", Time: begin, Boot: "boot-1", Kind: KindCorrupt, Body: []byte(kept)})
		verify(t, j.Reader)
		j.Close()
	}
	if want := []string{"journal.db.damaged-20260301T120000Z", "journal.db.damaged-20260301T120000Z-2"}; !slices.Equal(names, want) {
		t.Errorf("kept as %q", names)
	}
	_, err := SetAside(path+"x", begin)
	check(t, "set aside", err, fs.ErrNotExist, "no such file")
}

// A log without its file is not mixed with a new one.
func TestLogWithoutFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	c, lines := startChild(t, path)
	for range 20 {
		lines.Scan()
	}
	c.Process.Kill()
	c.Wait()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	j := reopen(t, path)
	if got := all(t, j.Reader); !j.New() || len(got) != 0 {
		t.Errorf("a new journal has %d records", len(got))
	}
	kept, err := filepath.Glob(path + ".damaged-*-wal")
	if err != nil || len(kept) != 1 {
		t.Errorf("the log is kept as %q, %v", kept, err)
	}
}

// A writer that comes while the file is read as one that nobody writes is noticed.
func TestWriterComes(t *testing.T) {
	j := make1(t)
	add(t, j, loads(30)...)
	j.Close()
	r, err := OpenReadOnly(j.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	j = reopen(t, j.Path())
	add(t, j, load(31, "m"))
	_, err = r.Verify(t.Context())
	check(t, "verify", err, ErrMoved, "ask again")
	_, err = r.Get(t.Context(), "a-1")
	check(t, "get", err, ErrMoved, "ask again")
	again, err := OpenReadOnly(j.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := all(t, again); len(got) != 31 {
		t.Errorf("%d records", len(got))
	}
}

func TestMigration(t *testing.T) {
	open := func(t *testing.T) *sql.Conn {
		db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "m.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := migrate(t.Context(), c, 0, steps()); err != nil {
			t.Fatal(err)
		}
		return c
	}
	version := func(t *testing.T, c *sql.Conn) int {
		l, err := readLayout(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return l.version
	}
	next := append(steps(), "ALTER TABLE record ADD COLUMN mood TEXT NOT NULL DEFAULT ''")
	t.Run("one version on", func(t *testing.T) {
		c := open(t)
		if err := migrate(t.Context(), c, version(t, c), next); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ExecContext(t.Context(), "SELECT mood FROM record"); err != nil || version(t, c) != len(next) {
			t.Errorf("version %d: %v", version(t, c), err)
		}
	})
	t.Run("not at all when a step fails", func(t *testing.T) {
		c := open(t)
		if err := migrate(t.Context(), c, 2, append(next, "CREATE TABLE record (again)")); err == nil || !strings.Contains(err.Error(), "from version 3 to 4") {
			t.Errorf("%v", err)
		}
		l, err := readLayout(t.Context(), c)
		if err != nil || l.version != 2 {
			t.Errorf("version %d: %v", l.version, err)
		}
		if err := l.check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
