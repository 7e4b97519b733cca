package ending

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/kmodtrace/kmodtrace/internal/term"
	"golang.org/x/sys/unix"
)

// errReaderGone is the cause of a context that is done for it.
var errReaderGone = errors.New("nobody reads the output")

// WhileRead gives a context that is also done when the reader of an output is gone. A command that
// waits for something to print would find that only by its next write, which may never come. An
// output that is neither a pipe nor a socket always has a reader.
func WhileRead(ctx context.Context, out io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	end := func() { cancel(nil) }
	f, ok := term.File(out)
	if !ok {
		return ctx, end
	}
	fd, err := duplicate(f)
	if err != nil {
		return ctx, end // its writes will fail too
	}
	wake := -1
	if hasReader(fd) {
		wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	}
	if wake < 0 || err != nil {
		_ = unix.Close(fd)
		return ctx, end
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if awaitGone(fd, wake) {
			cancel(errReaderGone)
		}
	}()
	return ctx, sync.OnceFunc(func() {
		end()
		_, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		<-ended
		_, _ = unix.Close(fd), unix.Close(wake)
	})
}

// ReaderGone gives the error of a write that nobody reads, where a context of [WhileRead] is done
// for that; else nil.
func ReaderGone(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errReaderGone) {
		return term.OutputError(unix.EPIPE)
	}
	return nil
}

// duplicate gives a descriptor of a file that stays open until it is closed here.
func duplicate(f *os.File) (fd int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	controlErr := raw.Control(func(of uintptr) {
		fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0)
	})
	return fd, errors.Join(err, controlErr)
}

// hasReader tells whether it is of a kind that can lose its reader.
func hasReader(fd int) bool {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false
	}
	kind := st.Mode & unix.S_IFMT
	return kind == unix.S_IFIFO || kind == unix.S_IFSOCK
}

// awaitGone returns true when the reader is gone, and false when there is something in wake. The
// kernel tells of the one without being asked (POLLERR of a pipe, POLLHUP of a socket).
func awaitGone(fd, wake int) bool {
	for {
		of := []unix.PollFd{{Fd: int32(fd)}, {Fd: int32(wake), Events: unix.POLLIN}}
		_, err := unix.Poll(of, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil, of[1].Revents != 0:
			return false
		case of[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0:
			return true
		}
	}
}
