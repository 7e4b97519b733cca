package cause

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// scene is one action, with what can be found out about it. Facts are looked up
// when a rule asks for them, and once.
type scene struct {
	ctx    context.Context
	action *tracer.Action
	kernel *kernel.Kernel
	live   bool // the system is as it was: who holds what can be asked
	recall func(id uint64) *Cause

	names    map[string]string
	evidence []string
	inner    *Cause
	read     bool
	file     *kmod.File
	fileErr  error
}

func newScene(ctx context.Context, a *tracer.Action, k *kernel.Kernel) *scene {
	s := &scene{ctx: ctx, action: a, kernel: k, names: make(map[string]string), evidence: []string{}}
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
func (s *scene) find(text *regexp.Regexp) bool {
	for _, m := range s.action.Messages {
		groups := text.FindStringSubmatch(m)
		if groups == nil {
			continue
		}
		for i, key := range text.SubexpNames() {
			if key != "" {
				s.names[key] = groups[i] // empty too: so the kernel said
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

// inspect reads the module's file as it is now, where there is one that can be
// the same: the kernel saw as many bytes.
func (s *scene) inspect() (*kmod.File, error) {
	if s.read {
		return s.file, s.fileErr
	}
	s.read = true
	f := s.action.File
	if f == nil || f.Path == "" || f.PathCut || f.Memfd || f.Deleted {
		s.fileErr = kernel.ErrUnknown
		return nil, s.fileErr
	}
	s.file, s.fileErr = kmod.Inspect(f.Path)
	if s.file != nil && s.file.FileSize != int(f.Size) {
		s.file, s.fileErr = nil, fmt.Errorf("it has changed since: %w", kernel.ErrUnknown)
	}
	return s.file, s.fileErr
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
