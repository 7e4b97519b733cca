package kmod

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/modname"
)

// ResolveOptions change where Resolve looks. Nil is the same as its zero value.
type ResolveOptions struct {
	Modprobe string // the modprobe to ask; "" looks for it in PATH and /sbin
	Release  string // of the kernel whose modules are meant; "" is the running one
	Root     string // directory that holds lib/modules; "" is /
	// Complete says that this modprobe names also what its configuration blacklists (see
	// [NamesBlacklisted]): it is asked once then, and otherwise twice.
	Complete bool
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
	var bare []byte
	bareErr := err
	if !opts.Complete {
		bare, bareErr = m.run(ctx, append([]string{"--config", os.DevNull}, args...)...)
	}
	if err != nil && bareErr != nil {
		return nil, &Error{Op: "resolve", Module: name, Err: err}
	}
	names := []string{}
	for _, module := range strings.Fields(string(out) + " " + string(bare)) {
		if module = modname.Normal(module); !slices.Contains(names, module) {
			names = append(names, module)
		}
	}
	if len(names) == 0 {
		return nil, &Error{Op: "resolve", Module: name, Err: fmt.Errorf("%w: modprobe names no module for it", ErrNotFound)}
	}
	return names, nil
}

// NamesBlacklisted tells whether a modprobe names, for an alias, also the modules that its
// configuration blacklists ("" looks for one in PATH and /sbin). Those of kmod up to 30 do, as was
// seen; of a later one, or one that does not tell its version, that is not assumed.
func NamesBlacklisted(ctx context.Context, path string) bool {
	const last = 30
	m, err := findModprobe(path)
	if err != nil {
		return false
	}
	out, err := m.run(ctx, "--version")
	if err != nil {
		return false
	}
	words := strings.Fields(string(out))
	if len(words) < 3 || words[0] != "kmod" || words[1] != "version" {
		return false
	}
	version, err := strconv.Atoi(words[2])
	return err == nil && version <= last
}

// FindModprobe gives the path of the system's modprobe, from PATH or where an ordinary user's
// PATH does not reach. It errs with [exec.ErrNotFound].
func FindModprobe() (string, error) {
	m, err := findModprobe("")
	return string(m), err
}
