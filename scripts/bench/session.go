package main

import (
	"bufio"
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

// inside is where the guest has the packages of the contenders.
const inside = "/contenders"

// furnish mounts what programs expect to find into the contenders' root, and makes the
// files that their packages would.
func furnish() error {
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run", "/tmp", "/usr/lib/modules", "/var/log/audit"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		at := filepath.Join(inside, dir)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(dir, at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("show %s: %w", dir, err)
		}
	}
	if err := os.Symlink("dash", filepath.Join(inside, "usr/bin/sh")); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	for name, text := range map[string]string{"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "root:x:0:\nadm:x:4:\n"} {
		if err := os.WriteFile(filepath.Join(inside, "etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// session is a contender at work.
type session struct {
	contender
	cmd   *exec.Cmd
	files []*os.File
	// took is how long it was until it was attached, stopped how long until it was gone.
	took, stopped time.Duration
	// mark is where in its records the part begins that counts.
	mark int64
	// gone is closed when its process has ended.
	gone chan struct{}
}

const (
	readyWithin = time.Minute
	goneWithin  = 5 * time.Minute
)

// begin starts it and waits until it is attached. Its output goes to outputFile, and to
// the writer too if there is one.
func (c contender) begin(ctx context.Context, also io.Writer) (*session, error) {
	for _, name := range append([]string{readyFile, outputFile, errorsFile}, c.records...) {
		_ = os.Remove(name)
	}
	s := &session{contender: c, cmd: c.start(ctx, c.argv), gone: make(chan struct{})}
	for _, name := range []string{outputFile, errorsFile} {
		f, err := os.Create(name)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, f)
	}
	s.cmd.Stdout, s.cmd.Stderr = s.files[0], s.files[1]
	if also != nil {
		s.cmd.Stdout = io.MultiWriter(s.files[0], also)
	}
	start := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.gone)
	}()
	if err := s.attached(ctx, start); err != nil {
		_, _ = s.end()
		return nil, err
	}
	s.took = time.Since(start)
	if err := s.settle(); err != nil {
		_, _ = s.end()
		return nil, err
	}
	return s, nil
}

// settle waits until it shows nothing more of what was before: what comes from now on
// counts.
func (s *session) settle() error {
	name := outputFile
	if s.records != nil {
		name = s.records[len(s.records)-1]
	}
	for quiet := 0; quiet < 5; time.Sleep(100 * time.Millisecond) {
		info, err := os.Stat(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		quiet++
		if err == nil && info.Size() != s.mark {
			s.mark, quiet = info.Size(), 0
		}
	}
	return nil
}

func (s *session) attached(ctx context.Context, start time.Time) error {
	for _, argv := range s.before {
		if text, err := s.start(ctx, argv).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, text)
		}
	}
	for !s.ready() {
		select {
		case <-s.gone:
			return fmt.Errorf("ended before it was attached: %s", s.said())
		case <-time.After(5 * time.Millisecond):
		}
		if time.Since(start) > readyWithin {
			return fmt.Errorf("not attached after %v: %s", readyWithin, s.said())
		}
	}
	return nil
}

func (s *session) said() string {
	errors, _ := os.ReadFile(errorsFile)
	output, _ := os.ReadFile(outputFile)
	const enough = 1000
	output = output[:min(len(output), enough)]
	return strings.TrimSpace(string(errors) + string(output))
}

// start gives a command of the root directory that the contender lives in.
func (c contender) start(ctx context.Context, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = os.Environ()
	if !c.inside {
		return cmd
	}
	for _, dir := range []string{"/usr/bin", "/usr/sbin"} {
		if name := filepath.Join(dir, argv[0]); exists(inside + name) {
			cmd.Path, cmd.Err = name, nil
		}
	}
	cmd.Env = []string{"PATH=/usr/bin:/usr/sbin", "HOME=/tmp"}
	cmd.Dir = "/"
	cmd.SysProcAttr.Chroot = inside
	return cmd
}

// signal goes to all of its processes.
func (s *session) signal(sig syscall.Signal) { _ = syscall.Kill(-s.cmd.Process.Pid, sig) }

// end stops it as its users would, and gives how long it took to be gone.
func (s *session) end() (time.Duration, error) {
	start := time.Now()
	s.signal(s.stop)
	select {
	case <-s.gone:
	case <-time.After(goneWithin):
		s.signal(syscall.SIGKILL)
		<-s.gone
	}
	took := time.Since(start)
	var errs []error
	for _, argv := range s.after {
		if text, err := s.start(context.Background(), argv).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, text))
		}
	}
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return took, errors.Join(errs...)
}

// lines counts what it printed since it settled.
func (s *session) lines() (n int, err error) {
	f, err := os.Open(outputFile)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.Seek(s.mark, io.SeekStart); err != nil {
		return 0, err
	}
	lines := bufio.NewReaderSize(f, 1<<20)
	for {
		_, err := lines.ReadSlice('\n')
		switch {
		case err == nil:
			n++
		case errors.Is(err, io.EOF):
			return n, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return n, err
		}
	}
}

// claimed is what it said was done, once it has ended.
func (s *session) claimed(ctx context.Context) (deeds, error) {
	if s.report != nil {
		cmd := s.start(ctx, s.report)
		text, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.Join(s.report, " "), err)
		}
		return s.claims(text), nil
	}
	records := s.records
	if records == nil {
		records = []string{outputFile}
	}
	var text []byte
	for _, name := range records {
		more, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		text = append(text, more...)
	}
	if int64(len(text)) < s.mark {
		return nil, fmt.Errorf("%s has less than it had", records[len(records)-1])
	}
	return s.claims(text[s.mark:]), nil
}
