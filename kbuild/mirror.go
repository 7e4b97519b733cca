package kbuild

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mirror is a directory of directories and links that stands for the user's, for one kernel.
//
//	tree/…/hello    the user's directory, by its real path with what make cannot stand replaced
//	symbols/        links to the Module.symvers files that were given
//	unfinished      is there while make runs, and after it was killed
type mirror struct {
	root      string
	directory string // the mirror of the sources' directory
	shown     string
	temporary bool
	unlock    func()
}

// openMirror opens the mirror of some sources, and keeps others out of it.
func openMirror(ctx context.Context, cache string, s *sources, kernel string, told io.Writer) (*mirror, error) {
	m := &mirror{shown: s.shown}
	if !filepath.IsAbs(cache) || strings.ContainsFunc(cache, unsafeRune) || os.MkdirAll(cache, 0o700) != nil || unix.Access(cache, unix.W_OK) != nil {
		// Nothing can be kept; building can do without.
		dir, err := os.MkdirTemp(temporaryDirectory(), "kmodtrace-build-")
		if err != nil {
			return nil, fmt.Errorf("no directory to build in, neither in the cache nor for temporary files: %w", err)
		}
		m.root, m.temporary, m.unlock = dir, true, func() {}
	} else {
		hash := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", s.directory, s.files, kernel))
		m.root = filepath.Join(cache, fmt.Sprintf("%x", hash[:12]))
		unlock, err := lockFile(ctx, m.root+".lock", func() {
			if told != nil {
				fmt.Fprintf(told, "waiting for another build of %s\n", s.shown)
			}
		})
		if err != nil {
			return nil, err
		}
		m.unlock = unlock
		now := time.Now()
		_ = os.Chtimes(m.root+".lock", now, now) // in use: see prune
		prune(cache, filepath.Base(m.root))
	}
	m.directory = filepath.Join(m.root, "tree", safePath(s.directory))
	return m, nil
}

func (m *mirror) close() {
	if m.temporary {
		os.RemoveAll(m.root)
	}
	m.unlock()
}

// userCache is the user's cache directory for all that kmodtrace keeps, or "".
func userCache() string {
	if dir := os.Getenv("KMODTRACE_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "kmodtrace")
}

// temporaryDirectory is the user's, unless make cannot stand its name.
func temporaryDirectory() string {
	if dir := os.TempDir(); !strings.ContainsFunc(dir, unsafeRune) && filepath.IsAbs(dir) {
		return dir
	}
	return "/tmp"
}

// keepMirrors is how long one is kept that nobody builds in.
const keepMirrors = 30 * 24 * time.Hour

// prune drops mirrors that nobody has used for long, as the time of their lock tells.
func prune(cache, current string) {
	locks, _ := filepath.Glob(filepath.Join(cache, "*.lock"))
	for _, lock := range locks {
		root := strings.TrimSuffix(lock, ".lock")
		info, err := os.Stat(lock)
		if err != nil || filepath.Base(root) == current || time.Since(info.ModTime()) < keepMirrors {
			continue
		}
		if unlock, err := tryLock(lock); err == nil {
			os.RemoveAll(root)
			os.Remove(lock)
			unlock()
		}
	}
}

// unsafeRune is what make, or the shell below it, takes for something else.
func unsafeRune(r rune) bool {
	return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+.@/", r)
}

// safePath replaces what make cannot stand in a path.
func safePath(path string) string {
	return strings.Map(func(r rune) rune {
		if unsafeRune(r) {
			return '_'
		}
		return r
	}, path)
}
