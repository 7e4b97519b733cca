package output

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// journaldSocket is where journald takes entries of fields.
const journaldSocket = "/run/systemd/journal/socket"

// identifier is what the program is called in system logs.
const identifier = "kmodtrace"

// journald sends entries with fields to the systemd journal
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/). The library of systemd's own project
// has one connection for the whole program, and no end of waiting.
//
// Journald tells nobody what it drops, as it does with what is too much of one unit at a
// time (LogRateLimitBurst=).
type journald struct {
	name string
	link link
}

func newJournald(name, path string) *journald {
	return &journald{name: name, link: link{network: "unixgram", address: path}}
}

func (j *journald) Name() string { return j.name }
func (j *journald) Close() error { return j.link.Close() }

func (j *journald) Send(ctx context.Context, entries []Entry) error {
	return j.link.do(ctx, func(conn net.Conn) error {
		for i := range entries {
			if err := sendJournald(conn.(*net.UnixConn), journaldText(&entries[i])); err != nil {
				return err
			}
		}
		return nil
	})
}

// sendJournald sends an entry; as a file in memory what is too large for a socket.
func sendJournald(conn *net.UnixConn, text []byte) error {
	_, err := conn.Write(text)
	if !errors.Is(err, unix.EMSGSIZE) && !errors.Is(err, unix.ENOBUFS) {
		return err
	}
	f, err := sealed(text)
	if err != nil {
		return err
	}
	defer f.Close()
	return sendFile(conn, f)
}

// sendFile sends a file and no bytes. net's own way takes only connections that have no
// other side yet.
func sendFile(conn *net.UnixConn, f *os.File) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	rights := unix.UnixRights(int(f.Fd()))
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = unix.Sendmsg(int(fd), nil, rights, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return !errors.Is(sent, unix.EAGAIN)
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("sendmsg", sent)
}

// sealed gives a file in memory that nobody can change any more: only such a one journald
// takes from everybody.
func sealed(text []byte) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("kmodtrace-entry", flags)
	if errors.Is(err, unix.EACCES) { // vm.memfd_noexec=2
		fd, err = unix.MemfdCreate("kmodtrace-entry", flags|unix.MFD_NOEXEC_SEAL)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "memfd:kmodtrace-entry")
	if _, err = f.Write(text); err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func journaldText(e *Entry) []byte {
	var b bytes.Buffer
	field := func(name, value string) {
		if !strings.Contains(value, "\n") {
			fmt.Fprintf(&b, "%s=%s\n", name, value)
			return
		}
		fmt.Fprintf(&b, "%s\n", name)
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(value))))
		fmt.Fprintf(&b, "%s\n", value)
	}
	field("MESSAGE", printable(e.Text))
	field("PRIORITY", strconv.Itoa(int(e.level())))
	field("SYSLOG_IDENTIFIER", identifier)
	for _, f := range facts(e) {
		field("KMODTRACE_"+strings.ToUpper(f.name), f.value)
	}
	field("KMODTRACE_RECORD", string(e.record()))
	return b.Bytes()
}
