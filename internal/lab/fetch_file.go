package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lockFile waits until this process alone holds a lock, and gives the function
// that lets it go. The kernel lets it go too when the process dies.
func lockFile(ctx context.Context, path string, progress io.Writer) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for told := false; ; told = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && stillAt(f, path) {
			return func() { f.Close() }, nil
		}
		if err == nil { // it was removed with what it was for
			f.Close()
			return lockFile(ctx, path, progress)
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !told {
			fmt.Fprintf(progress, "waiting for another kmodtrace (%s)\n", filepath.Base(path))
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// replaceFile writes a file so that a reader sees the old or the new one, never
// a part.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// settleFile makes a file hold text. One that does already keeps its time of
// change, by which others see whether to read it again.
func settleFile(path, text string) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return nil
	}
	return replaceFile(path, []byte(text))
}

// output runs a command and gives its standard output. Its error carries what
// the command complained about, in one line.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	setGroup(cmd)
	err := cmd.Run()
	return stdout.String(), commandError(err, stderr.String())
}

// setGroup makes cancelling a command end its children too: apt works through
// helpers, and a compiler through many.
func setGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if cmd.Cancel != nil {
		cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
		cmd.WaitDelay = 2 * time.Second
	}
}

// commandError joins a command's failure with its complaint: apt's lines that
// begin with "E:" where there are such, the first line otherwise. A full disk,
// which other programs only tell in words, is ENOSPC again.
func commandError(err error, stderr string) error {
	if err == nil {
		return nil
	}
	if strings.Contains(strings.ToLower(stderr), unix.ENOSPC.Error()) {
		return fmt.Errorf("%w (%w)", unix.ENOSPC, err)
	}
	var complaints []string
	first := ""
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if first == "" {
			first = line
		}
		if text, ok := strings.CutPrefix(line, "E: "); ok {
			complaints = append(complaints, text)
		}
	}
	if len(complaints) == 0 && first != "" {
		complaints = []string{first}
	}
	if len(complaints) == 0 {
		return err
	}
	return fmt.Errorf("%s (%w)", strings.Join(complaints, "; "), err)
}
