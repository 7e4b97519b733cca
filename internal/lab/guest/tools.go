package guest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"syscall"
)

// kmodNames are kmod's tools, one program under many names.
var kmodNames = [...]string{"depmod", "insmod", "lsmod", "modinfo", "modprobe", "rmmod"}

// placeModules puts the module tree where the kernel's helpers look for it.
func placeModules() error {
	if err := os.Rename(ModulesPath, "/usr/lib/modules"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// placeTools puts the module tree and the tools where users and the kernel look
// for them. Until then the kernel has no modprobe, and loads nothing.
func placeTools() error {
	if err := placeModules(); err != nil {
		return err
	}
	if exists(Kmod) {
		for _, name := range kmodNames {
			if err := link(Kmod, path.Join("/usr/sbin", name)); err != nil {
				return err
			}
		}
	}
	if !exists(Busybox) {
		return nil
	}
	list, err := output(Busybox, "--list")
	if err != nil {
		return fmt.Errorf("busybox's commands: %w", err)
	}
	return linkApplets(list)
}

// linkApplets links each of busybox's commands into /usr/bin, where nothing
// better is there already. kmod's tools are left out even when kmod is absent:
// a command of the lab never means busybox's by accident.
func linkApplets(list []byte) error {
	taken := map[string]bool{}
	for _, name := range kmodNames {
		taken[name] = true
	}
	lines := bufio.NewScanner(bytes.NewReader(list))
	for lines.Scan() {
		name := lines.Text()
		if taken[name] || exists(path.Join("/usr/sbin", name)) {
			continue
		}
		if err := link(Busybox, path.Join("/usr/bin", name)); err != nil {
			return err
		}
	}
	return lines.Err()
}

// link leaves what is there already: a user's own program wins.
func link(target, name string) error {
	if err := os.Symlink(target, name); err != nil && !errors.Is(err, os.ErrExist) {
		return err
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
