package follow

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// wish is what a tool was asked for.
type wish struct {
	unload  bool
	targets []string
	params  kmod.Params // of a load
}

// wishOf reads a tool's arguments. It is false for what asks for no load and no unload of this kernel,
// or in a way that is not known here.
func wishOf(argv []string) (w wish, ok bool) {
	if len(argv) == 0 {
		return w, false
	}
	tool := filepath.Base(argv[0])
	var words []string
	all := tool == "rmmod"
	w.unload = all
	for rest := argv[1:]; len(rest) > 0; rest = rest[1:] {
		word := rest[0]
		if len(word) > 2 && word[0] == '-' && word[1] != '-' { // several in one word
			word = "-" + word[1:2]
			rest = append([]string{word, "-" + rest[0][2:]}, rest[1:]...)
		}
		switch {
		case word == "--":
			words = append(words, rest[1:]...)
			rest = rest[len(rest)-1:]
		case !strings.HasPrefix(word, "-") || word == "-":
			words = append(words, word)
		case tool == "modprobe" && slices.Contains([]string{"-r", "--remove"}, word):
			w.unload, all = true, true
		case tool == "modprobe" && slices.Contains([]string{"-a", "--all"}, word):
			all = true
		case slices.Contains(plainFlags(tool), word):
		default:
			return w, false // another kernel or configuration, a question, or what is not known here
		}
	}
	switch {
	case len(words) == 0:
		return w, false
	case all:
		w.targets = words
	default:
		w.targets, w.params = words[:1], words[1:]
	}
	return w, true
}

// plainFlags are those that change nothing in what is refused.
func plainFlags(tool string) []string {
	flags := []string{"-v", "--verbose", "-s", "--syslog"}
	if tool == "modprobe" {
		return append(flags, "-q", "--quiet", "-b", "--use-blacklist", "--first-time", "-f", "--force")
	}
	return flags
}

// refusal is what a tool refused by itself.
type refusal struct {
	run    toolRun
	unload bool
	target string
	cause  *cause.Cause // nil where it cannot be told
}

// String says it in one line.
func (r *refusal) String() string {
	op := "load"
	if r.unload {
		op = "unload"
	}
	text := fmt.Sprintf("%s[%d] failed with exit status %d and did not ask the kernel to %s %s", r.run.comm, r.run.pid, r.run.status.ExitStatus(), op, cells.Short(r.target))
	if r.cause == nil {
		return text + ": why is not known"
	}
	return text + ": " + r.cause.String()
}

// judge says for each target why the tool may have refused it, by how things are now: it is called when
// the tool has just ended. Without a target there is nothing that this knows to judge.
func judge(ctx context.Context, k *kernel.Kernel, q *record.Inquiry, run *toolRun, ours bool) (all []refusal) {
	if !run.status.Exited() || run.status.ExitStatus() == 0 {
		return nil
	}
	w, ok := wishOf(run.argv)
	if !ok {
		return nil
	}
	for _, target := range w.targets {
		r := refusal{run: *run, unload: w.unload, target: target}
		switch {
		case w.unload:
			r.cause = unloadRefused(ctx, k, q, run, target)
		case run.mntNS != mountNamespace(): // it has read other files than there are here
		case run.comm == "insmod" && !filepath.IsAbs(target) && !ours: // below a directory that is not known
		default:
			r.cause = loadRefused(ctx, k, run.comm, target, w.params)
		}
		all = append(all, r)
	}
	return all
}

// mountNamespace is the number of this process's own; 0 where it cannot be told.
func mountNamespace() uint32 {
	var stat unix.Stat_t
	if err := unix.Stat("/proc/self/ns/mnt", &stat); err != nil {
		return 0
	}
	return uint32(stat.Ino)
}

// unloadRefused looks at the module as the tools do, and has the cause of what the kernel would have
// seen: nil where nothing speaks against the unload.
func unloadRefused(ctx context.Context, k *kernel.Kernel, q *record.Inquiry, run *toolRun, target string) *cause.Cause {
	module := modname.Normal(target)
	modules, err := kmod.List(nil)
	if err != nil {
		return nil
	}
	now := tracer.SinceBoot()
	a := &tracer.Action{
		ID: tracer.ID(now), Kind: tracer.Unload, Module: module, NameFrom: tracer.NameClaimed, Start: now, End: now,
		Outcome: tracer.Failed, Errno: unix.ENOENT, Lookup: &tracer.Lookup{Name: module},
		Thread: tracer.Thread{TID: run.pid, PID: run.pid, Start: run.start, Comm: run.comm},
	}
	if i := slices.IndexFunc(modules, func(m kmod.Module) bool { return m.Name == module }); i >= 0 {
		m := &modules[i]
		switch {
		case m.RefsNegative:
			return cause.OfAttempt(ctx, k, target, &kmod.RefcountError{Count: *m.Refs}, nil)
		case m.Refs == nil || *m.Refs == 0 && len(m.Holders) == 0:
			return nil
		}
		refs := int32(*m.Refs)
		a.Errno = unix.EAGAIN
		a.Lookup = &tracer.Lookup{Name: module, Found: true, State: tracer.StateLive, Refs: &refs, Holders: m.Holders, HasInit: true, HasExit: !m.Permanent}
	}
	a.ErrnoName = tracer.ErrnoName(a.Errno)
	return q.Cause(ctx, a).Cause
}

// loadRefused checks what the tool was asked to load, as `check` does.
func loadRefused(ctx context.Context, k *kernel.Kernel, comm, target string, params kmod.Params) *cause.Cause {
	var verdicts []*cause.Verdict
	var err error
	if comm == "insmod" {
		var v *cause.Verdict
		if v, err = cause.Check(ctx, target, k, &cause.CheckOptions{Params: params}); err == nil {
			verdicts = []*cause.Verdict{v}
		}
	} else {
		verdicts, err = cause.CheckName(ctx, target, k, params)
	}
	if err != nil {
		return nil
	}
	for _, v := range slices.Backward(verdicts) {
		if v.Judgement == cause.Refused {
			return v.Cause
		}
	}
	return nil
}

// acted notes what each process asked the kernel for, so that a tool which did is not said to have
// refused.
type acted map[acting]bool

type acting struct {
	family
	unload string // the module of an unload; empty for any load
}

// see notes it for the process, and for those above: modprobe may have run a command that did it.
func (d acted) see(a *tracer.Action) {
	unload := ""
	if a.Kind == tracer.Unload {
		unload = modname.Normal(a.Module)
	} else if a.Kind != tracer.Load {
		return
	}
	d[acting{family{pid: a.Thread.PID, start: a.Thread.Start}, unload}] = true
	if a.Actor == nil {
		return
	}
	for _, p := range a.Actor.Ancestors {
		d[acting{family{pid: p.PID, start: p.Start}, unload}] = true
	}
}

// asked tells whether the tool has asked the kernel for it.
func (d acted) asked(r *refusal) bool {
	key := acting{family: family{pid: r.run.pid, start: r.run.start}}
	if r.unload {
		key.unload = modname.Normal(r.target)
	}
	return d[key]
}

// maxRefusals bounds how many are looked into.
const maxRefusals = 64

// takeTool judges a run of a tool that is the command's. What it is shown as is decided at the end, when
// all that it asked the kernel for is known.
func (r *Runner) takeTool(ctx context.Context, run *toolRun) {
	if r.family == (family{}) || !slices.Contains(run.ancestors, r.family) {
		return
	}
	if len(r.refusals) >= maxRefusals {
		r.notJudged++
		return
	}
	r.refusals = append(r.refusals, judge(ctx, r.Report.kernel, r.Report.Inquiry, run, run.ancestors[0] == r.family)...)
}

// endTools says what tools refused by themselves.
func (r *Runner) endTools(ctx context.Context) {
	if r.Tools == nil {
		return
	}
	for _, run := range r.Tools.last() {
		r.takeTool(ctx, &run)
	}
	for _, refusal := range r.refusals {
		if r.acted.asked(&refusal) {
			continue
		}
		r.Report.refused++
		e := r.Log.Warn().Uint32("pid", refusal.run.pid).Str("module", refusal.target)
		if refusal.cause != nil {
			e = e.Str("cause", string(refusal.cause.Code))
		}
		e.Msg(refusal.String())
	}
	if lost, err := r.Tools.lost(); err == nil {
		r.notJudged += lost
	}
	if r.notJudged > 0 {
		r.Log.Warn().Msgf("%s more of rmmod, modprobe and insmod failed and were not looked into", cells.Plural(int(r.notJudged), "run"))
	}
}
