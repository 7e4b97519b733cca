package main

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/spf13/cobra"
)

// filterFlags are a filter as the command line has it.
type filterFlags struct {
	modules, comms, actions, outcomes, pids, uids, causes []string
}

func (f *filterFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.modules, "module", nil, "only modules (or requested aliases) that match `GLOB`; '-' and '_' are alike; repeatable")
	flags.StringSliceVar(&f.actions, "action", nil, "only these `KINDS`: load, unload, request")
	flags.StringSliceVar(&f.outcomes, "outcome", nil, "only these `OUTCOMES`: live, unloaded, failed, answered, pending")
	flags.StringSliceVar(&f.pids, "pid", nil, "only what these processes or threads do, by their `ID` in the first pid namespace")
	flags.StringSliceVar(&f.uids, "uid", nil, "only what these `USERS` do, by id or name")
	flags.StringArrayVar(&f.comms, "comm", nil, "only threads whose command name matches `GLOB`; repeatable")
	flags.StringSliceVar(&f.causes, "cause", nil, "only what failed for these `CODES` (kmodtrace explain lists them)")
	mustComplete(cmd, "action", words(actionKinds()))
	mustComplete(cmd, "cause", codeNames())
	mustComplete(cmd, "outcome", words(outcomes()))
}

func actionKinds() []tracer.ActionKind {
	return []tracer.ActionKind{tracer.Load, tracer.Unload, tracer.Autoload}
}

func outcomes() []tracer.Outcome {
	return []tracer.Outcome{tracer.Live, tracer.Unloaded, tracer.Failed, tracer.Answered, tracer.Pending}
}

func words[T fmt.Stringer](values []T) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = v.String()
	}
	return all
}

// parse gives the filter, or the first thing that makes no sense.
func (f *filterFlags) parse() (*filter, error) {
	var wanted filter
	var err error
	if wanted.modules, err = parseAll(f.modules, parseModuleGlob); err != nil {
		return nil, err
	}
	if wanted.comms, err = parseAll(f.comms, parseGlob); err != nil {
		return nil, err
	}
	if wanted.actions, err = parseAll(f.actions, oneOf("--action", actionKinds())); err != nil {
		return nil, err
	}
	if wanted.outcomes, err = parseAll(f.outcomes, oneOf("--outcome", outcomes())); err != nil {
		return nil, err
	}
	if wanted.pids, err = parseAll(f.pids, parsePID); err != nil {
		return nil, err
	}
	if wanted.causes, err = parseAll(f.causes, parseCode); err != nil {
		return nil, err
	}
	wanted.uids, err = parseAll(f.uids, parseUID)
	return &wanted, err
}

func parseCode(s string) (cause.Code, error) {
	if _, ok := cause.MeaningOf(cause.Code(s)); !ok {
		return "", usageErrorf("--cause %q: no such code; kmodtrace explain lists them", shortText(s))
	}
	return cause.Code(s), nil
}

func parseAll[T any](texts []string, parse func(string) (T, error)) ([]T, error) {
	var values []T
	for _, text := range texts {
		v, err := parse(text)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// oneOf reads a word out of a few.
func oneOf[T fmt.Stringer](flag string, values []T) func(string) (T, error) {
	return func(s string) (T, error) {
		for _, v := range values {
			if v.String() == s {
				return v, nil
			}
		}
		var none T
		return none, usageErrorf("%s %q: want one of %s", flag, shortText(s), strings.Join(words(values), ", "))
	}
}

func parsePID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return 0, usageErrorf("--pid %q: want the number of a process", shortText(s))
	}
	return uint32(n), nil
}

func parseUID(s string) (uint32, error) {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return uint32(n), nil
	}
	if u, err := user.Lookup(s); err == nil {
		if n, err := strconv.ParseUint(u.Uid, 10, 32); err == nil {
			return uint32(n), nil
		}
	}
	return 0, usageErrorf("--uid %q: neither a user's number nor a name known here", shortText(s))
}
