package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// monitor is QEMU's control socket (QMP). The libraries for it want a socket with a name,
// and pass no descriptors; all that is needed here is to have a machine saved.
type monitor struct {
	conn  *net.UnixConn
	lines *bufio.Reader
}

// maxReply is what a line of QEMU's may have, in bytes.
const maxReply = 1 << 20

// newMonitor gives our end, and the one that QEMU inherits.
func newMonitor() (*monitor, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("monitor: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "monitor"), os.NewFile(uintptr(pair[1]), "monitor of QEMU")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("monitor: %w", err)
	}
	unixConn := conn.(*net.UnixConn) // of a socket that is one
	return &monitor{conn: unixConn, lines: bufio.NewReaderSize(unixConn, maxReply)}, theirs, nil
}

func (m *monitor) close() { _ = m.conn.Close() }

// reply is a line of QEMU's: an answer, or an event, which has neither.
type reply struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Description string `json:"desc"`
	} `json:"error"`
}

// do has QEMU execute one command, and reads what it returns.
func (m *monitor) do(command string, arguments any, pass []int, result any) error {
	text, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, arguments})
	if err != nil {
		return err
	}
	var control []byte
	if len(pass) > 0 {
		control = unix.UnixRights(pass...)
	}
	if _, _, err := m.conn.WriteMsgUnix(append(text, '\n'), control, nil); err != nil {
		return fmt.Errorf("monitor: %s: %w", command, err)
	}
	for {
		line, err := m.lines.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("monitor: %s: %w", command, err)
		}
		var r reply
		switch err := json.Unmarshal(line, &r); {
		case err != nil:
			return fmt.Errorf("monitor: %s: %w", command, err)
		case r.Error != nil:
			return fmt.Errorf("monitor: %s: %s", command, r.Error.Description)
		case r.Return != nil && result != nil:
			return json.Unmarshal(r.Return, result)
		case r.Return != nil:
			return nil
		}
	}
}

// begin says hello, and that the memory which QEMU shares with us is not part of the state.
// (There is no option for that before a machine starts.)
func (m *monitor) begin() error {
	if err := m.do("qmp_capabilities", nil, nil, nil); err != nil {
		return err
	}
	type capability struct {
		Name  string `json:"capability"`
		State bool   `json:"state"`
	}
	return m.do("migrate-set-capabilities", map[string][]capability{"capabilities": {{"x-ignore-shared", true}}}, nil, nil)
}

// save has QEMU write the state of the machine to a pipe. The machine does not go on after
// it. It ends early when ctx is done.
func (m *monitor) save(ctx context.Context, to *os.File) error {
	return m.until(ctx, func() error {
		if err := m.begin(); err != nil {
			return err
		}
		if err := m.migrate("migrate", to); err != nil {
			return err
		}
		return m.do("quit", nil, nil, nil)
	})
}

// restore has QEMU read the state of the machine, which goes on when that is done. What
// its ports are sent before is lost. QEMU reads from a pipe: from 11 on it takes no descriptor of a
// file.
func (m *monitor) restore(ctx context.Context, from io.Reader) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("pipe for the state: %w", err)
	}
	defer r.Close()
	go func() {
		_, _ = io.Copy(w, from) // QEMU says what is wrong with a state that is cut off
		_ = w.Close()
	}()
	return m.until(ctx, func() error {
		if err := m.begin(); err != nil {
			return err
		}
		return m.migrate("migrate-incoming", r)
	})
}

// migrate gives QEMU the state's descriptor, and waits until it is done with it.
func (m *monitor) migrate(command string, f *os.File) error {
	const name = "state"
	if err := m.do("getfd", map[string]string{"fdname": name}, []int{int(f.Fd())}, nil); err != nil {
		return err
	}
	if err := m.do(command, map[string]string{"uri": "fd:" + name}, nil, nil); err != nil {
		return err
	}
	for {
		var progress struct {
			Status string `json:"status"`
			Error  string `json:"error-desc"`
		}
		if err := m.do("query-migrate", nil, nil, &progress); err != nil {
			return err
		}
		switch progress.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("monitor: %s: %s %s", command, progress.Status, progress.Error)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// until has f fail when ctx is done.
func (m *monitor) until(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = m.conn.SetDeadline(time.Now()) })
	defer stop()
	err := f()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
