package journal

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/place"
	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What is wrong with a journal, for [errors.Is].
var (
	// ErrLocked: another writer has it open.
	ErrLocked = errors.New("it has a writer already")
	// ErrCorrupt: the file is damaged, or is not what this package wrote. [SetAside]
	// keeps it for later, so that a new one can begin.
	ErrCorrupt = errors.New("it is damaged")
	// ErrChanged: one record is not as it was written; the file may be in order otherwise.
	// Every ErrChanged is an ErrCorrupt too.
	ErrChanged = fmt.Errorf("%w", ErrCorrupt)
	// ErrForeign: the file is in order, but no journal. It is not to be set aside.
	ErrForeign = errors.New("it is not a journal of kmodtrace")
	// ErrNewer: a later version wrote it.
	ErrNewer = errors.New("a later version of kmodtrace wrote it")
	// ErrFull: there is no room on the disk. Nothing of the batch was kept; the next
	// append works when there is room again.
	ErrFull = errors.New("no space left on its disk")
	// ErrReserve: so little room is left on the disk that minor records are not kept any
	// more ([Journal.SetRoom]). Nothing of the batch was kept; without its minor records it
	// is. Every ErrReserve is an ErrFull too.
	ErrReserve = fmt.Errorf("%w for minor records", ErrFull)
	// ErrTooLarge: a record is larger than one may be. To try again does not help.
	ErrTooLarge = errors.New("it is too large to be kept")
	// ErrUnsafe: others than root and the owner could replace its file, or have it too.
	ErrUnsafe = place.ErrUnsafe
	// ErrReadOnly: the file or its file system cannot be written.
	ErrReadOnly = errors.New("it cannot be written")
	// ErrMoved: the file was read as one that nobody writes, and was written meanwhile.
	// Open it again and repeat the question.
	ErrMoved = errors.New("it was written while it was read: ask again")
	// ErrCursor: a cursor is not one that an output can have reached. The records are not
	// affected.
	ErrCursor = errors.New("it has a wrong cursor")
	// ErrNotFound: there is no such record.
	ErrNotFound = errors.New("no such record")
	// ErrClosed: it was closed before.
	ErrClosed = errors.New("it is closed")
)

// Error is what went wrong with a journal.
type Error struct {
	Op   string // what was tried
	Path string // the journal's file
	Err  error
}

func (e *Error) Error() string { return e.Op + " journal " + e.Path + ": " + e.Err.Error() }

// Unwrap gives what went wrong.
func (e *Error) Unwrap() error { return e.Err }

// AmbiguousError says that a prefix is that of several records.
type AmbiguousError struct {
	Prefix string
	IDs    []string // the first of them
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%.40q begins the ids of several records: %.64q, %.64q", e.Prefix, e.IDs[0], e.IDs[1])
}

// wrap names the operation, and gives SQLite's result codes their meaning.
func wrap(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var already *Error
	if errors.As(err, &already) {
		return err
	}
	is := meaning(err)
	if code, ok := resultCode(err); ok && code&0xff == sqlite3.SQLITE_IOERR && is == err && onReadOnly(path) {
		is = fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return &Error{Op: op, Path: path, Err: is}
}

func meaning(err error) error {
	if err == nil || errors.Is(err, ErrCorrupt) {
		return err
	}
	code, ok := resultCode(err)
	if !ok {
		// The tables are strict: another type than theirs is damage. database/sql has no
		// type for that error.
		if strings.HasPrefix(err.Error(), "sql: Scan error on column") {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		return err
	}
	switch {
	case code&0xff == sqlite3.SQLITE_CORRUPT, code == sqlite3.SQLITE_NOTADB, code == sqlite3.SQLITE_IOERR_CORRUPTFS:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case code == sqlite3.SQLITE_TOOBIG:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case code == sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: %w", ErrFull, err)
	case code&0xff == sqlite3.SQLITE_READONLY:
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}

// onReadOnly tells whether a file's system is read-only now. To SQLite, what comes of that
// while the file is open to be written is an I/O error.
func onReadOnly(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && fs.Flags&unix.ST_RDONLY != 0
}

// resultCode gives SQLite's extended result code.
func resultCode(err error) (int, bool) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Code(), true
}

// corrupt makes an error of what was found wrong.
func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// changed makes one of what is wrong with a record.
func changed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrChanged, fmt.Sprintf(format, args...))
}
