package cause

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

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

// helperEnded gives by what signal, or with what exit status, the helper ended; ok is false where
// it is not known.
func (s *scene) helperEnded() (status unix.WaitStatus, ok bool) {
	if s.action.HelperStatus == nil {
		return 0, false
	}
	return unix.WaitStatus(*s.action.HelperStatus), true
}

func helperKilled(s *scene) answer {
	status, ok := s.helperEnded()
	if ok && status.Signaled() {
		s.name("signal", signalName(status.Signal()))
		return yes
	}
	return no
}

// helperExitedOddly: with another status than modprobe has.
func helperExitedOddly(s *scene) answer {
	status, ok := s.helperEnded()
	if !ok || !status.Exited() || status.ExitStatus() < 2 {
		return no
	}
	s.name("status", strconv.Itoa(status.ExitStatus()))
	return yes
}

// helperTriedNothing: modules answer, nothing keeps them out, and yet the helper made no load. Where it
// exited with status 0, one of them may be loaded already.
func helperTriedNothing(s *scene) answer {
	status, ok := s.helperEnded()
	if !ok || !status.Exited() || len(s.action.Loads) > 0 || !s.heardAll() { // a load of which nothing was seen
		return no
	}
	s.name("status", strconv.Itoa(status.ExitStatus()))
	names, err := s.answering(s.action.Module)
	if err != nil {
		return unsure
	}
	if len(names) == 0 || slices.ContainsFunc(append([]string{s.action.Module}, names...), func(name string) bool { return s.blocks(name) || s.runs(name) }) {
		return no
	}
	if status.ExitStatus() == 0 && !s.otherDidNothing(names) {
		return no
	}
	s.name("modules", strings.Join(names, ", "))
	return yes
}

// otherDidNothing tells whether another program than modprobe reported success, and none of the
// modules is there.
func (s *scene) otherDidNothing(names []string) bool {
	k := s.ask("kernel.modprobe")
	if _, _, other, err := k.OtherModprobe(); !s.live || err != nil || !other {
		return false
	}
	for _, name := range names {
		if m, err := k.Loaded(name); err != nil || m != nil || k.Builtin(name) {
			return false
		}
	}
	return true
}

// helperMissedFile: the system's modprobe failed, and modules.dep names a file that is gone.
func helperMissedFile(s *scene) answer {
	status, ok := s.helperEnded()
	if !ok || status.ExitStatus() != 1 || helperTriedNothing(s) != yes {
		return no
	}
	k := s.ask("which modules are installed")
	if _, _, other, err := k.OtherModprobe(); err == nil && other {
		return no
	}
	names, _ := s.answering(s.action.Module)
	for _, name := range names {
		if gone, _, err := k.Depmod(name); err == nil && gone != "" {
			s.name("target", name)
			s.name("path", gone)
			return yes
		}
	}
	return no
}

func signalName(signal unix.Signal) string {
	if name := unix.SignalName(signal); name != "" {
		return name
	}
	return "signal " + strconv.Itoa(int(signal))
}

// lookHelper names the program, and the system's modprobe where that is another.
func lookHelper(s *scene) {
	helper, system, other, err := s.ask("kernel.modprobe").OtherModprobe()
	s.name("helper", helper)
	if helper != "" {
		s.prove("kernel.modprobe is %s", helper)
	}
	switch {
	case err != nil:
		s.prove("whether that is the system's modprobe is not known: %v", err)
	case other:
		s.name("system", system)
		s.prove("the system's modprobe is %s, another program", system)
	default:
		s.prove("that is the system's modprobe")
	}
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
