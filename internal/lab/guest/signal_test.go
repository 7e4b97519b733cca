package guest

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSignalReachesWhatDoesNotRead: a command that hangs takes no input, and gets its signal.
func TestSignalReachesWhatDoesNotRead(t *testing.T) {
	command := exec.Command("sleep", "100000")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Process.Kill()
	var port, answers bytes.Buffer
	w := NewWriter(&port)
	for range Window { // the most that may be under way
		if err := w.Write(Stdin, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	for _, write := range []error{
		w.Write(StdinEnd, nil), w.Write(StdinEnd, nil), w.Write(Stdin, []byte("too late")),
		w.WriteUint(Signal, 0), w.WriteUint(Signal, 99), w.Write(Signal, nil), w.WriteUint(Signal, uint32(unix.SIGTERM)),
	} {
		if write != nil {
			t.Fatal(write)
		}
	}
	_, stdin := io.Pipe() // that nobody reads
	defer stdin.CloseWithError(os.ErrClosed)
	newListener(command.Process.Pid, NewWriter(&answers)).listen(NewReader(&port), stdin)
	if err := command.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("the command ended with %v", err)
	}
	var troubles []string
	for r := NewReader(&answers); ; {
		f, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil || f.Kind != Trouble {
			t.Fatalf("%s, %v", f.Kind, err)
		}
		troubles = append(troubles, string(f.Payload))
	}
	if len(troubles) != 3 || !strings.Contains(troubles[1], "signal 99") {
		t.Errorf("%q", troubles)
	}
}

// TestInputComesInOrder: and ends once.
func TestInputComesInOrder(t *testing.T) {
	var port, answers bytes.Buffer
	w := NewWriter(&port)
	const text = "the quick brown fox"
	for _, c := range text {
		if err := w.Write(Stdin, []byte(string(c))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write(StdinEnd, nil); err != nil {
		t.Fatal(err)
	}
	in, stdin := io.Pipe()
	go newListener(os.Getpid(), NewWriter(&answers)).listen(NewReader(&port), stdin)
	if got, err := io.ReadAll(in); string(got) != text || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	credit := 0
	for r := NewReader(&answers); ; {
		f, err := r.Next()
		if err == io.EOF {
			break
		}
		n, err := f.Uint()
		if err != nil || f.Kind != Credit {
			t.Fatalf("%s, %v", f.Kind, err)
		}
		credit += int(n)
	}
	if credit != len(text) {
		t.Errorf("credit for %d bytes of %d", credit, len(text))
	}
}
