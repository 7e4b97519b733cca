package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/copies"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
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

// wanted tells whether what was loaded is to be kept. What has no file is of no package.
func (c *CopiesConfig) wanted(r *record.Record) bool {
	if c.Keep == keepNone || r.Call == nil || !r.Call.Capable {
		return false
	}
	if c.Keep == keepAll || r.Origin == nil {
		return true
	}
	p := r.Origin.Package
	return r.Origin.DKMS == "" && (p == nil || p.Content == provenance.Differs)
}

// keepFile keeps what was loaded, where that is wanted: the file if it is as the kernel had it, and else the bytes that the kernel
// had.
func (s *Service) keepFile(ctx context.Context, r *record.Record, contents func(context.Context, io.Writer) error) *record.Copy {
	if s.copies != nil && !r.Preliminary { // its end comes with the same bytes
		defer s.tracer.DropImage(r.ID)
	}
	if c := s.settings().Copies; !c.wanted(r) {
		return nil
	}
	if s.copies == nil {
		return &record.Copy{Why: cells.OneLine(s.copiesError).Error()}
	}
	noFile := s.copyFile(ctx, r.Origin, contents)
	if noFile == nil {
		return &record.Copy{Kept: true}
	}
	sum, err := s.copyImage(&r.Action)
	if err != nil {
		return &record.Copy{Why: cells.OneLine(fmt.Errorf("%w; %w", noFile, err)).Error()}
	}
	return &record.Copy{Kept: true, From: record.FromKernel, SHA256: sum, Why: cells.OneLine(noFile).Error()}
}

// copyImage keeps the bytes that the kernel had, and gives their hash.
func (s *Service) copyImage(a *tracer.Action) (provenance.Digest, error) {
	image, err := s.tracer.Image(a.ID)
	if err != nil {
		return "", err
	}
	if a.Image != nil && a.Image.Size != uint64(len(image)) {
		return "", fmt.Errorf("the kernel's own bytes are %d, and it loaded %d", len(image), a.Image.Size)
	}
	raw := sha256.Sum256(image)
	sum := hex.EncodeToString(raw[:])
	if s.copies.Has(sum) {
		return provenance.Digest(sum), nil
	}
	d, err := s.copies.Draft()
	if err != nil {
		return "", err
	}
	if _, err := d.Write(image); err != nil {
		d.Drop()
		return "", err
	}
	if err := d.Keep(sum); err != nil {
		return "", err
	}
	return provenance.Digest(sum), s.trimCopies()
}

func (s *Service) copyFile(ctx context.Context, o *provenance.Origin, contents func(context.Context, io.Writer) error) error {
	switch {
	case o == nil:
		return errors.New("it was loaded from memory, and has no file")
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
