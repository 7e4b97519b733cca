package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/place"
	"golang.org/x/sys/unix"
)

// lock is the right to write a journal. The kernel gives it back when the process
// ends, however it ends.
//
// It is a lock on a file of its own. To open the journal's file for it would be a trap:
// closing any descriptor of a file drops the locks that SQLite has on it in the same
// process.
type lock struct{ file *os.File }

func takeLock(path string) (*lock, error) {
	f, err := place.Rules{}.OpenFile(path+"-lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, readOnlyMeaning(err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		defer f.Close()
		return nil, fmt.Errorf("%w%s", ErrLocked, holder(f))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	// For whoever finds it locked. That it is locked does not depend on it.
	if f.Truncate(0) == nil {
		fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return &lock{f}, nil
}

// holder says which process has the lock, if it had room to say so.
func holder(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return ": process " + pid
	}
	return ""
}

// release gives it back. Closing alone would not, while a child that another thread just
// forked still has the descriptor.
func (l *lock) release() error {
	return errors.Join(unix.Flock(int(l.file.Fd()), unix.LOCK_UN), l.file.Close())
}

// readOnlyMeaning lets [ErrReadOnly] be found in an error of the system.
func readOnlyMeaning(err error) error {
	switch {
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
