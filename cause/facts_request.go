package cause

import (
	"context"
	"errors"
	"strings"

	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
)

func requestDenied(s *scene) answer { return answerOf(s.action.Request.Denied) }

func requestRefused(s *scene) answer { return answerOf(s.action.Request.Refused) }

func helperNotStarted(s *scene) answer {
	path, err := s.ask("kernel.modprobe").Modprobe()
	if err == nil {
		s.name("helper", path)
	}
	return answerOf(s.action.HelperStatus == nil && !s.action.Request.Denied && s.action.Errno != 0)
}

// aLoadFailed looks the failed load up among those that were explained before.
func aLoadFailed(s *scene) answer {
	for _, id := range s.action.Loads {
		if c := s.recall(id); c != nil {
			s.inner = c
			s.name("inner", c.String())
			s.name("tried", c.Names["module"])
		}
	}
	return answerOf(s.inner != nil)
}

// configBlocks: modules answer to the alias, and the configuration blocks each. A command that could
// load a module, and was seen to load nothing, blocks it too.
func configBlocks(s *scene) answer {
	if len(s.action.Loads) > 0 {
		return no
	}
	names, err := s.answering(s.action.Module)
	if err != nil {
		return unsure
	}
	if len(names) == 0 {
		return s.keepsOut(s.action.Module)
	}
	for _, name := range names {
		if kept := s.keepsOut(name); kept != yes {
			return kept
		}
	}
	s.name("modules", strings.Join(names, ", "))
	return yes
}

// keepsOut tells whether the configuration kept a module out for which nothing was loaded.
func (s *scene) keepsOut(name string) answer {
	switch {
	case s.blocks(name):
		return yes
	case !s.runs(name):
		return no
	case !s.heardAll(): // it may have loaded something
		return unsure
	}
	s.prove("its command was run, and the kernel was not asked to load anything")
	return yes
}

// answering gives the modules for a name or alias; none is no error. It asks once for each:
// several rules want to know.
func (s *scene) answering(alias string) ([]string, error) {
	if known, ok := s.question.modules[alias]; ok {
		return known.names, known.err
	}
	names, err := s.ask("which modules answer (modprobe)").Modules(s.ctx, alias)
	switch {
	case errors.Is(err, kmod.ErrNotFound), errors.Is(err, kmod.ErrBadName):
		names, err = nil, nil
	case errors.Is(err, kernel.ErrBusy), errors.Is(err, context.DeadlineExceeded):
		s.question.gaveUp = true
		s.question.missed("not looked up: %v", err)
	}
	if s.question.modules == nil {
		s.question.modules = make(map[string]answering)
	}
	s.question.modules[alias] = answering{names, err}
	return names, err
}

// answering is what modprobe said of an alias.
type answering struct {
	names []string
	err   error
}

// blocks looks for a line of configuration that keeps a module out, and names it.
func (s *scene) blocks(name string) bool {
	for _, line := range s.ask("the configuration of modprobe").Blocked(name) {
		if line.Install && !line.Blocking {
			continue
		}
		s.nameLine(&line)
		s.name("blocked", name)
		return true
	}
	return false
}

// runs looks for an install line whose command may load the module in the end, and names it.
func (s *scene) runs(name string) bool {
	for _, line := range s.ask("the configuration of modprobe").Blocked(name) {
		if line.Install && !line.Blocking {
			s.nameLine(&line)
			s.name("blocked", name)
			return true
		}
	}
	return false
}

func (s *scene) nameLine(line *kernel.ConfigLine) {
	s.name("config", line.Place())
	s.name("text", line.Text)
	s.prove("%s: %s", line.Place(), line.Text)
	for _, other := range line.Beats {
		s.prove("which counts before %s", other)
	}
}

// nothingAnswers: no installed module has that name or alias.
func nothingAnswers(s *scene) answer {
	if len(s.action.Loads) > 0 {
		return no
	}
	names, err := s.answering(s.action.Module)
	if err != nil {
		return unsure
	}
	if len(names) > 0 || s.blocks(s.action.Module) || s.runs(s.action.Module) {
		return no
	}
	if dir, exists := s.ask("the folder of modules").ModulesDir(); !exists {
		s.name("gone", dir)
	}
	return yes
}
