package kbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// make runs kbuild on the mirror.
func (b *build) make(ctx context.Context) error {
	_ = os.Remove(b.memoryFile())
	if err := os.WriteFile(b.mirror.unfinished(), nil, 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, b.tools.make, b.arguments()...)
	cmd.Dir = b.mirror.directory
	cmd.Env = environment(os.Environ(), b.mirror.directory)
	heard := newListener(b.Output, b.mirror.directory, b.sources.shown)
	err := runAll(cmd, heard, terminalOf(b.Output))
	heard.flush()
	b.result.Diagnostics = append(b.result.Diagnostics, heard.diagnostics...)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// Make has ended by itself: what it began it has finished, or removed.
	if err := os.Remove(b.mirror.unfinished()); err != nil {
		return err
	}
	return b.judge(err, heard)
}

// arguments are make's. With -L, links have a time of their own: see settleLinks.
func (b *build) arguments() []string {
	args := []string{"-L", "--no-print-directory", fmt.Sprintf("-j%d", runtime.NumCPU()),
		"-C", b.result.Kernel.Directory, "M=" + b.mirror.directory}
	args = append(args, b.tools.arguments...)
	args = append(args, b.Variables...)
	flags := valueOf(b.Variables, "KCFLAGS")
	if flags == "" {
		flags = os.Getenv("KCFLAGS")
	}
	args = append(args, "KCFLAGS="+strings.TrimSpace(flags+" "+b.prefixMap()))
	if symbols := b.mirror.symbols(); len(symbols) > 0 {
		args = append(args, "KBUILD_EXTRA_SYMBOLS="+strings.Join(symbols, " "))
	}
	return append(args, "modules")
}

// prefixMap makes the module's debug information, and the file names in it that the
// kernel prints, those of the user's directory.
func (b *build) prefixMap() string {
	name := b.sources.directory
	if strings.ContainsFunc(name, unsafeRune) {
		name = "." // the flag goes through make and the shell
	}
	return "-ffile-prefix-map=" + b.mirror.directory + "=" + name
}

// misleading are variables by which make or kbuild would work elsewhere, or believe to be
// called by another make.
var misleading = []string{"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEFILES", "M", "MO", "O",
	"KBUILD_OUTPUT", "KBUILD_EXTMOD", "KBUILD_EXTMOD_OUTPUT", "KBUILD_SRC", "KERNELRELEASE", "KCFLAGS", "PWD"}

// environment is the user's, but for the directory: many a Makefile has $(PWD) for its own.
func environment(user []string, directory string) []string {
	kept := slices.DeleteFunc(slices.Clone(user), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(misleading, name)
	})
	return append(kept, "PWD="+directory)
}

// grace is how long make has to remove what is half done, when it is stopped.
const grace = 2 * time.Second

// runAll runs a command whose processes all end with it, or with us: they are a group, or on
// a terminal a session.
func runAll(cmd *exec.Cmd, out io.Writer, screen Terminal) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGTERM) }
	cmd.WaitDelay = grace
	// Pdeathsig is about the thread that starts the child, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var err error
	if screen != nil {
		err = runOnTerminal(cmd, out, screen)
	} else {
		cmd.Stdout, cmd.Stderr = out, out
		err = cmd.Run()
	}
	if cmd.Process != nil {
		endGroup(cmd.Process.Pid)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return err
}

// endGroup kills what a command has left behind, and waits until it is gone; not for ever,
// as what is dead and not reaped looks the same.
func endGroup(group int) {
	for range 20 {
		if unix.Kill(-group, unix.SIGKILL) != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
