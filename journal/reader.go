package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Reader answers questions. Its methods may be called at once.
type Reader struct {
	path  string
	db    *sql.DB
	name  string // the journal's own
	still *still // nil: read as one that is being written

	version int // of its schema; an older one is read as it is
}

// readerPragmas defend against what a damaged or forged file might do.
var readerPragmas = []string{"query_only(ON)", "cell_size_check(ON)", "trusted_schema(OFF)"}

// OpenReadOnly opens a journal for questions: one that is being written, one that is
// not, or a copy. It changes neither the file nor the chain. A file without a
// write-ahead log beside it is taken for one that nobody writes, and nothing is written
// beside it either; should a writer come meanwhile, questions end with [ErrMoved].
//
// It fails with [ErrCorrupt] where the file cannot be understood at all, or where
// tables, triggers or views were altered. Whether its records are what was written,
// [Reader.Verify] tells.
func OpenReadOnly(path string) (*Reader, error) {
	r, err := openReadOnly(path)
	return r, wrap("read", path, err)
}

func openReadOnly(path string) (*Reader, error) {
	path, err := filepath.EvalSymlinks(path) // SQLite keeps the log beside the file itself
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := checkFile(info); err != nil {
		return nil, err
	}
	if err := unix.Access(path, unix.R_OK); err != nil {
		return nil, err
	}
	var refused error
	for _, way := range waysToRead(path) {
		r, err := way.open(path)
		if err == nil {
			return r, nil
		}
		refused = errors.Join(refused, err)
		if !cannotOpen(err) {
			return nil, err
		}
	}
	return nil, refused
}

// way is a way to open a database that must not be changed.
type way struct {
	parameters string
	pragmas    []string
	still      bool // it is wrong when somebody writes
}

// waysToRead gives the ways that fit what is there, best first.
func waysToRead(path string) []way {
	if _, err := os.Lstat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		// Who writes has a log. Without one, SQLite would make it here.
		return []way{{parameters: "mode=ro&immutable=1", still: true}}
	}
	return []way{
		{parameters: "mode=ro"},
		// The index of the log has to be written beside the file: in a directory that
		// cannot be written it is made in memory, which goes without locks. Who writes
		// has that index, so there is no writer.
		{parameters: "mode=ro&vfs=unix-none", pragmas: []string{"locking_mode(EXCLUSIVE)"}, still: true},
	}
}

func (w way) open(path string) (_ *Reader, err error) {
	r := &Reader{path: path}
	if w.still {
		if r.still, err = observe(path); err != nil {
			return nil, err
		}
	}
	if r.db, err = openDB(uri(path, w.parameters, 10*time.Second, append(w.pragmas, readerPragmas...)...)); err != nil {
		return nil, err
	}
	if err := r.look(context.Background()); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// look sees whether it is a journal at all.
func (r *Reader) look(ctx context.Context) error {
	found, err := readLayout(ctx, r.db)
	if err != nil {
		return err
	}
	if err := found.judge(); err != nil {
		return err
	}
	switch {
	case found.version == 0:
		return errors.New("it is empty: nothing was ever written to it")
	}
	if err := found.check(ctx); err != nil {
		return err
	}
	r.version = found.version
	r.name, err = readName(ctx, r.db)
	return err
}

// Path gives the name of the file.
func (r *Reader) Path() string { return r.path }

// Name gives the journal's own name, which it got at random when it was made, and which
// its anchors bear.
func (r *Reader) Name() string { return r.name }

// Close ends the reading. It may be called again.
func (r *Reader) Close() error {
	if r.db == nil {
		return nil
	}
	return wrap("close", r.path, r.db.Close())
}

// settled makes the error of a question: its own, or that the file was written while it
// was taken for still.
func (r *Reader) settled(op string, err error) error {
	if r.still != nil && r.still.moved(r.path) {
		return &Error{Op: op, Path: r.path, Err: ErrMoved}
	}
	return wrap(op, r.path, err)
}

// largest is how long a value may be that SQLite takes into memory for a reader.
const largest = 32 << 20

// inOneView runs questions that must all see the same state of the journal.
func (r *Reader) inOneView(ctx context.Context, fn func(querier) error) (err error) {
	c, err := r.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := sqlite.Limit(c, sqlite3.SQLITE_LIMIT_LENGTH, largest); err != nil {
		return err
	}
	// What is begun has a known end: a BEGIN that is cancelled gives an error, and has begun all
	// the same. It waits for nothing.
	if _, err := c.ExecContext(context.WithoutCancel(ctx), "BEGIN"); err != nil {
		return err
	}
	defer func() {
		_, end := c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		err = errors.Join(err, ignoreNoTransaction(end))
	}()
	if r.version == 1 {
		return fn(version1{c})
	}
	return fn(c)
}

// still is how the files were when they were opened as ones that nobody writes.
type still struct{ file, wal stamp }

// stamp tells two states of a file apart.
type stamp struct {
	there   bool
	inode   uint64
	size    int64
	changed int64
}

func observe(path string) (*still, error) {
	s := &still{}
	var err error
	if s.file, err = stampOf(path); err != nil {
		return nil, err
	}
	s.wal, err = stampOf(path + "-wal")
	return s, err
}

func stampOf(path string) (stamp, error) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	if errors.Is(err, unix.ENOENT) {
		return stamp{}, nil
	}
	return stamp{true, st.Ino, st.Size, st.Mtim.Nano()}, err
}

func (s *still) moved(path string) bool {
	now, err := observe(path)
	return err != nil || *now != *s
}

// cannotOpen tells whether another way may succeed.
func cannotOpen(err error) bool {
	code, ok := resultCode(err)
	return ok && (code&0xff == sqlite3.SQLITE_CANTOPEN || code&0xff == sqlite3.SQLITE_READONLY ||
		code&0xff == sqlite3.SQLITE_IOERR)
}

// openDB opens a database. That it cannot, shows at the first statement.
func openDB(uri string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", uri)
	if err == nil {
		db.SetMaxOpenConns(8)
		db.SetMaxIdleConns(2)
	}
	return db, err
}

// uri names a database and how to open it.
func uri(path, parameters string, busy time.Duration, pragmas ...string) string {
	if !filepath.IsAbs(path) {
		path = "./" + path // else its first part could be taken for a host
	}
	var b strings.Builder
	fmt.Fprintf(&b, "file:%s?%s&_defensive=1&_dqs=0&_error_rc=1&_busy_timeout=%d", escape(path), parameters, busy.Milliseconds())
	for _, p := range pragmas {
		b.WriteString("&_pragma=" + url.QueryEscape(p))
	}
	return b.String()
}

// escape keeps the bytes of a path that mean something in a URI.
func escape(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}
