package kmod

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
)

// ResolveOptions change where Resolve looks. Nil is the same as its zero value.
type ResolveOptions struct {
	Modprobe string // the modprobe to ask; "" looks for it in PATH and /sbin
	Release  string // of the kernel whose modules are meant; "" is the running one
	Root     string // folder that holds lib/modules; "" is /
}

// Resolve gives the names of the modules that a name or an alias stands for, as the
// system's modprobe knows them; blacklists do not matter. An alias may stand for several.
//
// It errs with [ErrNotFound] and [ErrBadName].
func Resolve(ctx context.Context, name string, opts *ResolveOptions) ([]string, error) {
	if opts == nil {
		opts = &ResolveOptions{}
	}
	if err := checkLookup(name); err != nil {
		return nil, &Error{Op: "resolve", Module: name, Err: err}
	}
	m, err := findModprobe(opts.Modprobe)
	if err != nil {
		return nil, &Error{Op: "resolve", Module: name, Err: err}
	}
	var args []string
	args = append(args, releaseFlags(opts.Release)...)
	if opts.Root != "" {
		args = append(args, "--dirname", opts.Root)
	}
	args = append(args, "--resolve-alias", "--", name)
	out, err := m.run(ctx, args...)
	// Newer modprobes (seen with kmod 34) leave out what is blacklisted. Without any
	// configuration they do not, but then know none of its aliases.
	bare, bareErr := m.run(ctx, append([]string{"--config", os.DevNull}, args...)...)
	if err != nil && bareErr != nil {
		return nil, &Error{Op: "resolve", Module: name, Err: err}
	}
	names := []string{}
	for _, module := range strings.Fields(string(out) + " " + string(bare)) {
		if module = normal(module); !slices.Contains(names, module) {
			names = append(names, module)
		}
	}
	if len(names) == 0 {
		return nil, &Error{Op: "resolve", Module: name, Err: fmt.Errorf("%w: modprobe names no module for it", ErrNotFound)}
	}
	return names, nil
}
