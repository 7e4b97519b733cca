package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// packages are Debian's, of the contenders that are not ours.
func packages() []string {
	return []string{"bpftrace", "linux-perf", "trace-cmd", "auditd", "dash", "coreutils"}
}

// contender is a way to watch modules, run as its users run it.
type contender struct {
	name string
	argv []string
	// inside says that it runs in the contenders' root folder.
	inside bool
	// before are commands that have to succeed first, and after ones that undo them.
	before, after [][]string
	// last says that the machine is another one once it has run.
	last bool
	// ready tells whether it is attached. It is asked until it is.
	ready func() bool
}

const (
	readyFile   = "/run/bench-ready"
	outputFile  = "/run/bench-output"
	helloModule = "/root/hello.ko"
	noSuch      = "nosuch_bench"
)

// script is what people write down for bpftrace: the module tracepoints, and probes on
// the functions that kmodtrace's own hooks are on, with what tells results.
const script = `tracepoint:module:module_load { printf("load %s by %s[%d]\n", str(args.name), comm, pid); }
tracepoint:module:module_free { printf("free %s by %s[%d]\n", str(args.name), comm, pid); }
tracepoint:module:module_request { printf("request %s by %s[%d]\n", str(args.name), comm, pid); }
kprobe:__x64_sys_finit_module, kprobe:__x64_sys_init_module, kprobe:__x64_sys_delete_module { printf("%s by %s[%d]\n", func, comm, pid); }
kretprobe:__x64_sys_finit_module, kretprobe:__x64_sys_init_module, kretprobe:__x64_sys_delete_module { printf("%s gave %d\n", func, retval); }
kprobe:do_init_module, kprobe:free_module { printf("%s by %s[%d]\n", func, comm, pid); }
kretprobe:do_init_module { printf("do_init_module gave %d\n", retval); }
`

// contenders lists them. Each writes to outputFile, or to a file of its own format.
func contenders() []contender {
	wrapped := []string{"--", "sh", "-c", "echo >" + readyFile + "; exec sleep 10000"}
	watch := func(backend string) contender {
		return contender{
			name: "kmodtrace " + backend, argv: []string{"kmodtrace", "watch", "--backend", backend, "--ready-file", readyFile},
			ready: func() bool { return exists(readyFile) },
		}
	}
	rules := [][]string{{"auditctl", "-e", "1"}}
	for _, arch := range []string{"b64", "b32"} {
		rules = append(rules, []string{"auditctl", "-a", "always,exit", "-F", "arch=" + arch,
			"-S", "init_module,finit_module,delete_module", "-k", "modules"})
	}
	return []contender{
		watch("fentry"), watch("kprobe"),
		{name: "bpftrace", inside: true, argv: []string{"bpftrace", "-B", "line", "-e", script},
			ready: func() bool { return poked(outputFile, "__x64_sys_delete_module gave") }},
		{name: "perf record", inside: true, argv: append([]string{"perf", "record", "-q", "-a", "-e", "module:*", "-o", "/run/perf.data"}, wrapped...),
			ready: func() bool { return exists(readyFile) }},
		{name: "trace-cmd record", inside: true, argv: append([]string{"trace-cmd", "record", "-q", "-e", "module", "-o", "/run/trace.dat"}, wrapped[1:]...),
			ready: func() bool { return exists(readyFile) }},
		{name: "auditd", inside: true, argv: []string{"auditd", "-n"}, before: rules, after: [][]string{{"auditctl", "-D"}, {"auditctl", "-e", "0"}},
			// The kernel gives every process a context for audit from then on.
			last:  true,
			ready: func() bool { return poked("/var/log/audit/audit.log", `key="modules"`) }},
	}
}

// poked makes a refused unload, which a contender that is attached reports. It is made
// by a new process: audit leaves those alone that began before it.
func poked(file, text string) bool {
	_ = exec.Command("/bin/busybox", "rmmod", noSuch).Run()
	data, err := os.ReadFile(file)
	return err == nil && bytes.Contains(data, []byte(text))
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

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
	for link, target := range map[string]string{"sh": "dash"} {
		if err := os.Symlink(target, filepath.Join(inside, "usr/bin", link)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
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
	cmd    *exec.Cmd
	output *os.File
}

const readyWithin = time.Minute

// begin starts it and waits until it is attached; how long that took is given too.
func (c contender) begin(ctx context.Context) (*session, time.Duration, error) {
	for _, name := range []string{readyFile, outputFile, "/var/log/audit/audit.log"} {
		_ = os.Remove(name)
	}
	output, err := os.Create(outputFile)
	if err != nil {
		return nil, 0, err
	}
	s := &session{contender: c, cmd: c.command(ctx, c.argv), output: output}
	s.cmd.Stdout, s.cmd.Stderr = output, output
	start := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, 0, err
	}
	for _, argv := range c.before {
		if text, err := c.command(ctx, argv).CombinedOutput(); err != nil {
			_, _ = s.end()
			return nil, 0, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, text)
		}
	}
	for !c.ready() {
		if time.Since(start) > readyWithin || s.cmd.Process.Signal(syscall.Signal(0)) != nil {
			_, _ = s.end()
			text, _ := os.ReadFile(outputFile)
			return nil, 0, fmt.Errorf("not attached after %v; it said %q", readyWithin, text)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return s, time.Since(start), nil
}

// command is of the root folder that the contender lives in.
func (c contender) command(ctx context.Context, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	if c.inside {
		for _, dir := range []string{"/usr/bin", "/usr/sbin"} {
			if name := filepath.Join(dir, argv[0]); exists(inside + name) {
				cmd = exec.CommandContext(ctx, argv[0], argv[1:]...)
				cmd.Path, cmd.Err = name, nil
			}
		}
		cmd.Env = []string{"PATH=/usr/bin:/usr/sbin", "HOME=/tmp"}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: inside}
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	return cmd
}

// end stops it as its users would, and gives how long it took to be gone.
func (s *session) end() (time.Duration, error) {
	start := time.Now()
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT)
	if s.name == "auditd" { // it stays on SIGINT
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
	}
	kill := time.AfterFunc(readyWithin, func() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) })
	defer kill.Stop()
	_ = s.cmd.Wait()
	took := time.Since(start)
	for _, argv := range s.after {
		if text, err := s.command(context.Background(), argv).CombinedOutput(); err != nil {
			return took, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, text)
		}
	}
	return took, s.output.Close()
}
