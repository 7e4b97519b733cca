package outfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// errForeignLink is a link that somebody else made: it may lead to a file of root's.
var errForeignLink = errors.New("a link on the way is another user's")

// resolvePath follows the links of a name, also where there is nothing at its end, and
// errs at one that is neither this user's nor root's.
func resolvePath(name string) (string, error) {
	const most = 40 // links, as the kernel has it
	if name == "" {
		return "", unix.ENOENT
	}
	if !filepath.IsAbs(name) {
		cwd, err := os.Getwd()
		if err != nil {
			return "", err
		}
		name = cwd + "/" + name
	}
	at, rest := "/", name
	for links := 0; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		switch part {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, part)
		info, err := os.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist) && strings.Trim(rest, "/") == "":
			return next, nil
		case err != nil:
			return "", err
		case info.Mode()&fs.ModeSymlink == 0:
			at = next
			continue
		case !trusted(info):
			return "", errForeignLink
		}
		if links++; links > most {
			return "", unix.ELOOP
		}
		to, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if filepath.IsAbs(to) {
			at = "/"
		}
		rest = to + "/" + rest
	}
	return at, nil
}

// trusted tells whether a file is this user's, root's, or that of who called sudo.
func trusted(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	own := uint32(os.Geteuid())
	if stat.Uid == own || stat.Uid == 0 {
		return true
	}
	caller, err := strconv.ParseUint(os.Getenv("SUDO_UID"), 10, 32)
	return own == 0 && err == nil && uint64(stat.Uid) == caller
}

// openDirectory opens a directory by a name without links: what somebody makes a link meanwhile
// is not followed.
func openDirectory(path string) (*os.File, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // a sandbox that does not know it
		fd, err = unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	return os.NewFile(uintptr(fd), path), nil
}
