package service

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// What is loaded is known from the beginning on, though the watching began late.
func TestFoundIsKnown(t *testing.T) {
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	log := zerolog.Nop()
	s := &Service{log: &log, journal: j, recorder: recorder{boot: "0123456789abcdef"}, keeper: newKeeper(j, &log)}
	now := time.Now()
	if err := s.note(journal.KindStarted, now, 0, note{Text: "the watching began"}); err != nil {
		t.Fatal(err)
	}
	if err := s.found(t.Context(), now, []kmod.Module{{Name: "ext4"}}); err != nil {
		t.Fatal(err)
	}
	l, err := j.LoadedAt(t.Context(), now.Add(time.Second))
	if err != nil || len(l.Doubts) > 0 || len(l.Modules) != 1 || l.Modules[0].Module != "ext4" {
		t.Errorf("%+v, %v", l, err)
	}
}
