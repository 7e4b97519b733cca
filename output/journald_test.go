package output

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"golang.org/x/sys/unix"
)

// listenUnix listens for datagrams.
func listenUnix(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// receive gives the next entry: what is in the datagram, or in the file that comes with
// it, as journald reads it.
func receive(t *testing.T, conn *net.UnixConn) []byte {
	t.Helper()
	data, oob := make([]byte, 1<<20), make([]byte, 64)
	n, oobn, _, _, err := conn.ReadMsgUnix(data, oob)
	if err != nil {
		t.Fatal(err)
	}
	if oobn == 0 {
		return data[:n]
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		t.Fatal(err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || n != 0 || len(fds) != 1 {
		t.Fatal(n, fds, err)
	}
	f := os.NewFile(uintptr(fds[0]), "entry")
	defer f.Close()
	const all = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || seals&all != all {
		t.Fatalf("seals %#x, %v", seals, err)
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// fieldsOf reads an entry as the protocol has it.
func fieldsOf(tb testing.TB, text []byte) map[string]string {
	tb.Helper()
	all := map[string]string{}
	for len(text) > 0 {
		line, after, ok := bytes.Cut(text, []byte("\n"))
		if !ok {
			tb.Fatalf("no end of line: %.200q", text)
		}
		name, value, short := strings.Cut(string(line), "=")
		if !short {
			if len(after) < 8 {
				tb.Fatalf("no size: %.200q", text)
			}
			size := binary.LittleEndian.Uint64(after)
			after = after[8:]
			if size+1 > uint64(len(after)) || after[size] != '\n' {
				tb.Fatalf("%s: %d bytes are too many", name, size)
			}
			value, after = string(after[:size]), after[size+1:]
		}
		if name == "" || len(name) > 64 || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") != "" || name[0] == '_' || name[0] <= '9' {
			tb.Fatalf("journald does not take a field %q", name)
		}
		if _, twice := all[name]; twice {
			tb.Fatalf("%s stands twice", name)
		}
		all[name], text = value, after
	}
	return all
}

func TestJournald(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	o := openConfig(t, Config{Type: "journald", Address: "unix:" + path})
	if err := o.Send(t.Context(), numbered(1, 1)); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("sent to nobody: %v", err)
	}
	conn := listenUnix(t, path)
	e := testEntry(t, 7, samples(t)["asked for from a container"], "load of hello: live")
	send(t, o, []Entry{e})
	got := fieldsOf(t, receive(t, conn))
	for name, want := range map[string]string{
		"MESSAGE": e.Text, "PRIORITY": "5", "SYSLOG_IDENTIFIER": "kmodtrace", "KMODTRACE_ID": e.ID, "KMODTRACE_SEQ": "7", "KMODTRACE_BOOT": boot,
		"KMODTRACE_KIND": "action", "KMODTRACE_ACTION": "load", "KMODTRACE_MODULE": "hello", "KMODTRACE_OUTCOME": "live", "KMODTRACE_USER": "bob",
		"KMODTRACE_LOGINUID": "1000", "KMODTRACE_CONTAINER": strings.Repeat("ab", 32), "KMODTRACE_FILE": "/specimens/hello.ko", "KMODTRACE_REQUESTER": "ip",
		"KMODTRACE_COMM": "insmod", "KMODTRACE_RECORD": string(e.Body),
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	failed := testEntry(t, 8, samples(t)["failed"], "")
	send(t, o, []Entry{failed, word(9, "lost", `{}`)})
	got = fieldsOf(t, receive(t, conn))
	if got["PRIORITY"] != "4" || got["KMODTRACE_CAUSE"] != "symbol-missing" || got["KMODTRACE_ERRNO"] != "ENOENT" {
		t.Errorf("%q", got)
	}
	got = fieldsOf(t, receive(t, conn))
	if got["PRIORITY"] != "3" || got["KMODTRACE_KIND"] != "lost" || got["MESSAGE"] != "what is said of lost" {
		t.Errorf("%q", got)
	}
}

// TestJournaldHostile: nothing in a value makes another field.
func TestJournaldHostile(t *testing.T) {
	for _, e := range entries(t) {
		got := fieldsOf(t, journaldText(&e))
		message := got["MESSAGE"]
		if message != printable(e.Text) || strings.ContainsFunc(message, cells.Hidden) || got["KMODTRACE_ID"] != e.ID {
			t.Errorf("%q", got)
		}
	}
}

// TestJournaldLarge: what is too large for a datagram comes as a file.
func TestJournaldLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	conn := listenUnix(t, path)
	o := openConfig(t, Config{Type: "journald", Address: "unix:" + path})
	for _, size := range []int{100 << 10, 8 << 20} {
		all := numbered(1, 2)
		all[0].Text = strings.Repeat("xy", size/2)
		send(t, o, all)
		for i := range all {
			if got := fieldsOf(t, receive(t, conn)); got["MESSAGE"] != all[i].Text {
				t.Errorf("%d bytes of %d", len(got["MESSAGE"]), size)
			}
		}
	}
}

// TestJournaldHangs: one that takes nothing holds up nobody, and gets all of it later.
func TestJournaldHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	conn := listenUnix(t, path)
	o := openConfig(t, Config{Type: "journald", Address: "unix:" + path, Timeout: 50 * time.Millisecond})
	many := numbered(1, 5000) // more than a socket holds
	if err := o.Send(t.Context(), many); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if err := o.Send(ctx, many); err == nil {
		t.Fatal("sent to nobody")
	}
	got := make(chan string)
	go func() {
		data := make([]byte, 1<<20)
		for {
			n, err := conn.Read(data)
			if err != nil {
				close(got)
				return
			}
			got <- fieldsOf(t, data[:n])["KMODTRACE_SEQ"]
		}
	}()
	done := make(chan error)
	go func() { done <- o.Send(context.WithoutCancel(t.Context()), numbered(9999, 1)) }()
	last, sent := "", false
	for last != "9999" {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			sent = true
		case last = <-got:
		}
	}
	if !sent {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	for range got {
	}
}

// TestJournaldAgain: one that was started anew is found again.
func TestJournaldAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	conn := listenUnix(t, path)
	o := openConfig(t, Config{Type: "journald", Address: "unix:" + path})
	send(t, o, numbered(1, 1))
	conn.Close()
	if err := o.Send(t.Context(), numbered(2, 1)); err == nil {
		t.Fatal("sent to nobody")
	}
	_ = os.Remove(path)
	conn = listenUnix(t, path)
	send(t, o, numbered(2, 1))
	if got := fieldsOf(t, receive(t, conn)); got["KMODTRACE_SEQ"] != "2" {
		t.Errorf("%q", got)
	}
}
