package fleet

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"
	"strings"
)

// Fleet is what several sources have together.
type Fleet struct {
	names   []string
	sources []source
}

// Open takes sources by their names: URLs, directories and files; "-" is standard input. A
// directory is read where it is asked, and a store is not called yet.
func Open(names ...string) (*Fleet, error) {
	if len(names) == 0 {
		return nil, errors.New("no source: name a directory of journals, a file of JSON lines, or the URL of a VictoriaLogs")
	}
	f := &Fleet{names: names}
	for _, name := range names {
		s, err := open(name)
		if err != nil {
			return nil, err
		}
		f.sources = append(f.sources, s)
	}
	return f, nil
}

func open(name string) (source, error) {
	if strings.Contains(name, "://") {
		u, err := url.Parse(name)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("source %q: not the URL of a VictoriaLogs, such as http://127.0.0.1:9428", name)
		}
		return NewStore(u), nil
	}
	if name == "-" {
		return lines{name: "standard input", from: os.Stdin}, nil
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("source %q: %w", name, errors.Unwrap(err))
	case info.IsDir():
		return journals{name}, nil
	}
	is, err := isJournal(name)
	if is || err != nil {
		return journals{name}, err
	}
	return lines{name: name}, nil
}

// records yields those of all sources.
func (f *Fleet) records(ctx context.Context, q query) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for i, s := range f.sources {
			for r, err := range s.records(ctx, q) {
				if err != nil {
					err = fmt.Errorf("%s: %w", f.names[i], err)
				}
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}
