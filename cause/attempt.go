package cause

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// Failure is a load, an unload or a request that the kernel was seen to end with a cause.
type Failure struct {
	Kind   tracer.ActionKind
	Module string
	Cause  *Cause
	// Dependency: it was a step on the way to what was asked for.
	Dependency bool
}

// OfAttempt says why what was asked for (a file or a name to load, a name to unload)
// was refused with err. The failures are those that the kernel was seen to make for
// it: the cause of the last one, if that was about what was asked for; that of a
// dependency under the name that was asked for; or, where there is none, why the
// kernel was not even asked.
func OfAttempt(ctx context.Context, k *kernel.Kernel, target string, err error, failures []Failure) *Cause {
	if errors.Is(err, kmod.ErrNotAsked) { // the last time; the failures are of times before
		return unasked(ctx, k, target, err)
	}
	for i := len(failures) - 1; i >= 0; i-- {
		f := &failures[i]
		if f.Kind == tracer.Autoload {
			continue
		}
		if f.Dependency {
			return dependencyFailed(target, f)
		}
		return f.Cause
	}
	return unasked(ctx, k, target, err)
}

func dependencyFailed(target string, f *Failure) *Cause {
	names := map[string]string{"target": target, "dependency": f.Module, "inner": f.Cause.String()}
	return &Cause{
		Code:     DependencyFailed,
		Text:     sentence("{target} needs {dependency}, which could not be loaded", names) + ": " + f.Cause.String(),
		Evidence: append([]string{sentence("{dependency} must be there before {target} can be loaded", names)}, f.Cause.Evidence...),
		Next:     f.Cause.Next, Names: names, Inner: f.Cause,
	}
}

// unasked explains what ended before any system call.
func unasked(ctx context.Context, k *kernel.Kernel, target string, err error) *Cause {
	q := &question{kernel: k, action: &tracer.Action{Kind: tracer.Load, Module: modname.Normal(target)}}
	s := q.scene(ctx)
	s.name("target", target)
	s.prove("%s", bare(err))
	var refcount *kmod.RefcountError
	switch {
	case errors.As(err, &refcount):
		s.name("count", cells.Plural(refcount.Count, "reference"))
		return s.say(RefcountNegative, sayRefcountNegative)
	case errors.Is(err, kmod.ErrUnreadRefcount):
		return s.say(RefcountUnread, sayRefcountUnread)
	case errors.Is(err, kmod.ErrBuiltin):
		return s.say(BuiltIn, "{target} is part of the kernel image: there is nothing to load or unload")
	case errors.Is(err, kmod.ErrInstallCommand):
		return s.commanded(target, err)
	case kmod.IsFile(target):
		s.name("file", target)
		return s.fileProblem(err)
	case errors.Is(err, kmod.ErrNotFound):
		if names, listed := s.answering(target); listed == nil && len(names) > 0 && s.blocks(names[0]) {
			return s.blocked(target)
		}
		if s.blocks(target) {
			return s.blocked(target)
		}
		if c := s.depmodStale(err); c != nil {
			return c
		}
		if dir, exists := k.ModulesDir(); !exists {
			s.name("gone", dir)
			return s.say(NotFound, "no installed module is called {target}: {gone} is not there, as after an upgrade of the running kernel")
		}
		if s.aliasOfNothing(target) {
			return s.say(NotFound, "no installed module is called {missing}, for which {target} stands: {config} says \"{text}\"")
		}
		return s.say(NotFound, "no installed module is called {target}, and none has it as an alias")
	}
	if file := s.installedFile(target, err); file != "" {
		s.name("file", file)
		return s.fileProblem(err)
	}
	return s.say(Unknown, "what was seen does not say why")
}

// aliasOfNothing tells whether a line of the configuration makes a name an alias of what is not there.
func (s *scene) aliasOfNothing(name string) bool {
	k := s.ask("the configuration of modprobe")
	line, module := k.AliasLine(name)
	if line == nil || k.FileOf(module) != "" || k.Builtin(module) {
		return false
	}
	s.nameLine(line)
	s.name("missing", module)
	return true
}

// installedFile gives the file that could not be read; "" where it was not a file that kept the kernel from
// being asked.
func (s *scene) installedFile(target string, err error) string {
	var errno unix.Errno
	if !errors.Is(err, kmod.ErrNotModule) && !errors.As(err, &errno) {
		return ""
	}
	k := s.ask("which modules are installed")
	var e *kmod.Error
	if errors.As(err, &e) {
		if file := k.FileOf(e.Module); file != "" {
			return file
		}
	}
	return k.FileOf(target)
}

// depmodStale tells whether modules.dep is why nothing is found: for the name, or for what the error is
// about, which can be a dependency.
func (s *scene) depmodStale(err error) *Cause {
	k := s.ask("which modules are installed")
	k.Refresh()
	names := []string{s.action.Module}
	var e *kmod.Error
	if errors.As(err, &e) {
		names = append(names, e.Module)
	}
	for _, name := range names {
		gone, unlisted, err := k.Depmod(name)
		switch {
		case err != nil:
			return nil
		case gone != "":
			s.name("target", name)
			s.name("path", gone)
			return s.say(DepmodStale, sayStaleGone)
		case len(unlisted) > 0:
			s.name("path", unlisted[0])
			for _, path := range unlisted {
				s.prove("there is %s", path)
			}
			return s.say(DepmodStale, sayStaleUnlisted)
		}
	}
	if s.indexBroken(s.names["target"]) || e != nil && s.indexBroken(e.Module) {
		return s.say(DepmodStale, sayIndexBroken)
	}
	return nil
}

// indexBroken tells whether depmod's lists have a name or an alias that modprobe cannot find, because an
// index of theirs is damaged.
func (s *scene) indexBroken(name string) bool {
	k := s.ask("the indexes of modprobe")
	broken := k.BrokenIndexes()
	if len(broken) == 0 {
		return false
	}
	list, err := k.Lists(name)
	if err != nil || list == "" {
		return false
	}
	i := slices.IndexFunc(broken, func(b kernel.BrokenIndex) bool { return b.List == list })
	if i < 0 && filepath.Base(list) == "modules.alias" { // the module that it names is looked up too
		i = slices.IndexFunc(broken, func(b kernel.BrokenIndex) bool { return filepath.Base(b.List) == "modules.dep" })
	}
	if i < 0 {
		return false
	}
	of := broken[i]
	s.name("target", name)
	s.name("list", list)
	s.name("index", of.Index)
	s.name("problem", of.Why)
	for _, b := range broken {
		s.prove("%s %s", b.Index, b.Why)
	}
	return true
}

// commanded says for which module the configuration has a command run: for what was asked for, or for
// a dependency.
func (s *scene) commanded(target string, err error) *Cause {
	of := target
	var install *kmod.InstallError
	var step *kmod.Error
	dependency := errors.As(err, &install) && install.Dependency && errors.As(err, &step)
	if dependency {
		if of = step.Module; of == "" {
			s.name("command", install.Command)
			return s.say(InstallCommand, sayInstallOfUnknown)
		}
		s.name("target", of)
	}
	var c *Cause
	if s.ofAny(of, s.runs) {
		c = s.say(InstallCommand, sayInstallCommand)
	} else {
		c = s.blocked(of)
	}
	if dependency {
		return dependencyFailed(target, &Failure{Kind: tracer.Load, Module: of, Cause: c})
	}
	return c
}

// blocked names the line of configuration.
func (s *scene) blocked(target string) *Cause {
	if s.names["config"] == "" {
		s.ofAny(target, s.blocks)
	}
	return s.say(BlockedByConfig, "the configuration of modprobe keeps {target} out[: {config} says \"{text}\"]")
}

// ofAny asks a question about each module that a name or an alias may stand for, up to the first yes.
func (s *scene) ofAny(target string, is func(name string) bool) bool {
	names, _ := s.answering(target)
	return slices.ContainsFunc(append([]string{modname.Normal(target)}, names...), is)
}

func (s *scene) fileProblem(err error) *Cause {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.say(NotFound, sayNoSuchFile)
	case strings.Contains(err.Error(), "is empty"):
		return s.say(NotELF, sayEmpty)
	case errors.Is(err, kmod.ErrCompression):
		return s.say(CompressionUnsupported, sayCompressionDamaged)
	}
	return s.say(FileUnreadable, sayNotModule)
}

// say makes a cause of what the scene has.
func (s *scene) say(code Code, text string) *Cause {
	return &Cause{Code: code, Text: sentence(text, s.names), Evidence: s.evidence, Next: nextOf(code), Names: s.names}
}
