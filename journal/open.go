package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/place"
	"golang.org/x/sys/unix"
)

// Options are for [Open]. The zero value is the default.
type Options struct {
	// Busy is how long to wait for a lock that SQLite needs and another program has for
	// a moment; 10 s if zero.
	Busy time.Duration
}

func (o *Options) busy() time.Duration {
	if o == nil || o.Busy <= 0 {
		return 10 * time.Second
	}
	return o.Busy
}

// Journal is the one writer of a journal. Its methods may be called at once; appends
// are done one after the other. Questions do not wait for appends, nor appends for
// questions.
type Journal struct {
	*Reader
	lock  *lock
	db    *sql.DB // of one connection
	conn  *sql.Conn
	added bool
	room  room

	mu     sync.Mutex // for what follows, and the connection
	closed bool
	head   link
	insert *insertion
}

// link is a place in the chain.
type link struct {
	seq  int64
	hash Sum
}

// Open opens a journal to write it. Where there is none it makes one, readable and
// writable for its owner only, in a directory that must exist. What was interrupted by
// a crash is put in order first.
//
// It refuses at once with [ErrLocked] where there is a writer already. With
// [ErrCorrupt] the file is damaged, as far as that shows without reading all of it:
// [Reader.Verify] does that. With [ErrUnsafe] others than root and the owner could
// replace the file: by a directory or a link on the way to it, or because it is a link,
// has a hard link, or is somebody else's. A journal of an older version is brought to the
// newest.
func Open(path string, opts *Options) (*Journal, error) {
	j, err := open(path, opts)
	return j, wrap("open", path, err)
}

func open(path string, opts *Options) (_ *Journal, err error) {
	if err := checkPlace(path); err != nil {
		return nil, err
	}
	if err := checkCompanions(path); err != nil {
		return nil, err
	}
	l, err := takeLock(path)
	if err != nil {
		return nil, err
	}
	j := &Journal{lock: l, Reader: &Reader{path: path}}
	defer func() {
		if err != nil {
			j.Close()
		}
	}()
	if err := create(path); err != nil {
		return nil, err
	}
	if err := j.connect(opts); err != nil {
		return nil, err
	}
	j.Reader.db, err = openDB(uri(path, "mode=ro", opts.busy(), readerPragmas...))
	return j, err
}

// checkPlace tells why a path cannot be that of a journal to write.
func checkPlace(path string) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("its directory must exist: %w", err)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return place.Rules{}.Check(path)
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%w: it is a symbolic link: name the file that it leads to", ErrUnsafe)
	}
	if err := checkFile(info); err != nil {
		return err
	}
	return place.Rules{}.Check(path)
}

// checkCompanions looks at the files beside it, which SQLite opens as they are. Nobody
// else can make them in a directory that checkPlace accepts; they may be there since it
// was another one's.
func checkCompanions(path string) error {
	for _, suffix := range append([]string{"-lock"}, companions[:]...) {
		if err := (place.Rules{}).Check(path + suffix); err != nil {
			return err
		}
	}
	return nil
}

// pageSize is that of SQLite, in bytes.
const pageSize = 4096

func checkFile(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return errors.New("it is a directory, not a file")
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	case info.Size() > 0 && info.Size() < pageSize: // SQLite takes some such for empty
		return corrupt("it has %d bytes, which is not one page", info.Size())
	}
	return nil
}

// create makes an empty file where there is none.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrExist) {
		// It is not opened here: see lock.
		return readOnlyMeaning(unix.Access(path, unix.R_OK|unix.W_OK))
	}
	if err != nil {
		return readOnlyMeaning(err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	// Companions without their file are what a SetAside that was interrupted left.
	for _, suffix := range companions {
		if _, err := os.Lstat(path + suffix); err == nil {
			if err := orphans(path, time.Now()); err != nil {
				return err
			}
		}
	}
	return syncDir(filepath.Dir(path))
}

// orphans sets companions aside that have no file, and leaves the file that was just
// made.
func orphans(path string, now time.Time) error {
	kept, err := setAside(path, now)
	if err != nil {
		return err
	}
	return os.Rename(kept, path)
}

// writerPragmas make every commit durable. They change nothing in the file.
var writerPragmas = []string{"synchronous(FULL)", "journal_size_limit(16777216)", "cell_size_check(ON)", "trusted_schema(OFF)"}

// connect opens the database, and sees whether the file is fit to be continued.
func (j *Journal) connect(opts *Options) (err error) {
	ctx := context.Background()
	if j.db, err = openDB(uri(j.path, "mode=rw", opts.busy(), writerPragmas...)); err != nil {
		return err
	}
	j.db.SetMaxOpenConns(1)
	if j.conn, err = j.db.Conn(ctx); err != nil {
		return err
	}
	if err := j.prepareSchema(ctx); err != nil {
		return err
	}
	if j.name, err = readName(ctx, j.conn); err != nil {
		return err
	}
	j.version = len(steps())
	if j.head, err = checkHead(ctx, j.conn, j.name); err != nil {
		return err
	}
	if j.insert, err = prepareInsertion(ctx, j.conn); err != nil {
		return err
	}
	return j.measure(ctx)
}

func (j *Journal) prepareSchema(ctx context.Context) error {
	found, err := readLayout(ctx, j.conn)
	if err != nil {
		return err
	}
	if err := found.judge(); err != nil {
		return err
	}
	if found.version > 0 {
		if err := found.check(ctx); err != nil {
			return err
		}
	}
	j.added = found.version == 0
	if err := j.prepareFile(ctx); err != nil {
		return err
	}
	if err := migrate(ctx, j.conn, found.version, steps()); err != nil {
		return err
	}
	if found, err = readLayout(ctx, j.conn); err != nil {
		return err
	}
	return found.check(ctx)
}

// prepareFile makes a file that is ours one with a write-ahead log, whose free pages
// can be given back in parts; that only as long as nothing is in it.
func (j *Journal) prepareFile(ctx context.Context) error {
	if _, err := j.conn.ExecContext(ctx, "PRAGMA auto_vacuum = INCREMENTAL"); err != nil {
		return err
	}
	var mode string
	if err := j.conn.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("its file system cannot carry a write-ahead log (journal mode %s)", mode)
	}
	return nil
}

// New tells whether Open made the journal, or found an empty file.
func (j *Journal) New() bool { return j.added }

// Close ends the writing, and lets others write. It may be called again.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	err := j.Reader.Close()
	if j.insert != nil {
		err = errors.Join(err, j.insert.close())
	}
	if j.conn != nil {
		err = errors.Join(err, j.conn.Close())
	}
	if j.db != nil {
		err = errors.Join(err, j.db.Close())
	}
	return wrap("close", j.path, errors.Join(err, j.lock.release()))
}

// readHead gives the end of the chain as it is kept apart from it.
func readHead(ctx context.Context, q querier) (link, error) {
	var l link
	var hash blob
	err := q.QueryRowContext(ctx, "SELECT seq, "+bounded("hash", 100)+" FROM head").Scan(&l.seq, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return l, corrupt("the end of its chain is not kept")
	}
	if err != nil {
		return l, err
	}
	return l, hash.sum(&l.hash)
}

func readName(ctx context.Context, q querier) (string, error) {
	var name text
	err := q.QueryRowContext(ctx, "SELECT "+bounded("journal", 100)+" FROM head").Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		err = corrupt("the end of its chain is not kept")
	}
	return string(name), err
}

// checkHead compares the end of the chain with the last record.
func checkHead(ctx context.Context, q querier, name string) (link, error) {
	head, err := readHead(ctx, q)
	if err != nil {
		return head, err
	}
	last, err := one(q.QueryContext(ctx, "SELECT "+columns+" FROM record ORDER BY seq DESC LIMIT 1"))
	if errors.Is(err, ErrNotFound) {
		last, err = &kept{}, nil
	} else if err == nil {
		err = last.intact(name)
	}
	if err != nil {
		return head, err
	}
	if last.Seq != head.seq || last.Hash != head.hash {
		return head, corrupt("its chain ends with record %d (%v), but should with %d (%v)", last.Seq, last.Hash, head.seq, head.hash)
	}
	return head, err
}
