package cause

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// CheckName says whether a name or an alias would load, as modprobe does it: a
// verdict for each module, dependencies first, up to the first that would be
// refused. A refused dependency is the last verdict's cause ([DependencyFailed]).
//
// It errs when ctx is done, and for what cannot be a name or parameters
// ([kmod.ErrBadName], [kmod.ErrBadParams]).
func CheckName(ctx context.Context, name string, k *kernel.Kernel, params kmod.Params) ([]*Verdict, error) {
	steps, err := kmod.Plan(ctx, name, &kmod.LoadOptions{Params: params, Release: k.ForRelease()})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, kmod.ErrBadName), errors.Is(err, kmod.ErrBadParams):
		return nil, err
	case err != nil:
		return []*Verdict{refusedName(ctx, name, k, err)}, nil
	}
	return checkSteps(ctx, steps, name, k, params)
}

func checkSteps(ctx context.Context, steps []kmod.Step, name string, k *kernel.Kernel, params kmod.Params) ([]*Verdict, error) {
	var verdicts []*Verdict
	var given []*kmod.File
	for i := range steps {
		v, err := checkStep(ctx, &steps[i], name, k, params, given)
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		if steps[i].Target && v.Cause != nil && v.Cause.Code == InstallCommand {
			return checkIgnoringInstall(ctx, name, k, params, v.Cause)
		}
		these := []*Verdict{v}
		if runs := commandOfDependency(v.Cause); runs != nil {
			if these, err = checkIgnoringInstall(ctx, steps[i].Module, k, nil, runs); err != nil {
				return nil, err
			}
			v = these[len(these)-1]
		}
		verdicts = append(verdicts, these...)
		if v.Judgement == Refused && !steps[i].Soft {
			return append(verdicts, dependentVerdict(v, &steps[i], name, k)...), nil
		}
		for _, v := range these {
			if f, err := kmod.Inspect(v.File); err == nil {
				given = append(given, f)
			}
		}
	}
	return verdicts, nil
}

// commandOfDependency gives the cause of a dependency that a command may load in the end; nil for every
// other cause.
func commandOfDependency(c *Cause) *Cause {
	if c == nil || c.Code != DependencyFailed || c.Inner.Code != InstallCommand {
		return nil
	}
	return c.Inner
}

// checkIgnoringInstall checks what a name would load if no command were run for it, and warns of the
// command: what that does is not known.
func checkIgnoringInstall(ctx context.Context, name string, k *kernel.Kernel, params kmod.Params, command *Cause) ([]*Verdict, error) {
	steps, err := kmod.Plan(ctx, name, &kmod.LoadOptions{Params: params, Release: k.ForRelease(), IgnoreInstall: true})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || slices.ContainsFunc(steps, func(s kmod.Step) bool { return s.Kind == kmod.StepInstall }) {
		return []*Verdict{refusedBy(name, k, command)}, nil
	}
	verdicts, err := checkSteps(ctx, steps, name, k, params)
	if err == nil && len(verdicts) > 0 {
		last := verdicts[len(verdicts)-1]
		last.Warnings = append(last.Warnings, *command)
	}
	return verdicts, err
}

// checkStep checks one module of a plan; nil where nothing is to be done for it.
func checkStep(ctx context.Context, s *kmod.Step, name string, k *kernel.Kernel, params kmod.Params, given []*kmod.File) (*Verdict, error) {
	switch s.Kind {
	case kmod.StepLoad:
		opts := &CheckOptions{Given: slices.Clone(given)}
		if all, err := kmod.ParseParams(s.Params); err == nil { // those of modprobe's configuration too
			opts.Params = all
		} else if s.Target {
			opts.Params = params
		}
		opts.Options = k.Options(kmod.NameOfFile(s.Path), s.Module, name)
		v, err := Check(ctx, s.Path, k, opts)
		if err == nil && v.Cause != nil && v.Cause.Code == NotFound { // modprobe was told of a file that is not there
			return refusedName(ctx, s.Module, k, kmod.ErrNotFound), nil
		}
		if err == nil {
			v.Warnings = append(v.Warnings, byFileName(k, s.Path, v.Module)...)
		}
		return v, err
	case kmod.StepLoaded:
		return nil, nil
	}
	if s.Kind == kmod.StepBuiltin && !s.Target || s.Soft {
		return nil, nil
	}
	err := s.Do() // does nothing for these but say why
	if err == nil {
		return nil, nil
	}
	return refusedName(ctx, name, k, err), nil
}

// byFileName warns of what modprobe leaves aside, which goes by the name of the file: other files of that
// name, and lines of its configuration about the module's name where the file is called otherwise.
func byFileName(k *kernel.Kernel, path, module string) []Cause {
	file := kmod.NameOfFile(path)
	warnings := append(ignoredOptions(k.Options(file, module, ""), module, false), hiddenFiles(k, file)...)
	if file == module {
		return warnings
	}
	for _, line := range k.Blocked(module) {
		names := map[string]string{"config": line.Place(), "text": line.Text, "module": module, "file": file}
		warnings = append(warnings, Cause{
			Code: ConfigIgnored, Text: sentence("{config} says \"{text}\", and does not keep {module} out: modprobe goes by the name of the file, which is {file}", names),
			Evidence: []string{sentence("{config}: {text}", names)}, Next: nextOf(ConfigIgnored), Names: names,
		})
	}
	return warnings
}

// hiddenFiles warns of files that modprobe does not take, because it takes another one of their name.
func hiddenFiles(k *kernel.Kernel, file string) []Cause {
	taken, hidden, err := k.Hidden(file)
	if err != nil || len(hidden) == 0 {
		return nil
	}
	names := map[string]string{"path": taken, "module": file, "hidden": strings.Join(hidden, ", ")}
	return []Cause{{
		Code: FileHidden, Text: sentence(sayFileHidden, names), Evidence: []string{sentence("modules.dep lists {path}", names)},
		Next: nextOf(FileHidden), Names: names,
	}}
}

// refusedName is the verdict on what no file can be tried for.
func refusedName(ctx context.Context, name string, k *kernel.Kernel, err error) *Verdict {
	return refusedBy(name, k, unasked(ctx, k, name, err))
}

func refusedBy(name string, k *kernel.Kernel, why *Cause) *Verdict {
	return &Verdict{File: name, Module: name, Kernel: k.Release(), Judgement: Refused, Later: []string{}, Cause: why}
}

// dependentVerdict is that on the name, where a dependency would be refused.
func dependentVerdict(v *Verdict, s *kmod.Step, name string, k *kernel.Kernel) []*Verdict {
	if s.Target || v.File == name {
		return nil
	}
	f := &Failure{Kind: tracer.Load, Module: v.Module, Cause: v.Cause, Dependency: true}
	return []*Verdict{{File: name, Module: name, Kernel: k.Release(), Judgement: Refused, Later: []string{}, Cause: dependencyFailed(name, f)}}
}
