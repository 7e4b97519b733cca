package fleet

import (
	"bufio"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

// Files are JSON lines in the files that a pattern names, as somebody else writes them: a
// Collector's file exporter, or a program that copies what an output wrote.
type Files struct{ Pattern string }

// Links yields what they have of a journal between two numbers, in any order. A line that is not a
// whole record is passed over: its record has not arrived.
func (f Files) Links(ctx context.Context, journalName string, from, through int64, _, _ time.Time) iter.Seq2[journal.Link, error] {
	return func(yield func(journal.Link, error) bool) {
		paths, err := filepath.Glob(f.Pattern)
		if err == nil && len(paths) == 0 {
			err = &os.PathError{Op: "open", Path: f.Pattern, Err: os.ErrNotExist}
		}
		if err != nil {
			yield(journal.Link{}, err)
			return
		}
		for _, path := range paths {
			err := linksIn(ctx, path, func(r *Record) bool {
				if r.Journal != journalName || r.Seq < from || r.Seq > through || r.Changed != "" {
					return true
				}
				return yield(journal.Link{Seq: r.Seq, Hash: r.Hash, Time: r.Time}, nil)
			})
			if errors.Is(err, errEnough) {
				return
			}
			if err != nil {
				yield(journal.Link{}, err)
				return
			}
		}
	}
}

func linksIn(ctx context.Context, path string, fn func(*Record) bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 64<<10)
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line, whole, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if whole {
			if all, bad := parseLine(line); bad == nil {
				for _, r := range all {
					if !fn(r) {
						return errEnough
					}
				}
			}
		}
		if err != nil {
			return nil
		}
	}
}

// readLine reads a line. One that is longer than a record can be is read to its end and is not
// whole, and neither is one without an end.
func readLine(in *bufio.Reader) (line []byte, whole bool, err error) {
	long := false
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			long, line = true, nil
		}
		if !long {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return line, err == nil && !long, err
	}
}
