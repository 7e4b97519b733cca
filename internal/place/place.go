// Package place tells whether a file can be written where it is without others getting
// their hands on it: everybody who may rename a file, or a directory above it, or a link
// on the way to it, decides what is written where.
//
// What is safe is what only root and this process's own user can replace. A file system
// on the way may be mounted by somebody else all the same; that needs root, or a
// directory of theirs, which is not safe.
package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrUnsafe says that others than root and the owner can replace a file, or have it too.
var ErrUnsafe = errors.New("others could replace it")

// Rules say what is safe. The zero value is the strictest.
type Rules struct {
	// SystemGroups accepts directories on the way that a group of the system may write
	// (a number below 1000), as some distributions' /var/log.
	SystemGroups bool
	// Sticky accepts a file in a directory that all may write and in which nobody can
	// replace what others own, as /tmp. There [Rules.OpenFile] makes files safely, and what
	// opens a file otherwise does not.
	Sticky bool
}

// Check tells why a file that is to be written is not safe at a path: because of a
// directory or link on the way to it, or because of the file itself. The file need not
// be there, its directory must be.
func (r Rules) Check(path string) error {
	dir, err := r.dirOf(path)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	err = unix.Lstat(filepath.Join(dir, filepath.Base(path)), &st)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return checkFile(path, &st)
}

// OpenFile opens a file as os.OpenFile does, if it is safe at its path. It follows no
// link to the file itself, waits for no reader of a FIFO, and looks again at what it has
// opened.
func (r Rules) OpenFile(path string, flag int, mode fs.FileMode) (*os.File, error) {
	if _, err := r.dirOf(path); err != nil {
		return nil, err
	}
	return openFile(path, flag, mode)
}

// openFile makes a file only if there is none: in a sticky directory another one that is
// opened with O_CREAT might be somebody else's.
func openFile(path string, flag int, mode fs.FileMode) (*os.File, error) {
	flags := flag&^(os.O_CREATE|os.O_TRUNC|os.O_EXCL) | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	f, err := (*os.File)(nil), error(unix.ENOENT)
	if flag&os.O_EXCL == 0 {
		f, err = os.OpenFile(path, flags, 0)
	}
	if errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE != 0 {
		f, err = os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, mode)
	}
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, unsafe(path, "it is a symbolic link: name the file that it leads to")
	case errors.Is(err, unix.ENXIO):
		return nil, unsafe(path, "it is not a regular file")
	case err != nil:
		return nil, err
	}
	if err := CheckFile(f); err != nil {
		f.Close()
		return nil, err
	}
	if flag&os.O_TRUNC != 0 {
		if err := f.Truncate(0); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// CheckFile tells why an open file is not safe to be written: it is not a regular file,
// somebody else owns or may write it, or it has another name too.
func CheckFile(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return checkFile(f.Name(), &st)
}

func checkFile(path string, st *unix.Stat_t) error {
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return unsafe(path, "it is a symbolic link: name the file that it leads to")
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return unsafe(path, "it is not a regular file")
	case !trusted(st.Uid):
		return unsafe(path, fmt.Sprintf("user %d owns it", st.Uid))
	case st.Nlink > 1:
		return unsafe(path, "it has another name too (a hard link)")
	case st.Mode&unix.S_IWOTH != 0:
		return unsafe(path, "everybody may write it")
	}
	return nil
}

// trusted tells whether a user's files are as good as ours.
func trusted(uid uint32) bool { return uid == 0 || uid == uint32(os.Geteuid()) }

func unsafe(path, why string) error { return fmt.Errorf("%w: %s: %s", ErrUnsafe, path, why) }

// maxLinks is how many links one path may lead through, as in the kernel.
const maxLinks = 40

// dirOf checks the way to a file, and gives its directory without links.
func (r Rules) dirOf(path string) (string, error) {
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	w := walk{rules: r, at: "/"}
	if err := w.enter("/"); err != nil {
		return "", err
	}
	if err := w.follow(dir); err != nil {
		return "", err
	}
	if w.sticky && !r.Sticky {
		return "", unsafe(w.at, "everybody may make files in this directory")
	}
	return w.at, nil
}

// walk goes along a path as the kernel would, and looks at who could change each step.
type walk struct {
	rules  Rules
	at     string // where it is: no link is on the way there
	sticky bool   // all may make files there, and nobody may replace those of others
	links  int
}

func (w *walk) follow(path string) error {
	if filepath.IsAbs(path) {
		w.at, w.sticky = "/", false
	}
	for _, name := range strings.Split(path, "/") {
		if err := w.step(name); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) step(name string) error {
	switch name {
	case "", ".":
		return nil
	case "..":
		return w.enter(filepath.Dir(w.at))
	}
	next := filepath.Join(w.at, name)
	var st unix.Stat_t
	if err := unix.Lstat(next, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: next, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return w.enter(next)
	}
	// Who may replace the link is who may write its directory, and its owner in a sticky
	// one.
	if w.sticky && !trusted(st.Uid) {
		return unsafe(next, fmt.Sprintf("user %d owns this link", st.Uid))
	}
	if w.links++; w.links > maxLinks {
		return &fs.PathError{Op: "lstat", Path: next, Err: unix.ELOOP}
	}
	to, err := os.Readlink(next)
	if err != nil {
		return err
	}
	return w.follow(to)
}

// enter goes into a directory.
func (w *walk) enter(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: dir, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return &fs.PathError{Op: "lstat", Path: dir, Err: unix.ENOTDIR}
	case !trusted(st.Uid):
		return unsafe(dir, fmt.Sprintf("user %d owns this directory", st.Uid))
	}
	w.at, w.sticky = dir, false
	own := st.Gid == 0 || st.Gid == uint32(os.Getegid())
	group := st.Mode&unix.S_IWGRP != 0 && !own && !(w.rules.SystemGroups && st.Gid < 1000)
	all := st.Mode&unix.S_IWOTH != 0
	switch {
	case !group && !all:
	case st.Mode&unix.S_ISVTX != 0:
		w.sticky = true
	case all:
		return unsafe(dir, "everybody may write this directory")
	default:
		return unsafe(dir, fmt.Sprintf("group %d may write this directory", st.Gid))
	}
	return nil
}
