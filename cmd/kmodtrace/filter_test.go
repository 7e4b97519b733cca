package main

import (
	"errors"
	"strings"
	"testing"

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
		flags  filterFlags
		action tracer.Action
		want   bool
	}{
		"nothing asked":        {filterFlags{}, a, true},
		"module":               {filterFlags{actionFlags: actionFlags{modules: []string{"snd_*"}}}, a, true},
		"dash for underscore":  {filterFlags{actionFlags: actionFlags{modules: []string{"snd-hda-intel"}}}, a, true},
		"range keeps its dash": {filterFlags{actionFlags: actionFlags{modules: []string{"[a-z]nd*"}}}, a, true},
		"other module":         {filterFlags{actionFlags: actionFlags{modules: []string{"snd"}}}, a, false},
		"one of two modules":   {filterFlags{actionFlags: actionFlags{modules: []string{"xfs", "snd?hda*"}}}, a, true},
		"all must agree":       {filterFlags{actionFlags: actionFlags{modules: []string{"snd*"}, actions: []string{"unload"}}}, a, false},
		"action":               {filterFlags{actionFlags: actionFlags{actions: []string{"unload", "load"}}}, a, true},
		"outcome":              {filterFlags{actionFlags: actionFlags{outcomes: []string{"failed"}}}, a, true},
		"other outcome":        {filterFlags{actionFlags: actionFlags{outcomes: []string{"live", "pending"}}}, a, false},
		"process":              {filterFlags{pids: []string{"10"}}, a, true},
		"thread":               {filterFlags{pids: []string{"11"}}, a, true},
		"other process":        {filterFlags{pids: []string{"12"}}, a, false},
		"user by number":       {filterFlags{uids: []string{"0"}}, a, true},
		"user by name":         {filterFlags{uids: []string{"root"}}, a, true},
		"other user":           {filterFlags{uids: []string{"4294967295"}}, a, false},
		"comm":                 {filterFlags{comms: []string{"mod*"}}, a, true},
		"comm keeps its dash":  {filterFlags{comms: []string{"mod-probe"}}, a, false},
		"alias with a slash":   {filterFlags{actionFlags: actionFlags{modules: []string{"pci:*"}}}, request, true},
		"unnamed module":       {filterFlags{actionFlags: actionFlags{modules: []string{"?*"}}}, tracer.Action{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := test.flags.parse()
			if err != nil {
				t.Fatal(err)
			}
			if got := f.action(&test.action); got != test.want {
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
		flags                          filterFlags
		load, request, direct, unknown bool
	}{
		"login":            {filterFlags{logins: []string{"1"}}, true, true, true, false},
		"other login":      {filterFlags{logins: []string{"0"}}, false, false, false, false},
		"container":        {filterFlags{containers: []string{"0123"}}, true, false, false, false},
		"container's end":  {filterFlags{containers: []string{"abcd"}}, false, false, false, false},
		"runtime":          {filterFlags{containers: []string{"docker"}}, true, false, false, false},
		"any container":    {filterFlags{containers: []string{"any"}}, true, false, false, false},
		"unit":             {filterFlags{units: []string{"session-*.scope"}}, true, false, false, false},
		"helper's unit":    {filterFlags{units: []string{"cron.service"}}, true, false, false, false},
		"of two processes": {filterFlags{units: []string{"cron.service"}, logins: []string{"1"}}, false, false, false, false},
		"of one":           {filterFlags{units: []string{"session-3.scope"}, logins: []string{"1"}}, true, false, false, false},
		"ancestor":         {filterFlags{ancestors: []string{"ssh?"}}, true, true, true, false},
		"itself":           {filterFlags{ancestors: []string{"insmod"}}, false, false, true, false},
		"ancestor's id":    {filterFlags{ancestors: []string{"11"}}, true, true, true, false},
		"helper's":         {filterFlags{ancestors: []string{"kworker*"}}, true, false, false, false},
		"requester":        {filterFlags{requesters: []string{"ip"}}, true, true, false, false},
		"its id":           {filterFlags{requesters: []string{"13"}}, true, true, false, false},
		"one who waits":    {filterFlags{requesters: []string{"14"}}, true, false, false, false},
		"autoloaded":       {filterFlags{autoloaded: "yes"}, true, false, false, false},
		"not autoloaded":   {filterFlags{autoloaded: "no"}, false, true, true, true},
		"requester's user": {filterFlags{uids: []string{"1"}, comms: []string{"ip"}}, true, false, false, false},
	} {
		f, err := test.flags.parse()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for what, a := range map[string]struct {
			action tracer.Action
			want   bool
		}{"load": {load.Action, test.load}, "request": {request.Action, test.request}, "direct": {direct.Action, test.direct}, "unknown": {unknown.Action, test.unknown}} {
			if got := f.action(&a.action); got != a.want {
				t.Errorf("%s, %s: %t", name, what, got)
			}
		}
	}
}

func TestFilterRefuses(t *testing.T) {
	for name, flags := range map[string]filterFlags{
		"bad glob":      {actionFlags: actionFlags{modules: []string{"[x"}}},
		"empty glob":    {actionFlags: actionFlags{modules: []string{""}}},
		"bad comm":      {comms: []string{`\`}},
		"no action":     {actionFlags: actionFlags{actions: []string{"reload"}}},
		"no outcome":    {actionFlags: actionFlags{outcomes: []string{"Live"}}},
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
		_, err := flags.parse()
		if statusOf(err) != exitUsage {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text := err.Error(); len(text) > 300 || strings.ContainsAny(text, "\x1b\n") {
			t.Errorf("%s: not one clear line: %q", name, text)
		}
		var e *exitError
		if !errors.As(err, &e) {
			t.Errorf("%s: %T", name, err)
		}
	}
}
