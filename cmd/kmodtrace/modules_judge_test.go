package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/cause"
	"golang.org/x/sys/unix"
)

// modprobeTry is one run of modprobe or modprobe -r.
type modprobeTry struct {
	module string
	remove bool
	loaded bool // before it
	pid    int
	status int
	said   string
}

func (m *modprobeTry) String() string {
	name := "modprobe "
	if m.remove {
		name += "-r "
	}
	return fmt.Sprintf("%s%s (loaded before: %v) ended with %d, said %q", name, m.module, m.loaded, m.status, m.said)
}

// modprobeAction is what matters here of an action that watch printed.
type modprobeAction struct {
	ID                      string
	Preliminary             bool
	Action, Module, Outcome string
	Errno                   unix.Errno
	End                     int64 `json:"end_boottime_ns,string"`
	Lost                    int
	EndLost                 bool   `json:"end_lost"`
	NotLookedUp             string `json:"not_looked_up"`
	Thread                  struct{ Pid, Tid int }
	Cause                   *struct{ Code cause.Code }
	Warnings                []struct{ Code cause.Code }
	Request                 *struct {
		Name            string
		Wait            bool
		Refused, Denied bool
		Symbol          string
	}
	line string
}

func readAction(t *testing.T, line []byte) modprobeAction {
	t.Helper()
	a := modprobeAction{line: strings.TrimSpace(string(line))}
	if err := json.Unmarshal(line, &a); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return a
}

func (a *modprobeAction) causeCode() cause.Code {
	if a.Cause == nil {
		return ""
	}
	return a.Cause.Code
}

// withEnds leaves out the notices of actions that took long. Each must say what it waits for, and be followed
// by its end.
func withEnds(actions []modprobeAction) (ended []modprobeAction, problems []string) {
	open := make(map[string]string)
	for _, a := range actions {
		if !a.Preliminary {
			delete(open, a.ID)
			ended = append(ended, a)
			continue
		}
		open[a.ID] = a.line
		if code := a.causeCode(); a.Outcome != "pending" || code == "" || code == cause.Unknown {
			problems = append(problems, "a notice that says nothing: "+a.line)
		}
	}
	for _, line := range open {
		problems = append(problems, "no end: "+line)
	}
	return ended, problems
}

// judgeActions finds what must not be in any action.
func judgeActions(actions []modprobeAction) (problems []string) {
	for _, a := range actions {
		say := func(what string) { problems = append(problems, what+": "+a.line) }
		if a.Lost > 0 || a.EndLost {
			say("events are lost")
		}
		if a.NotLookedUp != "" {
			say("not looked up")
		}
		switch a.Outcome {
		case "pending":
			if a.Request == nil || a.Request.Wait { // otherwise nobody learns how it ends
				say("pending")
			}
		case "failed":
			if code := a.causeCode(); code == "" || code == cause.Unknown {
				say("no cause")
			}
		default:
			if a.Cause != nil {
				say("a cause of a success")
			}
		}
		for _, w := range a.Warnings {
			if w.Code == cause.Unknown {
				say("an unknown warning")
			}
		}
	}
	return problems
}

// judgeTries compares what each modprobe said with the actions of its process.
func judgeTries(tries []modprobeTry, actions []modprobeAction) (problems []string) {
	of := make(map[int][]modprobeAction)
	for _, a := range actions {
		of[a.Thread.Pid] = append(of[a.Thread.Pid], a)
	}
	for _, try := range tries {
		if problem := try.judge(of[try.pid]); problem != "" {
			var lines strings.Builder
			for _, a := range of[try.pid] {
				lines.WriteString("\n\t" + a.line)
			}
			problems = append(problems, fmt.Sprintf("%v: %s%s", &try, problem, lines.String()))
		}
	}
	return problems
}

// refusal is modprobe's line about what the kernel refused.
var refusal = regexp.MustCompile(`could not (?:insert|remove) '[^']+': (.*)`)

func (m *modprobeTry) judge(actions []modprobeAction) string {
	action, done := "load", "live"
	if m.remove {
		action, done = "unload", "unloaded"
	}
	var own, failed []modprobeAction
	for _, a := range actions {
		if a.Action == action && a.Module == m.module {
			own = append(own, a)
		}
		if a.Action == action && a.Outcome == "failed" {
			failed = append(failed, a)
		}
	}
	switch {
	case m.status == 0 && m.loaded != m.remove:
		if len(own) > 0 {
			return "nothing was to be done, and watch has actions of it"
		}
	case m.status == 0:
		if len(own) == 0 || own[len(own)-1].Outcome != done {
			return "watch has no " + action + " of it that ended as " + done
		}
		for _, a := range own[:len(own)-1] {
			if a.Outcome == done {
				return "watch has it twice"
			}
		}
	case strings.Contains(m.said, "is in use"), strings.Contains(m.said, "is builtin"):
		if len(own) > 0 {
			return "modprobe did not ask the kernel, and watch has actions of it"
		}
	default:
		said := refusal.FindStringSubmatch(m.said)
		if said == nil {
			return "modprobe failed with a message that this test does not know"
		}
		if len(failed) == 0 {
			return "watch has no failed " + action
		}
		if errno := failed[len(failed)-1].Errno; !slices.Contains(modprobeTexts(errno), strings.TrimSpace(said[1])) {
			return fmt.Sprintf("modprobe says %q, and the action failed with %v", said[1], errno)
		}
	}
	return ""
}

// modprobeTexts are modprobe's words for an errno: it has its own for some.
func modprobeTexts(errno unix.Errno) []string {
	own := map[unix.Errno]string{
		unix.ENOEXEC: "Exec format error", unix.ENOENT: "Unknown symbol in module, or unknown parameter (see dmesg)",
		unix.ESRCH: "Module has wrong symbol version", unix.EINVAL: "Module has invalid parameters",
	}
	text := errno.Error()
	return []string{own[errno], strings.ToUpper(text[:1]) + text[1:]}
}

// requestSite is a request of the kernel, as a probe and the kernel's own tracepoint print it.
type requestSite struct {
	tid      int
	name     string
	function string // where it was made; empty where the kernel had no symbol
	offset   string
	module   string // of the function
}

// The probe.
const (
	siteGroup = "kmodtrace_test"
	siteEvent = "request"
)

var (
	probeLine   = regexp.MustCompile(`^.*-(\d+)\s+\[\d+\].*: ` + siteEvent + `: \(\S+\) site=(\S+)(?: \[([^\]\s]+)\])?`)
	requestLine = regexp.MustCompile(`^.*-(\d+)\s+\[\d+\].*: module_request: (.*) wait=\d call_site=`)
	probeSymbol = regexp.MustCompile(`^([^+]+)(\+0x[0-9a-f]+)/0x[0-9a-f]+$`)
)

// parseSites reads the text of tracefs: the call site of a request, and after it, by the same
// thread, the name of the module. What a security module refuses has no name there.
func parseSites(text string) (sites []requestSite, err error) {
	last := make(map[string]requestSite)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		probe, request := probeLine.FindStringSubmatch(line), requestLine.FindStringSubmatch(line)
		switch {
		case strings.Contains(line, "LOST"):
			err = errors.Join(err, fmt.Errorf("the kernel's own trace lost events: %q", line))
		case probe != nil:
			site := requestSite{module: probe[3]}
			if symbol := probeSymbol.FindStringSubmatch(probe[2]); symbol != nil {
				site.function, site.offset = symbol[1], symbol[2]
			}
			last[probe[1]] = site
		case request != nil:
			site, ok := last[request[1]]
			if !ok {
				err = errors.Join(err, fmt.Errorf("a request without a call site in the kernel's own trace: %q", line))
			}
			delete(last, request[1])
			site.tid, _ = strconv.Atoi(request[1])
			site.name = request[2]
			sites = append(sites, site)
		case line != "":
			err = errors.Join(err, fmt.Errorf("a line of the kernel's own trace that this test cannot read: %q", line))
		}
	}
	return sites, err
}

// symbolText reads function+offset [module], and, before 5.13, [module]+offset.
var symbolText = regexp.MustCompile(`^(?:([^\s\[\]+]+)(\+0x[0-9a-f]+)(?: \[(\S+)\])?|\[(\S+)\](?:\.init)?\+0x[0-9a-f]+)$`)

// judgeSites compares where requests were made, as watch says it, with what the kernel printed.
func judgeSites(sites []requestSite, actions []modprobeAction) (problems []string) {
	type key struct {
		tid  int
		name string
	}
	of := make(map[key][]requestSite)
	for _, s := range sites {
		k := key{s.tid, s.name}
		of[k] = append(of[k], s)
	}
	for _, a := range actions {
		if a.Request == nil || a.Request.Refused || a.Request.Denied {
			continue
		}
		say := func(what string) { problems = append(problems, what+": "+a.line) }
		k := key{a.Thread.Tid, a.Request.Name}
		if len(of[k]) == 0 {
			say("the kernel's own trace does not have this request")
			continue
		}
		site := of[k][0]
		of[k] = of[k][1:]
		if site.function == "" {
			continue // the kernel does not know it either
		}
		found := symbolText.FindStringSubmatch(a.Request.Symbol)
		kernels := fmt.Sprintf("%s%s [%s]", site.function, site.offset, site.module)
		switch {
		case a.Request.Symbol == "":
			say("no call site, where the kernel has " + kernels)
		case found == nil:
			say("a call site that this test cannot read")
		case found[4] != "" && found[4] != site.module,
			found[4] == "" && (found[1] != site.function || found[2] != site.offset || found[3] != site.module):
			say("another call site than the kernel's " + kernels)
		}
	}
	for k, left := range of {
		if len(left) > 0 { // also of those that no security module refused, and that failed before a helper
			problems = append(problems, fmt.Sprintf("watch lacks %d requests of %q by thread %d", len(left), k.name, k.tid))
		}
	}
	return problems
}

// judgeLoaded follows the actions from the modules that were loaded before to those that are now.
func judgeLoaded(before, now []string, actions []modprobeAction) (problems []string) {
	loaded := make(map[string]bool)
	for _, name := range before {
		loaded[name] = true
	}
	for _, a := range actions {
		switch a.Outcome {
		case "live":
			loaded[a.Module] = true
		case "unloaded":
			if !loaded[a.Module] {
				problems = append(problems, "unloaded, and was not loaded: "+a.line)
			}
			delete(loaded, a.Module)
		}
	}
	for _, name := range now {
		if !loaded[name] {
			problems = append(problems, "the kernel has "+name+", and watch lacks its load")
		}
		delete(loaded, name)
	}
	for _, name := range slices.Sorted(maps.Keys(loaded)) {
		problems = append(problems, "watch has the load of "+name+", and the kernel lacks it")
	}
	return problems
}

// TestJudgeModules: the judge of TestModules finds each difference.
func TestWithEnds(t *testing.T) {
	const notice = `{"action":"load","id":"5","outcome":"pending","preliminary":true,"cause":{"code":"init-running"}}`
	const end = `{"action":"load","id":"5","outcome":"live"}`
	for name, c := range map[string]struct {
		lines           []string
		ended, problems int
	}{
		"none":           {[]string{end}, 1, 0},
		"and its end":    {[]string{notice, end}, 1, 0},
		"no end":         {[]string{notice}, 0, 1},
		"another's end":  {[]string{notice, strings.Replace(end, "5", "6", 1)}, 1, 1},
		"after its end":  {[]string{end, notice}, 1, 1},
		"without a word": {[]string{strings.Replace(notice, "init-running", "unknown", 1), end}, 1, 1},
		"of another end": {[]string{strings.Replace(notice, `"pending"`, `"live"`, 1), end}, 1, 1},
	} {
		var actions []modprobeAction
		for _, line := range c.lines {
			actions = append(actions, readAction(t, []byte(line)))
		}
		if ended, problems := withEnds(actions); len(ended) != c.ended || len(problems) != c.problems {
			t.Errorf("%s: %d ended, %q", name, len(ended), problems)
		}
	}
}

func TestJudgeModules(t *testing.T) {
	action := func(text string) modprobeAction { return readAction(t, []byte(text)) }
	const (
		live     = `{"action":"load","module":"m","outcome":"live","thread":{"pid":7,"tid":7}}`
		unloaded = `{"action":"unload","module":"m","outcome":"unloaded","thread":{"pid":7,"tid":7}}`
		nodev    = `{"action":"load","module":"m","outcome":"failed","errno":19,"cause":{"code":"init-refused"},"thread":{"pid":7,"tid":7}}`
		request  = `{"action":"request","module":"r","outcome":"answered","thread":{"pid":7,"tid":8},"request":{"name":"r","wait":true,"symbol":"f+0x1 [m]"}}`
		refused  = "modprobe: ERROR: could not insert 'm': No such device\n"
		trace    = `modprobe-8 [000] ..... 1.5: request: (__request_module+0x0/0x9) site=f+0x1/0x9 [m]` + "\n" +
			`modprobe-8 [000] ..... 1.5: module_request: r wait=1 call_site=arch_rethook_trampoline` + "\n"
	)
	load, remove := modprobeTry{module: "m", pid: 7}, modprobeTry{module: "m", pid: 7, remove: true, loaded: true}
	failed := func(try modprobeTry, said string) modprobeTry { try.status, try.said = 1, said; return try }
	for name, c := range map[string]struct {
		try     modprobeTry
		actions []string
		trace   string
		before  []string
		now     []string
		want    int // problems
	}{
		"a load":                     {try: load, actions: []string{live}, now: []string{"m"}},
		"no action":                  {try: load, now: []string{"m"}, want: 2},
		"a load twice":               {try: load, actions: []string{live, live}, now: []string{"m"}, want: 1},
		"of another process":         {try: load, actions: []string{strings.Replace(live, `"pid":7`, `"pid":9`, 1)}, now: []string{"m"}, want: 1},
		"not in the kernel":          {try: load, actions: []string{live}, want: 1},
		"a refusal":                  {try: failed(load, refused), actions: []string{nodev}},
		"a refusal that was live":    {try: failed(load, refused), actions: []string{live}, now: []string{"m"}, want: 1},
		"another errno":              {try: failed(load, refused), actions: []string{strings.Replace(nodev, "19", "17", 1)}, want: 1},
		"a success that failed":      {try: load, actions: []string{nodev}, want: 1},
		"an unknown message":         {try: failed(load, "x"), actions: []string{nodev}, want: 1},
		"no cause":                   {try: failed(load, refused), actions: []string{strings.Replace(nodev, "init-refused", "unknown", 1)}, want: 1},
		"a cause of a success":       {try: load, actions: []string{strings.Replace(live, `"thread"`, `"cause":{"code":"x"},"thread"`, 1)}, now: []string{"m"}, want: 1},
		"lost events":                {try: load, actions: []string{strings.Replace(live, `"thread"`, `"lost":1,"thread"`, 1)}, now: []string{"m"}, want: 1},
		"a lost end":                 {try: load, actions: []string{strings.Replace(live, `"thread"`, `"end_lost":true,"thread"`, 1)}, now: []string{"m"}, want: 1},
		"not looked up":              {try: load, actions: []string{strings.Replace(live, `"thread"`, `"not_looked_up":"x","thread"`, 1)}, now: []string{"m"}, want: 1},
		"pending":                    {try: failed(load, refused), actions: []string{nodev, strings.Replace(nodev, `failed","errno":19`, `pending"`, 1)}, want: 1},
		"an unload":                  {try: remove, actions: []string{unloaded}, before: []string{"m"}},
		"in use":                     {try: failed(remove, "modprobe: FATAL: Module m is in use."), before: []string{"m"}, now: []string{"m"}},
		"in use, and unloaded":       {try: failed(remove, "modprobe: FATAL: Module m is in use."), actions: []string{unloaded}, before: []string{"m"}, want: 1},
		"an unload of another":       {try: remove, actions: []string{unloaded}, want: 1},
		"a request":                  {try: load, actions: []string{request, live}, trace: trace, now: []string{"m"}},
		"another call site":          {try: load, actions: []string{strings.Replace(request, "f+", "g+", 1), live}, trace: trace, now: []string{"m"}, want: 1},
		"another offset":             {try: load, actions: []string{strings.Replace(request, "0x1", "0x2", 1), live}, trace: trace, now: []string{"m"}, want: 1},
		"another module's call site": {try: load, actions: []string{strings.Replace(request, "[m]", "[n]", 1), live}, trace: trace, now: []string{"m"}, want: 1},
		"no call site":               {try: load, actions: []string{strings.Replace(request, "f+0x1 [m]", "", 1), live}, trace: trace, now: []string{"m"}, want: 1},
		"a request that lacks":       {try: load, actions: []string{live}, trace: trace, now: []string{"m"}, want: 1},
		"a request too many":         {try: load, actions: []string{request, live}, now: []string{"m"}, want: 1},
		"a trace that lost events":   {try: load, actions: []string{live}, trace: "CPU:0 [LOST 3 EVENTS]\n", now: []string{"m"}, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var actions []modprobeAction
			for _, text := range c.actions {
				actions = append(actions, action(text))
			}
			sites, err := parseSites(c.trace)
			problems := slices.Concat(
				judgeActions(actions), judgeTries([]modprobeTry{c.try}, actions),
				judgeSites(sites, actions), judgeLoaded(c.before, c.now, actions),
			)
			if err != nil {
				problems = append(problems, err.Error())
			}
			if len(problems) != c.want {
				t.Errorf("%d problems, want %d:\n%s", len(problems), c.want, strings.Join(problems, "\n"))
			}
		})
	}
}
