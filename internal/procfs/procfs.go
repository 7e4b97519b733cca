// Package procfs reads what the running kernel tells of itself in text files and by uname. It is
// below all packages that need it, because tracer, kmod and kernel cannot share it in one of
// themselves.
package procfs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxLine bounds a line of such files; a longer one is not a line of what they are.
const MaxLine = 1 << 20

// FirstLine gives the first line of a small file, and nothing where it cannot be read.
func FirstLine(path string) string {
	text, err := ReadFile(path, MaxLine)
	if err != nil {
		return ""
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return string(line)
}

// ReadFile reads a regular file of at most so many bytes. It never waits for what a FIFO or
// a stream may bring.
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil {
		return nil, err
	}
	return ReadBounded(Impatient(f), path, most)
}

// ReadBounded reads all of r, which may have so many bytes at most.
func ReadBounded(r io.Reader, name string, most int64) ([]byte, error) {
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(r, most+1))
	if err != nil {
		return nil, err
	}
	if n > most {
		return nil, fmt.Errorf("%s: more than %d bytes", name, most)
	}
	return out.Bytes(), nil
}

// Impatient reads what is there, and errs with EAGAIN where that is nothing now: /proc and
// tracefs have files that look regular and are streams. The runtime would wait for more. The
// file must have been opened with O_NONBLOCK.
func Impatient(f *os.File) io.Reader { return impatient{f} }

type impatient struct{ file *os.File }

func (r impatient) Read(p []byte) (n int, err error) {
	conn, err := r.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	refused := conn.Read(func(fd uintptr) bool {
		for {
			if n, err = unix.Read(int(fd), p); !errors.Is(err, unix.EINTR) {
				return true
			}
		}
	})
	switch {
	case refused != nil:
		return 0, refused
	case err != nil:
		return 0, &fs.PathError{Op: "read", Path: r.file.Name(), Err: err}
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// RefCount gives what sysfs counts of the references to a module, without the one that the
// kernel itself holds. The name must be one of a module. It errs with [fs.ErrNotExist] where
// there is no such count: the module is not loaded, or is a part of the kernel image, or this
// kernel unloads none.
func RefCount(root, module string) (int, error) {
	path := filepath.Join(root, "sys/module", module, "refcnt")
	text, err := ReadFile(path, maxCount)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// maxCount bounds the text of a number.
const maxCount = 64

// Tainted gives the mask of the running kernel's taints (Documentation/admin-guide/tainted-kernels.rst).
func Tainted(root string) (uint64, error) {
	path := filepath.Join(root, "proc/sys/kernel/tainted")
	text, err := ReadFile(path, maxCount)
	if err != nil {
		return 0, err
	}
	mask, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return mask, nil
}

// BootIDFile is where the kernel names its run, below the root directory.
const BootIDFile = "proc/sys/kernel/random/boot_id"

// BootID gives the id of the kernel's run, from the directory that holds proc.
func BootID(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, BootIDFile))
	return strings.TrimSpace(string(text)), err
}

// LockdownMode gives the mode that is marked in /sys/kernel/security/lockdown: none,
// integrity or confidentiality.
func LockdownMode(text string) (mode string, ok bool) {
	_, rest, _ := strings.Cut(text, "[")
	mode, _, ok = strings.Cut(rest, "]")
	return mode, ok
}

// Symbol is a line of /proc/kallsyms or of System.map. Its texts are parts of the line: there are
// a hundred thousand.
type Symbol struct {
	Address []byte // in hexadecimal digits; zeros where it is hidden
	Kind    byte   // as nm has it: 'T' and 't' are code
	Name    []byte
	Module  []byte // that has it; empty for the kernel
}

// ParseSymbol reads a line: address, kind, name, and for modules their name in brackets.
func ParseSymbol(line []byte) (Symbol, bool) {
	address, rest, _ := bytes.Cut(line, []byte(" "))
	kind, rest, ok := bytes.Cut(rest, []byte(" "))
	if !ok || len(kind) != 1 {
		return Symbol{}, false
	}
	name, module, _ := bytes.Cut(rest, []byte("\t"))
	return Symbol{address, kind[0], name, bytes.Trim(module, "[] ")}, true
}

// HasSymbol tells whether the running kernel has a function or variable of this name, also
// where it hides the addresses. The list is long. root is the directory that holds proc.
func HasSymbol(root, name string) (bool, error) {
	f, err := os.Open(filepath.Join(root, "proc/kallsyms"))
	if err != nil {
		return false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if symbol, ok := ParseSymbol(lines.Bytes()); ok && string(symbol.Name) == name {
			return true, nil
		}
	}
	return false, lines.Err()
}

// PIDNamespace is the number of this process's pid namespace, in digits; empty where it
// cannot be read.
func PIDNamespace() string {
	name, _ := os.Readlink("/proc/self/ns/pid")
	return strings.Trim(name, "pid:[]")
}

// InFirstPIDNamespace reports whether this process is in the first pid namespace, whose number is the
// same on every kernel (PROC_PID_INIT_INO). Without an answer it is taken for another.
func InFirstPIDNamespace() bool { return PIDNamespace() == "4026531836" }

// System is what uname tells.
type System struct {
	Node    string // the host's name
	Release string // as uname -r
	Version string
	Machine string // as uname -m; a process can have it lie (setarch)
}

// Uname asks the running kernel. All is empty where it does not answer, which Linux always
// does.
func Uname() System {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return System{}
	}
	return System{
		Node: unix.ByteSliceToString(u.Nodename[:]), Release: unix.ByteSliceToString(u.Release[:]),
		Version: unix.ByteSliceToString(u.Version[:]), Machine: unix.ByteSliceToString(u.Machine[:]),
	}
}
