package filter

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/usernames"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/spf13/cobra"
)

// ActionFlags ask after actions, of those that happen now and those that are recorded.
type ActionFlags struct{ modules, actions, outcomes, causes []string }

// Register adds the flags to a command.
func (f *ActionFlags) Register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.modules, "module", nil, "only modules (or requested aliases) that match `GLOB`; '-' and '_' are alike; repeatable")
	flags.StringSliceVar(&f.actions, "action", nil, "only these `KINDS`: load, unload, request")
	flags.StringSliceVar(&f.outcomes, "outcome", nil, "only these `OUTCOMES`: live, unloaded, failed, answered, pending")
	flags.StringSliceVar(&f.causes, "cause", nil, "only what failed for these `CODES` (kmodtrace explain lists them)")
	cli.MustComplete(cmd, "action", Words(actionKinds()))
	cli.MustComplete(cmd, "outcome", Words(outcomes()))
	cli.MustComplete(cmd, "cause", CodeNames())
}

// Parse gives the filter, or the first thing that makes no sense.
func (f *ActionFlags) Parse() (wanted ActionFilter, err error) {
	if wanted.Modules, err = ParseAll(f.modules, parseModuleGlob); err != nil {
		return wanted, err
	}
	if wanted.Actions, err = ParseAll(f.actions, oneOf("--action", actionKinds())); err != nil {
		return wanted, err
	}
	if wanted.Outcomes, err = ParseAll(f.outcomes, oneOf("--outcome", outcomes())); err != nil {
		return wanted, err
	}
	wanted.Causes, err = ParseAll(f.causes, parseCode)
	return wanted, err
}

// Flags are a filter as the command line has it.
type Flags struct {
	ActionFlags
	comms, pids, uids []string

	logins, containers, units, ancestors, requesters []string
	autoloaded                                       string
}

// Register adds the flags to a command.
func (f *Flags) Register(cmd *cobra.Command) {
	f.ActionFlags.Register(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&f.pids, "pid", nil, "only what these processes or threads do, or ask for, by their `ID` in the first pid namespace")
	flags.StringSliceVar(&f.uids, "uid", nil, "only what these `USERS` do, or ask for, by id or name")
	flags.StringArrayVar(&f.comms, "comm", nil, "only what threads do, or ask for, whose command name matches `GLOB`; repeatable")
	flags.StringSliceVar(&f.logins, "loginuid", nil, "only of these login `USERS`, also after su or sudo")
	flags.StringSliceVar(&f.containers, "container", nil, "only from these containers: the `ID` or its beginning, a runtime, or any")
	flags.StringArrayVar(&f.units, "unit", nil, "only from systemd units that match `GLOB`; repeatable")
	flags.StringArrayVar(&f.ancestors, "ancestor", nil, "only from processes with this `NAME` or id, and from their descendants; repeatable")
	flags.StringArrayVar(&f.requesters, "requester", nil, "only what a process with this `NAME` or id requested; repeatable")
	flags.StringVar(&f.autoloaded, "autoloaded", "", "yes: only what was done for a request of the kernel; no: only what was not")
	cli.MustComplete(cmd, "autoloaded", []string{"yes", "no"})
}

func actionKinds() []tracer.ActionKind {
	return []tracer.ActionKind{tracer.Load, tracer.Unload, tracer.Autoload}
}

func outcomes() []tracer.Outcome {
	return []tracer.Outcome{tracer.Live, tracer.Unloaded, tracer.Failed, tracer.Answered, tracer.Pending}
}

// Words gives the values of a kind as they are written.
func Words[T fmt.Stringer](values []T) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = v.String()
	}
	return all
}

// Parse gives the filter, or the first thing that makes no sense.
func (f *Flags) Parse() (*Filter, error) {
	var wanted Filter
	var err error
	if wanted.ActionFilter, err = f.ActionFlags.Parse(); err != nil {
		return nil, err
	}
	if wanted.comms, err = ParseAll(f.comms, ParseGlob); err != nil {
		return nil, err
	}
	if wanted.pids, err = ParseAll(f.pids, parsePID); err != nil {
		return nil, err
	}
	if wanted.uids, err = ParseAll(f.uids, parseUID("--uid")); err != nil {
		return nil, err
	}
	return &wanted, f.parseWho(&wanted)
}

// parseWho reads the flags that ask after processes.
func (f *Flags) parseWho(wanted *Filter) (err error) {
	if wanted.logins, err = ParseAll(f.logins, parseUID("--loginuid")); err != nil {
		return err
	}
	if wanted.containers, err = ParseAll(f.containers, parseContainer); err != nil {
		return err
	}
	if wanted.units, err = ParseAll(f.units, ParseGlob); err != nil {
		return err
	}
	if wanted.ancestors, err = ParseAll(f.ancestors, parseProcess); err != nil {
		return err
	}
	if wanted.requesters, err = ParseAll(f.requesters, parseProcess); err != nil {
		return err
	}
	switch f.autoloaded {
	case "":
	case "yes", "no":
		yes := f.autoloaded == "yes"
		wanted.autoloaded = &yes
	default:
		return cli.Usagef("--autoloaded %q: must be yes or no", cells.Short(f.autoloaded))
	}
	return nil
}

func parseContainer(s string) (string, error) {
	if s == "" {
		return "", cli.Usagef("--container \"\": must be an id, the beginning of one, a runtime, or any")
	}
	return s, nil
}

// parseProcess takes a number for an id.
func parseProcess(s string) (ProcessFilter, error) {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil && n > 0 {
		return ProcessFilter{pid: uint32(n)}, nil
	}
	g, err := ParseGlob(s)
	return ProcessFilter{comm: g}, err
}

func parseCode(s string) (cause.Code, error) {
	if _, ok := cause.MeaningOf(cause.Code(s)); !ok {
		return "", cli.Usagef("--cause %q: no such code; kmodtrace explain lists them", cells.Short(s))
	}
	return cause.Code(s), nil
}

// ParseAll reads each text, up to the first that is wrong.
func ParseAll[T any](texts []string, parse func(string) (T, error)) ([]T, error) {
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
		return none, cli.Usagef("%s %q: must be one of %s", flag, cells.Short(s), strings.Join(Words(values), ", "))
	}
}

func parsePID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return 0, cli.Usagef("--pid %q: must be the number of a process", cells.Short(s))
	}
	return uint32(n), nil
}

func parseUID(flag string) func(string) (uint32, error) {
	return func(s string) (uint32, error) {
		if uid, ok := usernames.ID(s); ok {
			return uid, nil
		}
		return 0, cli.Usagef("%s %q: neither a user's number nor a name known here", flag, cells.Short(s))
	}
}

// CodeNames lists the codes of all causes.
func CodeNames() []string {
	var names []string
	for _, m := range cause.Codes() {
		names = append(names, string(m.Code))
	}
	return names
}
