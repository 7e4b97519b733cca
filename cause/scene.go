package cause

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// scene is one action, with what can be found out about it. Facts are looked up
// when a rule asks for them.
type scene struct {
	ctx      context.Context
	question *question
	action   *tracer.Action
	live     bool // the system is as it was: who holds what can be asked

	names    map[string]string
	evidence []string
	inner    *Cause
}

func (q *question) scene(ctx context.Context) *scene {
	a := q.action
	s := &scene{ctx: ctx, question: q, action: a, live: q.live, names: make(map[string]string), evidence: []string{}}
	s.name("module", a.Module)
	s.name("errno", a.ErrnoName)
	s.name("file", "the file")
	switch {
	case a.File != nil && a.File.Path != "":
		s.name("file", a.File.Path)
	case a.Call != nil && a.Call.Call == tracer.InitModule:
		s.name("file", "the image")
	}
	s.name("who", fmt.Sprintf("%s[%d]", a.Thread.Comm, a.Thread.PID))
	return s
}

// ask gives the kernel, to be asked that.
func (s *scene) ask(what string) *kernel.Kernel {
	s.question.now(what)
	return s.question.kernel
}

// recall gives the cause of another load; nil where it is not known.
func (s *scene) recall(id tracer.ID) *Cause { return s.question.known[id] }

// name keeps a name for the sentence.
func (s *scene) name(key, value string) {
	if value != "" {
		s.names[key] = value
	}
}

// prove adds a line of evidence, once.
func (s *scene) prove(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, line := range s.evidence {
		if line == text {
			return
		}
	}
	s.evidence = append(s.evidence, text)
}

// find looks for a message, and keeps the names that it says.
func (s *scene) find(text *lazyregexp.Regexp) bool {
	for _, m := range s.action.Messages {
		groups := text.FindStringSubmatchIndex(m)
		if groups == nil {
			continue
		}
		for i, key := range text.SubexpNames() {
			switch from, to := groups[2*i], groups[2*i+1]; {
			case key == "":
			case from < 0: // it says nothing of that
				delete(s.names, key)
			default:
				s.names[key] = m[from:to] // empty too: so the kernel said
			}
		}
		s.prove("the kernel said: %s", strings.TrimSpace(firstLine(m)))
		return true
	}
	return false
}

// heardAll tells whether every message of the attempt is there.
func (s *scene) heardAll() bool {
	return s.action.Lost == 0 && s.action.MessagesDropped == 0 && !s.action.Partial
}

// inspect reads the module's file, where that is still the one that the kernel had.
func (s *scene) inspect() (*kmod.File, error) {
	file, err := s.question.inspect(s.ctx)
	s.notLookedAt(err)
	return file, err
}

// fileMode gives the type of the file.
func (s *scene) fileMode() (fs.FileMode, error) {
	mode, err := s.question.mode(s.ctx)
	s.notLookedAt(err)
	return mode, err
}

// notLookedAt makes it evidence that what could have told more was not to be had.
func (s *scene) notLookedAt(err error) {
	if s.question.file != nil && errors.Is(err, provenance.ErrNotLookedAt) {
		s.question.missed("%s: %v", s.names["file"], err)
		s.prove("%s: %v", s.names["file"], err)
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
