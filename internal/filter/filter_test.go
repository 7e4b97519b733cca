package filter

import (
	"errors"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/tracer"
)

func TestFilter(t *testing.T) {
	a := tracer.Action{
		Kind: tracer.Load, Module: "snd_hda_intel", Outcome: tracer.Failed,
		Thread: tracer.Thread{PID: 10, TID: 11, UID: 0, Comm: "modprobe"},
	}
	request := tracer.Action{Kind: tracer.Autoload, Module: "pci:v00008086d/x*-y", Outcome: tracer.Answered}
	for name, test := range map[string]struct {
		flags  Flags
		action tracer.Action
		want   bool
	}{
		"nothing asked":        {Flags{}, a, true},
		"module":               {Flags{ActionFlags: ActionFlags{modules: []string{"snd_*"}}}, a, true},
		"dash for underscore":  {Flags{ActionFlags: ActionFlags{modules: []string{"snd-hda-intel"}}}, a, true},
		"range keeps its dash": {Flags{ActionFlags: ActionFlags{modules: []string{"[a-z]nd*"}}}, a, true},
		"other module":         {Flags{ActionFlags: ActionFlags{modules: []string{"snd"}}}, a, false},
		"one of two modules":   {Flags{ActionFlags: ActionFlags{modules: []string{"xfs", "snd?hda*"}}}, a, true},
		"all must agree":       {Flags{ActionFlags: ActionFlags{modules: []string{"snd*"}, actions: []string{"unload"}}}, a, false},
		"action":               {Flags{ActionFlags: ActionFlags{actions: []string{"unload", "load"}}}, a, true},
		"outcome":              {Flags{ActionFlags: ActionFlags{outcomes: []string{"failed"}}}, a, true},
		"other outcome":        {Flags{ActionFlags: ActionFlags{outcomes: []string{"live", "pending"}}}, a, false},
		"process":              {Flags{pids: []string{"10"}}, a, true},
		"thread":               {Flags{pids: []string{"11"}}, a, true},
		"other process":        {Flags{pids: []string{"12"}}, a, false},
		"user by number":       {Flags{uids: []string{"0"}}, a, true},
		"user by name":         {Flags{uids: []string{"root"}}, a, true},
		"other user":           {Flags{uids: []string{"4294967295"}}, a, false},
		"comm":                 {Flags{comms: []string{"mod*"}}, a, true},
		"comm keeps its dash":  {Flags{comms: []string{"mod-probe"}}, a, false},
		"alias with a slash":   {Flags{ActionFlags: ActionFlags{modules: []string{"pci:*"}}}, request, true},
		"unnamed module":       {Flags{ActionFlags: ActionFlags{modules: []string{"?*"}}}, tracer.Action{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := test.flags.Parse()
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Action(&test.action); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// TestFilterWho: who did it, and who needed it, can be asked for; one of the two must
// be all that is asked.
func TestFilterWho(t *testing.T) {
	load, request := sample.Requested()
	load.Requester.Actor.Cgroup = tracer.Cgroup{Unit: "session-3.scope", Container: &tracer.Container{Runtime: "docker", ID: "0123abcd"}}
	load.Requester.Thread = tracer.Thread{PID: 13, TID: 13, UID: 1, Comm: "ip"}
	load.Actor.Cgroup.Unit = "cron.service"
	direct := sample.Loaded()
	direct.Actor = sample.LoggedIn("insmod", 13)
	unknown := sample.Loaded()
	for name, test := range map[string]struct {
		flags                          Flags
		load, request, direct, unknown bool
	}{
		"login":            {Flags{logins: []string{"1"}}, true, true, true, false},
		"other login":      {Flags{logins: []string{"0"}}, false, false, false, false},
		"container":        {Flags{containers: []string{"0123"}}, true, false, false, false},
		"container's end":  {Flags{containers: []string{"abcd"}}, false, false, false, false},
		"runtime":          {Flags{containers: []string{"docker"}}, true, false, false, false},
		"any container":    {Flags{containers: []string{"any"}}, true, false, false, false},
		"unit":             {Flags{units: []string{"session-*.scope"}}, true, false, false, false},
		"helper's unit":    {Flags{units: []string{"cron.service"}}, true, false, false, false},
		"of two processes": {Flags{units: []string{"cron.service"}, logins: []string{"1"}}, false, false, false, false},
		"of one":           {Flags{units: []string{"session-3.scope"}, logins: []string{"1"}}, true, false, false, false},
		"ancestor":         {Flags{ancestors: []string{"ssh?"}}, true, true, true, false},
		"itself":           {Flags{ancestors: []string{"insmod"}}, false, false, true, false},
		"ancestor's id":    {Flags{ancestors: []string{"11"}}, true, true, true, false},
		"helper's":         {Flags{ancestors: []string{"kworker*"}}, true, false, false, false},
		"requester":        {Flags{requesters: []string{"ip"}}, true, true, false, false},
		"its id":           {Flags{requesters: []string{"13"}}, true, true, false, false},
		"one who waits":    {Flags{requesters: []string{"14"}}, true, false, false, false},
		"autoloaded":       {Flags{autoloaded: "yes"}, true, false, false, false},
		"not autoloaded":   {Flags{autoloaded: "no"}, false, true, true, true},
		"requester's user": {Flags{uids: []string{"1"}, comms: []string{"ip"}}, true, false, false, false},
	} {
		f, err := test.flags.Parse()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for what, a := range map[string]struct {
			action tracer.Action
			want   bool
		}{"load": {load.Action, test.load}, "request": {request.Action, test.request}, "direct": {direct.Action, test.direct}, "unknown": {unknown.Action, test.unknown}} {
			if got := f.Action(&a.action); got != a.want {
				t.Errorf("%s, %s: %t", name, what, got)
			}
		}
	}
}

// TestFilterCreators: who had a kernel thread made can be asked for as the one who needs what
// the thread asks for.
func TestFilterCreators(t *testing.T) {
	load, request := sample.Requested()
	thread := &tracer.Actor{Process: sample.Process("cryptomgr_probe", 77, 0), StartedBy: sample.LoggedIn("trig", 13)}
	thread.KernelThread, thread.StartedBy.UID, thread.StartedBy.Cgroup.Unit = true, 1, "session-3.scope"
	load.Requester.Actor, request.Actor, load.AwaitedBy = thread, thread, nil
	for name, test := range map[string]struct {
		flags Flags
		want  bool
	}{
		"requester":       {Flags{requesters: []string{"trig"}}, true},
		"its id":          {Flags{requesters: []string{"13"}}, true},
		"the thread":      {Flags{requesters: []string{"cryptomgr_*"}}, true},
		"another":         {Flags{requesters: []string{"ip"}}, false},
		"ancestor":        {Flags{ancestors: []string{"sshd"}}, true},
		"login":           {Flags{logins: []string{"1"}}, true},
		"unit":            {Flags{units: []string{"session-*.scope"}}, true},
		"unit and thread": {Flags{units: []string{"session-*.scope"}, ancestors: []string{"cryptomgr_probe"}}, false},
		"user and name":   {Flags{uids: []string{"1"}, comms: []string{"trig"}}, true},
		"user of thread":  {Flags{uids: []string{"1"}, comms: []string{"cryptomgr_probe"}}, false},
		"pid":             {Flags{pids: []string{"13"}}, true},
	} {
		f, err := test.flags.Parse()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for what, a := range map[string]*tracer.Action{"load": &load.Action, "request": &request.Action} {
			if got := f.Action(a); got != test.want {
				t.Errorf("%s, %s: %t", name, what, got)
			}
		}
	}
}

func TestFilterRefuses(t *testing.T) {
	for name, flags := range map[string]Flags{
		"bad glob":      {ActionFlags: ActionFlags{modules: []string{"[x"}}},
		"empty glob":    {ActionFlags: ActionFlags{modules: []string{""}}},
		"bad comm":      {comms: []string{`\`}},
		"no action":     {ActionFlags: ActionFlags{actions: []string{"reload"}}},
		"no outcome":    {ActionFlags: ActionFlags{outcomes: []string{"Live"}}},
		"pid 0":         {pids: []string{"0"}},
		"negative pid":  {pids: []string{"-1"}},
		"huge pid":      {pids: []string{"4294967296"}},
		"no such user":  {uids: []string{"no such user"}},
		"no such login": {logins: []string{""}},
		"no container":  {containers: []string{""}},
		"bad unit":      {units: []string{"[a"}},
		"no ancestor":   {ancestors: []string{""}},
		"no requester":  {requesters: []string{""}},
		"perhaps":       {autoloaded: "perhaps"},
		"control bytes": {uids: []string{"\x1b[2J" + strings.Repeat("x", 5000)}},
	} {
		_, err := flags.Parse()
		var usage *cli.UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%s: %T, %v", name, err, err)
			continue
		}
		if text := err.Error(); len(text) > 300 || strings.ContainsAny(text, "\x1b\n") {
			t.Errorf("%s: not one clear line: %q", name, text)
		}
	}
}
