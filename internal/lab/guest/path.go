package guest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// lookPath finds a command as a shell would, in the PATH of the command's own
// environment.
func lookPath(name string, env []string, dir string) (string, error) {
	if strings.Contains(name, "/") {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if err := unix.Access(path, unix.X_OK); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		return path, nil
	}
	for _, folder := range filepath.SplitList(pathOf(env)) {
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() && unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: not in the guest's PATH: %w", name, unix.ENOENT)
}

func pathOf(env []string) string {
	path := ""
	for _, pair := range env {
		if value, ok := strings.CutPrefix(pair, "PATH="); ok {
			path = value // the last one counts
		}
	}
	return path
}

// linkApplets links each of busybox's commands into /usr/bin, where nothing
// better is there already. kmod's tools are left out even when kmod is absent:
// a command of the lab never means busybox's by accident.
func linkApplets() error {
	if _, err := os.Stat(Busybox); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	list, err := output(Busybox, "--list")
	if err != nil {
		return fmt.Errorf("busybox's commands: %w", err)
	}
	kmods := map[string]bool{"depmod": true, "insmod": true, "lsmod": true, "modinfo": true, "modprobe": true, "rmmod": true}
	lines := bufio.NewScanner(bytes.NewReader(list))
	for lines.Scan() {
		name := lines.Text()
		if kmods[name] || exists("/usr/sbin/"+name) {
			continue
		}
		if err := os.Symlink(Busybox, "/usr/bin/"+name); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// output runs a program and gives what it prints. It is used before the command
// starts, while nobody else waits for children.
func output(argv ...string) ([]byte, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{Files: []uintptr{0, w.Fd(), 2}})
	w.Close()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(r); err != nil {
		return nil, err
	}
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &ws, 0, nil); err != nil {
		return nil, err
	}
	if ws.ExitStatus() != 0 {
		return nil, fmt.Errorf("%s: exit status %d", argv[0], ws.ExitStatus())
	}
	return text.Bytes(), nil
}
