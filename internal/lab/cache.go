package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// CacheDir is where the lab keeps what it fetches and builds: $KMODTRACE_CACHE,
// or else a directory kmodtrace in the user's cache directory. It need not exist yet.
//
// Programs in it are run, and kernels booted: one that somebody else can write to is
// refused.
func CacheDir() (string, error) {
	dir := os.Getenv("KMODTRACE_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find cache directory: %w (set KMODTRACE_CACHE)", err)
		}
		dir = filepath.Join(base, "kmodtrace")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := checkOwners(dir, trustedUsers()); err != nil {
		return "", fmt.Errorf("cache directory %s: %w", dir, err)
	}
	return dir, nil
}

// trustedUsers are who may own the cache: root, this user, and who became root by sudo.
func trustedUsers() []uint32 {
	users := []uint32{0, uint32(os.Geteuid())}
	if id, err := strconv.ParseUint(os.Getenv("SUDO_UID"), 10, 32); err == nil && os.Geteuid() == 0 {
		users = append(users, uint32(id))
	}
	return users
}

// checkOwners refuses a directory that another user can write to, or put another in the
// place of. What does not exist yet is not looked at.
func checkOwners(dir string, trusted []uint32) error {
	// A link is followed: what it leads to counts, and where it lies.
	real, err := filepath.EvalSymlinks(dir)
	if err == nil && real != dir {
		if err := checkOwners(real, trusted); err != nil {
			return err
		}
	}
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		default:
			if why := othersMayWrite(info, at == dir, trusted); why != "" {
				return fmt.Errorf("%s %s: set KMODTRACE_CACHE to one of your own", at, why)
			}
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// othersMayWrite says how somebody else can change a directory. In one that is sticky, as
// /tmp, nobody can rename what is another's.
func othersMayWrite(info fs.FileInfo, itself bool, trusted []uint32) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	owned := false
	for _, user := range trusted {
		owned = owned || st.Uid == user
	}
	sticky := info.Mode()&fs.ModeSticky != 0 && !itself
	group := st.Gid == 0 || st.Gid == uint32(os.Getegid()) // a user's own, where each has one
	switch perm := info.Mode().Perm(); {
	case !owned:
		return fmt.Sprintf("belongs to the user %d", st.Uid)
	case info.Mode()&fs.ModeSymlink != 0 || sticky:
		return ""
	case perm&0o002 != 0:
		return "can be written to by everybody"
	case perm&0o020 != 0 && !group:
		return fmt.Sprintf("can be written to by the group %d", st.Gid)
	}
	return ""
}
