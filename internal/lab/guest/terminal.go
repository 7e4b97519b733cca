package guest

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openTerminal makes the command's input and outputs one pseudo-terminal.
func openTerminal(size Size) (*stdio, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	slave, err := openSlave(master, size)
	if err != nil {
		master.Close()
		return nil, fmt.Errorf("terminal: %w", err)
	}
	return &stdio{
		stdin:   hangup{master},
		outputs: map[Kind]*os.File{Stdout: master},
		in:      slave, out: slave, errOut: slave,
	}, nil
}

func openSlave(master *os.File, size Size) (*os.File, error) {
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Columns}); err != nil {
		return nil, err
	}
	return os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
}

// hangup ends a terminal's input as a user does, by Ctrl-D: closing the master
// would cut the output off.
type hangup struct{ *os.File }

func (h hangup) Close() error {
	_, err := h.Write([]byte{4})
	return err
}
