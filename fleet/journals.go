package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

// journals are those in a directory and below it, or the one in a file.
type journals struct{ path string }

// magic is how a file of SQLite begins.
var magic = []byte("SQLite format 3\x00")

// isJournal tells whether a file may be a journal, by how it begins.
func isJournal(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(f, head); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return bytes.Equal(head, magic), nil
}

func (s journals) records(ctx context.Context, q query) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		found := false
		err := filepath.WalkDir(s.path, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			if is, err := isJournal(path); !is || err != nil {
				return err
			}
			found = true
			return s.file(ctx, path, q, yield)
		})
		switch {
		case errors.Is(err, errEnough):
		case err != nil:
			yield(nil, err)
		case !found:
			yield(nil, errors.New("no journal in it"))
		}
	}
}

// errEnough says that who reads has enough.
var errEnough = errors.New("enough")

// file yields the records of one journal. A machine is named by the directory that its journal is
// in, where that is below the source: host/journal.db.
func (s journals) file(ctx context.Context, path string, q query, yield func(*Record, error) bool) error {
	r, err := journal.OpenReadOnly(path)
	if errors.Is(err, journal.ErrForeign) {
		return nil // another program's, such as a database beside it
	}
	if err != nil {
		return err
	}
	defer r.Close()
	host := Host{Name: s.hostOf(path)}
	head, err := r.Anchor(ctx, time.Now())
	if err != nil {
		return err
	}
	if q.whole() && !yield(&Record{Host: host, Journal: r.Name(), head: &head}, nil) {
		return errEnough
	}
	filter := journal.Filter{OldestFirst: true}
	if q.module != "" {
		filter.Modules = []string{q.module}
	}
	if q.content != "" {
		filter.Contents = []string{q.content}
	}
	for rec, err := range r.Query(ctx, filter) {
		one := &Record{Record: rec, Host: host, Journal: r.Name()}
		if errors.Is(err, journal.ErrChanged) {
			one.Changed = fmt.Sprintf("record %d is not as it was written", rec.Seq)
		} else if err != nil {
			return err
		}
		if !q.has(one) {
			continue
		}
		if !yield(one, nil) {
			return errEnough
		}
	}
	return nil
}

func (s journals) hostOf(path string) string {
	if below, err := filepath.Rel(s.path, path); err == nil && filepath.Dir(below) != "." {
		return filepath.Base(filepath.Dir(path))
	}
	return ""
}
