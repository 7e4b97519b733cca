// Package roles has the programs that tests in the lab watch, standing in for what a
// guest lacks: a login, sudo, a container's runtime. A test's binary is also each of
// them, by the name that it is started under.
package roles

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Dir is where [Install] puts the programs.
const Dir = "/roles"

// Path is where the program of that name is, once installed.
func Path(name string) string { return filepath.Join(Dir, name) }

// Commands gives the programs by their names. Each ends the process.
func Commands() map[string]func() {
	commands := make(map[string]func())
	for name, play := range map[string]func(args []string) error{
		"login": login, "sudo": sudo, "loader": loader, "opener": opener, "contain": contain,
		"binder": binder, "besieger": besieger,
	} {
		commands[name] = func() {
			runtime.LockOSThread()
			if err := play(os.Args[1:]); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	return commands
}

// Install makes the running program, whose main must know them, programs of these
// names below [Dir]. The one named sudo is setuid root.
func Install(names ...string) error {
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		if err := install(name); err != nil {
			return fmt.Errorf("install %s: %w", name, err)
		}
	}
	return nil
}

// program is the one copy that most names are links to: a guest keeps its files in
// memory, and a test's binary is large.
const program = ".program"

func install(name string) error {
	if _, err := os.Stat(Path(name)); err == nil {
		return nil
	}
	if name == "sudo" { // of a mode of its own
		return copySelf(name, 0o755|os.ModeSetuid)
	}
	if _, err := os.Stat(Path(program)); err != nil {
		if err := copySelf(program, 0o755); err != nil {
			return err
		}
	}
	return os.Link(Path(program), Path(name))
}

func copySelf(name string, mode os.FileMode) error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	f, err := os.Create(Path(name))
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, self); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Chmod(Path(name), mode)
}

func command(args []string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
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
	cmd := command(args[1:])
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
	return command(args).Run()
}

// loader FILE loads a module, and is gone at once.
func loader(args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
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

// binder KIND ALGORITHM asks the kernel for an algorithm by a socket.
func binder(args []string) error {
	fd, err := unix.Socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		return err
	}
	return errors.Join(unix.Bind(fd, &unix.SockaddrALG{Type: args[0], Name: args[1]}), unix.Close(fd))
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
	cmd := command(args[1:])
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC}
	return cmd.Run()
}
