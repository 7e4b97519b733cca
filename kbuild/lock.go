package kbuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockFile waits until nobody else holds a lock; waiting is called once when somebody
// does. The kernel lets it go when the process dies.
func lockFile(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	for told := false; ; told = true {
		unlock, err := tryLock(path)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return unlock, err
		}
		if !told {
			waiting()
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// tryLock takes a lock, or fails with EWOULDBLOCK.
func tryLock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// Pruning removes a lock that it holds: then this one is nobody's.
	var open, named unix.Stat_t
	if unix.Fstat(int(f.Fd()), &open) != nil || unix.Stat(path, &named) != nil || open.Ino != named.Ino {
		f.Close()
		return tryLock(path)
	}
	return func() { f.Close() }, nil
}
