package service

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

// verifySoon is when the journal is checked for the first time: not while a machine boots.
const verifySoon = time.Minute

// verifications checks the whole journal again and again, and at each reload.
func (s *Service) verifications(ctx context.Context) {
	next := time.NewTimer(verifySoon)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		case <-s.reloaded:
		}
		s.verify(ctx)
		next.Reset(time.Duration(s.settings().Journal.VerifyEvery))
	}
}

// verify says what is wrong with the journal where that is more or less than was known. A
// record that somebody changed stays where it is, and the chain goes on after it; a file
// that cannot be read goes aside.
func (s *Service) verify(ctx context.Context) {
	report, err := s.journal.Verify(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Error().Msg(err.Error())
		}
		return
	}
	found := len(report.Problems) + report.More
	if known := s.problems.Swap(int64(found)); found == 0 || int64(found) == known {
		return
	}
	for _, p := range report.Problems {
		s.log.Error().Msg("the journal is not as it was written: " + firstLine(p.String()))
	}
	if p := damageIn(report); p != nil {
		s.isDamaged(fmt.Errorf("%w: %s", journal.ErrCorrupt, firstLine(p.String())))
		return
	}
	text := "the journal is not as it was written: " + firstLine(report.Problems[0].String())
	if found > 1 {
		text += fmt.Sprintf(" (the first of %d problems)", found)
	}
	if err := s.note(journal.KindCorrupt, time.Now(), int64(found), note{Text: text}); err != nil {
		s.log.Error().Msg(err.Error())
	}
}

// firstLine cuts what SQLite says of each page.
func firstLine(text string) string {
	line, _, more := strings.Cut(text, "\n")
	if more {
		line += " …"
	}
	return line
}

// damageIn gives what is wrong with the file itself; nil if it can be read.
func damageIn(r *journal.Report) *journal.Problem {
	for i := range r.Problems {
		if r.Problems[i].Trouble == journal.Damaged {
			return &r.Problems[i]
		}
	}
	return nil
}
