package service

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/copies"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/record"
)

// openCopies opens the store of files. Without one everything else goes on, and each record says why it has no copy.
func (s *Service) openCopies() {
	c := s.settings().Copies
	if c.Keep == keepNone {
		return
	}
	store, err := copies.Open(c.Path, c.MaxMiB<<20)
	if err != nil {
		s.log.Error().Msgf("no copies of modules' files are kept: %v", err)
		s.copiesError = err
		return
	}
	s.copies = store
}

// wanted tells whether the file of a load is to be kept.
func (c *CopiesConfig) wanted(r *record.Record) bool {
	if c.Keep == keepNone || r.Call == nil || !r.Call.Capable {
		return false
	}
	p := r.Origin.Package
	return c.Keep == keepAll || r.Origin.DKMS == "" && (p == nil || p.Content == provenance.Differs)
}

// keepFile keeps the file of a load, where that is wanted and it is as the kernel had it.
func (s *Service) keepFile(ctx context.Context, r *record.Record, contents func(context.Context, io.Writer) error) *record.Copy {
	if c := s.settings().Copies; !c.wanted(r) {
		return nil
	}
	err := s.copyFile(ctx, r.Origin, contents)
	if err != nil {
		return &record.Copy{Why: cells.OneLine(err).Error()}
	}
	return &record.Copy{Kept: true}
}

func (s *Service) copyFile(ctx context.Context, o *provenance.Origin, contents func(context.Context, io.Writer) error) error {
	switch {
	case s.copies == nil:
		return s.copiesError
	case o.State != provenance.Same:
		return fmt.Errorf("the file is not as the kernel had it: %s, %s", o.State, o.Why)
	case o.SHA256 == "":
		return fmt.Errorf("its contents are not known: %s", o.Why)
	case s.copies.Has(string(o.SHA256)):
		return nil
	}
	d, err := s.copies.Draft()
	if err != nil {
		return err
	}
	if err := contents(ctx, d); err != nil {
		d.Drop()
		return err
	}
	if err := d.Keep(string(o.SHA256)); err != nil {
		return err
	}
	return s.trimCopies()
}

// trimCopies removes the oldest copies where there are too many, and records that.
func (s *Service) trimCopies() error {
	removed, err := s.copies.Trim()
	if n := len(removed); n > 0 {
		text := fmt.Sprintf("the oldest copies of modules' files were removed, %d of them: %s", n, strings.Join(removed, ", "))
		if err := s.note(journal.KindDiscarded, time.Now(), int64(n), note{Text: text}); err != nil {
			s.log.Error().Msgf("%s: %v", text, err)
		}
	}
	return err
}
