package kmod

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

//go:generate go tool stringer -type=StepKind -linecomment -output=stepkind_string.go

// StepKind is what is to be done about one module of a plan.
type StepKind uint8

const (
	StepLoad    StepKind = iota // load
	StepLoaded                  // loaded
	StepBuiltin                 // builtin
	StepInstall                 // install
)

// MarshalText gives the word.
func (k StepKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Step is one module of a plan, in the order in which the kernel must see them.
type Step struct {
	// Kind tells what [Step.Do] does: StepLoad makes a system call; StepLoaded (a
	// dependency that is there already) and StepBuiltin do nothing; StepInstall
	// errs, for the configuration of modprobe wants a command run instead.
	Kind    StepKind
	Module  string // the kernel's name of the module; empty for a StepInstall that modprobe gives no name of
	Path    string // its file; empty for StepBuiltin and StepInstall
	Params  string // as the kernel will get them: modprobe's options, then the caller's
	Command string // of StepInstall: what modprobe would have a shell run
	Target  bool   // asked for, and not only a dependency
	// Soft: only wished for (softdep). Load goes on when it fails, as modprobe does.
	Soft bool
	// Err is why Load went on without a soft step.
	Err error

	force   Force
	root    string
	suspect error // why the file seems no module; the kernel has the last word
}

// Force tells the kernel to skip its own checks, where it has
// CONFIG_MODULE_FORCE_LOAD. The kernel is tainted (F) and may crash.
type Force uint8

const (
	// ForceVermagic ignores which kernel the module was built for.
	ForceVermagic Force = 1 << iota
	// ForceModversions ignores the versions of the symbols that it imports.
	ForceModversions
)

// LoadOptions change what Plan and Load do. Nil is the same as its zero value.
type LoadOptions struct {
	Params Params // of the module asked for, after those of modprobe's configuration
	Force  Force
	// IgnoreInstall plans as if modprobe's configuration had no install command for the module asked
	// for.
	IgnoreInstall bool
	Modprobe      string // the modprobe to resolve names with; "" looks for it in PATH and /sbin
	Root          string // directory that holds proc and sys; "" is /
	Release       string // plan for the modules of another kernel; "" is the running one
}

// Plan tells which modules must be loaded, in order, for target. It changes nothing.
//
// A target that [IsFile] is that one file, like insmod. Any other is a name or an alias, and is
// resolved by the system's `modprobe --show-depends`, which knows modprobe.d, aliases,
// soft dependencies and the kernel's command line. A dependency that is loaded
// already is a step that does nothing; a target that is loaded already is still to be
// loaded, so that the kernel itself refuses it.
//
// Errors: [ErrBadName], [ErrBadParams], [ErrNotFound] (with ENOENT for a file),
// [ErrNotModule] for a file that cannot be one (a directory, an empty file). A file whose
// content is wrong is planned: what the kernel says about it is the truth.
func Plan(ctx context.Context, target string, opts *LoadOptions) ([]Step, error) {
	if opts == nil {
		opts = &LoadOptions{}
	}
	params, err := opts.Params.Quote()
	if err != nil {
		return nil, &Error{Op: "load", Module: target, Err: err}
	}
	var steps []Step
	if IsFile(target) {
		steps, err = planFile(target)
	} else {
		flags := releaseFlags(opts.Release)
		if opts.IgnoreInstall {
			flags = append(flags, "--ignore-install")
		}
		steps, err = planName(ctx, target, opts, flags...)
	}
	if err != nil {
		return nil, &Error{Op: "load", Module: target, Err: err}
	}
	for i := range steps {
		steps[i].complete(params, opts)
	}
	return steps, nil
}

// complete adds what is the same for files and names.
func (s *Step) complete(params string, opts *LoadOptions) {
	s.root = opts.Root
	if s.Target {
		s.Params = strings.TrimSpace(s.Params + " " + params)
		s.force = opts.Force
	}
	if (s.Kind == StepLoad || s.Kind == StepInstall) && !s.Target && opts.Release == "" && s.Module != "" && initState(s.root, s.Module) != "" {
		s.Kind = StepLoaded
	}
}

func planFile(path string) ([]Step, error) {
	if strings.IndexByte(path, 0) >= 0 {
		return nil, fmt.Errorf("%w: it has a NUL", ErrBadName)
	}
	step := Step{Path: path, Target: true}
	f, err := Inspect(path)
	if err == nil {
		step.Module = f.Name
		return []Step{step}, nil
	}
	var e *Error
	if errors.As(err, &e) {
		err = e.Err // Plan names the operation and the file itself
	}
	opened, _, openErr := openModuleFile(path)
	if openErr != nil {
		return nil, openErr
	}
	opened.Close()
	step.Module = NameOfFile(path)
	step.suspect = err
	return []Step{step}, nil
}

// releaseFlags tell modprobe of another kernel.
func releaseFlags(release string) []string {
	if release == "" {
		return nil
	}
	return []string{"--set-version", release}
}

func planName(ctx context.Context, name string, opts *LoadOptions, flags ...string) ([]Step, error) {
	if err := checkLookup(name); err != nil {
		return nil, err
	}
	m, err := findModprobe(opts.Modprobe)
	if err != nil {
		return nil, err
	}
	steps, err := m.showDepends(ctx, name, flags...)
	if err != nil {
		return nil, err
	}
	if err := m.markTargets(ctx, name, steps, releaseFlags(opts.Release)...); err != nil {
		return nil, err
	}
	nameInstalls(steps)
	markSoft(steps)
	return steps, nil
}
