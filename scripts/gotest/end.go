package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// ender ends the processes of a package whose tests hang.
type ender struct {
	dir    string        // where the go command runs, "" for here
	env    []string      // its, nil for this process's own
	parent int           // the go command
	grace  time.Duration // between a signal and the next one
	say    func(format string, args ...any)
}

// end ends what tests a package: by SIGQUIT, at which a Go program prints the stacks of
// its goroutines and "kmodtrace lab exec" has the test in its guest do so; then by
// SIGTERM, at which that prints the end of the guest's console; then by SIGKILL, with all
// that it has started.
func (e *ender) end(ctx context.Context, s stall) {
	dir, err := e.dirOf(ctx, s.pkg)
	if err != nil {
		e.say("gotest: %s: find its directory: %v\n", s.pkg, err)
	}
	var all []process
	defer func() { kill(all) }() // what a test started and its end has left behind
	for signal := syscall.SIGQUIT; ; signal = harder(signal) {
		tests, started, err := e.find(dir)
		if err != nil {
			e.say("gotest: %s: %v\n", s.pkg, err)
		}
		all = append(all, started...)
		for _, p := range tests {
			e.say("gotest: %s: %v to %s\n", s.pkg, signal, p.name)
			_ = p.Signal(signal) // else it has ended
		}
		if signal == syscall.SIGKILL {
			kill(all)
		}
		select {
		case <-s.ended:
			return
		case <-ctx.Done():
			return
		case <-time.After(e.grace):
		}
	}
}

// endAll ends the go command by stop, and all that it has started.
func (e *ender) endAll(stop func()) {
	all, parents, err := processes()
	if err != nil {
		e.say("gotest: %v\n", err)
	}
	started := startedBy(e.parent, all, parents)
	stop()
	kill(started)
}

func harder(signal syscall.Signal) syscall.Signal {
	if signal == syscall.SIGQUIT {
		return syscall.SIGTERM
	}
	return syscall.SIGKILL
}

func kill(all []process) {
	for _, p := range all {
		_ = p.Kill()
	}
}

// dirOf gives the directory of a package, where go test runs its test.
func (e *ender) dirOf(ctx context.Context, pkg string) (string, error) {
	list := exec.CommandContext(ctx, "go", "list", "-e", "-find", "-f", "{{.Dir}}", "--", pkg)
	list.Dir, list.Env = e.dir, e.env
	out, err := list.Output()
	return string(bytes.TrimSpace(out)), err
}

// process is a handle of a process: it stays that one's when another gets its number.
type process struct {
	*os.Process
	name string
}

// find gives the processes that test the package in dir, and all that these have started.
// Where the test has ended, what it started may keep its output open, for which the go
// command waits: then it is that which is found.
func (e *ender) find(dir string) (tests, started []process, err error) {
	all, parents, err := processes()
	if err != nil {
		return nil, nil, err
	}
	for _, p := range all {
		if parents[p.PID] == e.parent && isTest(p, dir) {
			tests = append(tests, hold(p, func() bool { return isTest(p, dir) })...)
		}
	}
	if len(tests) == 0 {
		tests = e.holders(all, parents)
	}
	for _, t := range tests {
		started = append(started, startedBy(t.Pid, all, parents)...)
	}
	return tests, started, nil
}

// processes gives all, and the parent of each.
func processes() (all procfs.Procs, parents map[int]int, err error) {
	all, err = procfs.AllProcs()
	parents = make(map[int]int)
	for _, p := range all {
		if stat, err := p.Stat(); err == nil {
			parents[p.PID] = stat.PPID
		}
	}
	return all, parents, err
}

// startedBy gives what a process has started, and what that has.
func startedBy(pid int, all procfs.Procs, parents map[int]int) (started []process) {
	for _, p := range all {
		if below(parents, p.PID, pid) {
			started = append(started, hold(p, func() bool { return parentOfProcess(p) == parents[p.PID] })...)
		}
	}
	return started
}

// hold takes a handle of a process that still is the one that is meant.
func hold(p procfs.Proc, still func() bool) []process {
	handle, err := os.FindProcess(p.PID)
	if err != nil || !still() {
		return nil
	}
	name, _ := p.Comm()
	return []process{{handle, fmt.Sprintf("%s (process %d)", name, p.PID)}}
}

func parentOfProcess(p procfs.Proc) int {
	stat, err := p.Stat()
	if err != nil {
		return -1
	}
	return stat.PPID
}

// below says whether a process was started by another, or by what that started.
func below(parents map[int]int, pid, ancestor int) bool {
	for range len(parents) {
		parent, ok := parents[pid]
		if !ok || parent == ancestor {
			return ok
		}
		pid = parent
	}
	return false
}

// isTest says whether a process is a test that runs in dir: the test itself, or the program
// of -exec, which has the test's arguments too.
func isTest(p procfs.Proc, dir string) bool {
	cwd, err := p.Cwd()
	if err != nil || cwd != dir {
		return false
	}
	args, err := p.CmdLine()
	return err == nil && slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "-test.") })
}

// holders are processes that write to a pipe which the go command has made, and are not
// below it any more.
func (e *ender) holders(all procfs.Procs, parents map[int]int) (found []process) {
	pipes := pipesOf(e.parent)
	for inherited := range pipesOf(os.Getpid()) { // which others may share
		delete(pipes, inherited)
	}
	for _, p := range all {
		if p.PID == e.parent || below(parents, p.PID, e.parent) {
			continue
		}
		shares := func() bool {
			for pipe := range pipesOf(p.PID) {
				if pipes[pipe] {
					return true
				}
			}
			return false
		}
		if shares() {
			found = append(found, hold(p, shares)...)
		}
	}
	return found
}

// pipesOf gives the pipes that a process has open.
func pipesOf(pid int) map[string]bool {
	pipes := make(map[string]bool)
	p, err := procfs.NewProc(pid)
	if err != nil {
		return pipes
	}
	targets, _ := p.FileDescriptorTargets() // none of a process that is not ours to look at
	for _, target := range targets {
		if strings.HasPrefix(target, "pipe:") {
			pipes[target] = true
		}
	}
	return pipes
}
