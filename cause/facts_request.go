package cause

import (
	"context"
	"errors"
	"os"
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

// configBlocks: modules answer to the alias, and the configuration blocks each, or what it needs. A
// command that could load a module, and was seen to load nothing, blocks it too.
func configBlocks(s *scene) answer {
	names, err := s.answering(s.action.Module)
	loads := len(s.action.Loads) > 0 // they may be of what the modules need
	if err != nil {
		return unsure
	}
	if !loads { // by a line for the alias itself too: "alias X off"
		if kept := s.keepsOut(s.action.Module); kept != no {
			return kept
		}
	}
	for _, name := range names {
		kept := no
		if !loads {
			kept = s.keepsOut(name)
		}
		if kept == no {
			kept = s.keepsOutNeeded(name)
		}
		if kept != yes {
			return kept
		}
	}
	s.name("modules", strings.Join(names, ", "))
	return answerOf(len(names) > 0)
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

// keepsOutNeeded tells whether the configuration kept out what a module needs: modprobe ends where the
// command for that fails. A blacklist is about aliases, and does not.
func (s *scene) keepsOutNeeded(name string) answer {
	k := s.ask("what modules need")
	needs, err := k.Dependencies(name)
	if err != nil {
		return unsure
	}
	if m, err := k.Loaded(name); err != nil || m != nil {
		return no
	}
	for _, needed := range needs {
		if m, err := k.Loaded(needed); err != nil || m != nil {
			continue // it was not asked for
		}
		lines := k.Blocked(needed)
		if !slices.ContainsFunc(lines, func(line kernel.ConfigLine) bool { return line.Install }) {
			continue
		}
		if kept := s.keepsOut(needed); kept != no {
			s.name("needing", name)
			return kept
		}
	}
	return no
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

// notTried gives the modules that answer, where the system's modprobe failed and tried none of them.
func (s *scene) notTried() []string {
	status, ok := s.helperEnded()
	if !ok || status.ExitStatus() != 1 || helperTriedNothing(s) != yes {
		return nil
	}
	if _, _, other, err := s.ask("kernel.modprobe").OtherModprobe(); err == nil && other {
		return nil
	}
	names, _ := s.answering(s.action.Module)
	return names
}

// helperMissedFile: the system's modprobe failed, and modules.dep names a file that is gone.
func helperMissedFile(s *scene) answer {
	k := s.ask("which modules are installed")
	for _, name := range s.notTried() {
		if gone, _, err := k.Depmod(name); err == nil && gone != "" {
			s.name("target", name)
			s.name("path", gone)
			return yes
		}
	}
	return no
}

// helperMissedIndex: modprobe found nothing, and its index is damaged.
func helperMissedIndex(s *scene) answer {
	if len(s.action.Loads) > 0 {
		return no
	}
	names, err := s.answering(s.action.Module)
	if err != nil {
		return no
	}
	if len(names) == 0 {
		return answerOf(s.indexBroken(s.action.Module))
	}
	status, ok := s.helperEnded()
	return answerOf(ok && status.ExitStatus() == 1 && slices.ContainsFunc(names, s.indexBroken))
}

// helperMetBadFile: modprobe did not hand the file to the kernel, because it could not read it.
func helperMetBadFile(s *scene) answer {
	k := s.ask("which modules are installed")
	for _, name := range s.notTried() {
		file := k.FileOf(name)
		if file == "" {
			continue
		}
		info, err := os.Stat(file)
		switch {
		case err != nil:
			s.name("problem", "cannot be read: "+errors.Unwrap(err).Error())
		case info.IsDir():
			s.name("problem", "is a directory")
		case !info.Mode().IsRegular():
			s.name("problem", "is not a regular file")
		case info.Size() == 0:
			s.name("problem", "is empty")
		default:
			continue
		}
		s.name("file", file)
		s.name("target", name)
		return yes
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

// answering gives the modules for a name or alias; none are not an error. It asks once for each:
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
	if s.blocks(s.action.Module) || s.runs(s.action.Module) {
		return no
	}
	k := s.ask("which modules are installed")
	if slices.ContainsFunc(names, func(name string) bool { return k.FileOf(name) != "" || k.Builtin(name) }) {
		return no
	}
	if len(names) > 0 && !s.aliasOfNothing(s.action.Module) {
		return no
	}
	if dir, exists := s.ask("the directory of modules").ModulesDir(); !exists {
		s.name("gone", dir)
	}
	return yes
}
