package output

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// link is a connection that is made when it is needed, and anew after an error.
type link struct {
	network string // as net.Dial has it
	address string
	conn    net.Conn
}

// do uses the connection for no longer than the context lasts.
func (l *link) do(ctx context.Context, use func(net.Conn) error) error {
	if l.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, l.network, l.address)
		if err != nil {
			return err
		}
		l.conn = conn
	}
	conn := l.conn
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline) // what that fails of, use fails of too
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err := use(conn)
	if !stop() || err != nil {
		_ = l.Close()
	}
	return err
}

func (l *link) Close() error {
	if l.conn == nil {
		return nil
	}
	conn := l.conn
	l.conn = nil
	return conn.Close()
}

// control runs f with the connection's descriptor.
func control(conn net.Conn, f func(fd int) error) error {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// pending gives an error that the system has for the connection and nobody asked for yet,
// as that nobody listens on a port.
func pending(conn net.Conn) error {
	return control(conn, func(fd int) error {
		errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && errno != 0 {
			err = unix.Errno(errno)
		}
		return err
	})
}

var errClosed = errors.New("the other side closed the connection")

// stillOpen tells by an error that the other side has closed a connection.
func stillOpen(conn net.Conn) error {
	return control(conn, func(fd int) error {
		var b [1]byte
		n, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			return nil
		case err == nil && n == 0:
			return errClosed
		}
		return err
	})
}

// acknowledged waits until the other machine has all that was written to a connection.
func acknowledged(ctx context.Context, conn net.Conn) error {
	const shortest, longest = time.Millisecond, 50 * time.Millisecond
	for wait := shortest; ; wait = min(2*wait, longest) {
		left := 0
		err := control(conn, func(fd int) (err error) {
			left, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
			return err
		})
		if err != nil || left == 0 {
			return errors.Join(err, pending(conn))
		}
		if err := stillOpen(conn); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
