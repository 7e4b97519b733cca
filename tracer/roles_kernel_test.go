package tracer_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The test program is also the programs that it watches: by the name that it is
// started under it plays one of these roles. They stand in for what a guest lacks: a
// login, sudo, a container's runtime.
func TestMain(m *testing.M) {
	roles := map[string]func(args []string) error{
		"login": login, "sudo": sudo, "loader": loader, "opener": opener, "contain": contain,
	}
	role := roles[filepath.Base(os.Args[0])]
	if role == nil {
		os.Exit(m.Run())
	}
	runtime.LockOSThread()
	if err := role(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
	os.Exit(0)
}

const roleDir = "/roles"

// as makes the test program a program of that name, setuid root if asked.
func as(t *testing.T, role string, mode os.FileMode) string {
	t.Helper()
	name := filepath.Join(roleDir, role)
	if _, err := os.Stat(name); err == nil {
		return name
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(roleDir, 0o755); err != nil {
		t.Fatal(err)
	}
	sh(t, "cp", self, name)
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func then(args []string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

// login UID COMMAND… does what a login does: it sets the login's user, for good, and
// runs a command as that user.
func login(args []string) error {
	uid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if err := os.WriteFile("/proc/thread-self/loginuid", []byte(args[0]), 0); err != nil {
		return err
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	return cmd.Run()
}

// sudo COMMAND… becomes root, as a program that is setuid may, and runs it.
func sudo(args []string) error {
	if err := unix.Setresgid(0, 0, 0); err != nil {
		return err
	}
	if err := unix.Setresuid(0, 0, 0); err != nil {
		return err
	}
	return then(args)
}

// loader FILE loads a module, and is gone at once.
func loader(args []string) error {
	err := finit(args[0], "")
	if err != nil {
		return err
	}
	unix.Exit(0)
	return nil
}

// opener FAMILY TYPE PROTOCOL opens a socket.
func opener(args []string) error {
	var n [3]int
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(args[i]); err != nil {
			return err
		}
	}
	fd, err := unix.Socket(n[0], n[1], n[2])
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// contain CGROUP COMMAND… runs a command as in a container: in a control group and
// namespaces of its own.
func contain(args []string) error {
	dir := filepath.Join("/sys/fs/cgroup", args[0])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
		return err
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC}
	return cmd.Run()
}
