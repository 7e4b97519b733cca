package kmod

import (
	"context"
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
	out, err := m.run(ctx, append(args, "--resolve-alias", "--", name)...)
	if err != nil {
		return nil, &Error{Op: "resolve", Module: name, Err: err}
	}
	names := []string{}
	for _, module := range strings.Fields(string(out)) {
		names = append(names, normal(module))
	}
	return names, nil
}
