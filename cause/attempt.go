package cause

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Failure is a load, an unload or a request that the kernel was seen to end with a cause.
type Failure struct {
	Kind   tracer.ActionKind
	Module string
	Cause  *Cause
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
		if f.Kind == tracer.Load && !kmod.IsFile(target) && !isTarget(ctx, k, target, f.Module) {
			return dependencyFailed(target, f)
		}
		return f.Cause
	}
	return unasked(ctx, k, target, err)
}

// isTarget tells whether a module is what a name or an alias asks for.
func isTarget(ctx context.Context, k *kernel.Kernel, target, module string) bool {
	if modname.Normal(target) == module || k.NameInFile(target) == module {
		return true
	}
	names, err := k.Modules(ctx, target)
	if err != nil {
		return true // it cannot be told: no claim is made
	}
	for _, name := range names {
		if name == module || k.NameInFile(name) == module {
			return true
		}
	}
	return false
}

func dependencyFailed(target string, f *Failure) *Cause {
	names := map[string]string{"target": target, "dependency": f.Module, "inner": f.Cause.String()}
	return &Cause{
		Code:     DependencyFailed,
		Text:     sentence("{target} needs {dependency}, which could not be loaded", names) + ": " + f.Cause.String(),
		Evidence: append([]string{sentence("the load of {dependency} failed before {target} was tried", names)}, f.Cause.Evidence...),
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
		if s.ofAny(target, s.runs) {
			return s.say(InstallCommand, sayInstallCommand)
		}
		return s.blocked(target)
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
		return s.say(NotFound, "no installed module is called {target}, and none has it as an alias")
	}
	return s.say(Unknown, "what was seen does not say why")
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
	return nil
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
	return slices.ContainsFunc(append([]string{s.action.Module}, names...), is)
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
