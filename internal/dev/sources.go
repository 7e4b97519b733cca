package dev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
)

// sourceWatch tells when something is saved in a directory, or below.
type sourceWatch struct {
	dir     string
	watcher *fsnotify.Watcher
}

func watchSources(dir string) (*sourceWatch, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, watchError(dir, err)
	}
	s := &sourceWatch{dir, w}
	real, err := filepath.EvalSymlinks(dir) // below a link nothing would be watched
	if err == nil {
		err = s.add(real)
	}
	if err != nil {
		return nil, errors.Join(watchError(dir, err), w.Close())
	}
	return s, nil
}

func watchError(dir string, err error) error {
	return cli.WithHint(cells.OneLine(fmt.Errorf("watch %s: %w", dir, err)), "fs.inotify.max_user_watches limits how many directories can be watched")
}

// add watches a directory and those below it. One that goes away meanwhile is none.
func (s *sourceWatch) add(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		case path != dir && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir // version control's
		}
		return s.watcher.Add(path)
	})
}

func (s *sourceWatch) close() { _ = s.watcher.Close() }

// wait returns when something was saved, and nothing more for the time of settling; or when
// ctx is done.
func (s *sourceWatch) wait(ctx context.Context, settling time.Duration) error {
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-settled:
			return nil
		case err := <-s.watcher.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return watchError(s.dir, err)
			}
			settled = time.After(settling) // much was saved
		case e := <-s.watcher.Events:
			if e.Has(fsnotify.Create) {
				_ = s.add(e.Name) // a directory, or nothing that needs it
			}
			if !e.Has(fsnotify.Chmod) && isSource(e.Name) {
				settled = time.After(settling)
			}
		}
	}
}

// products are what a build writes.
var products = []string{".ko", ".o", ".mod", ".mod.c", ".cmd", ".symvers", ".order", ".swp", "~"}

func isSource(path string) bool {
	name := filepath.Base(path)
	return !strings.HasPrefix(name, ".") && !slices.ContainsFunc(products, func(end string) bool { return strings.HasSuffix(name, end) })
}
