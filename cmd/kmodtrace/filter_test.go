package main

import (
	"errors"
	"strings"
	"testing"

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
		"module":               {filterFlags{modules: []string{"snd_*"}}, a, true},
		"dash for underscore":  {filterFlags{modules: []string{"snd-hda-intel"}}, a, true},
		"range keeps its dash": {filterFlags{modules: []string{"[a-z]nd*"}}, a, true},
		"other module":         {filterFlags{modules: []string{"snd"}}, a, false},
		"one of two modules":   {filterFlags{modules: []string{"xfs", "snd?hda*"}}, a, true},
		"all must agree":       {filterFlags{modules: []string{"snd*"}, actions: []string{"unload"}}, a, false},
		"action":               {filterFlags{actions: []string{"unload", "load"}}, a, true},
		"outcome":              {filterFlags{outcomes: []string{"failed"}}, a, true},
		"other outcome":        {filterFlags{outcomes: []string{"live", "pending"}}, a, false},
		"process":              {filterFlags{pids: []string{"10"}}, a, true},
		"thread":               {filterFlags{pids: []string{"11"}}, a, true},
		"other process":        {filterFlags{pids: []string{"12"}}, a, false},
		"user by number":       {filterFlags{uids: []string{"0"}}, a, true},
		"user by name":         {filterFlags{uids: []string{"root"}}, a, true},
		"other user":           {filterFlags{uids: []string{"4294967295"}}, a, false},
		"comm":                 {filterFlags{comms: []string{"mod*"}}, a, true},
		"comm keeps its dash":  {filterFlags{comms: []string{"mod-probe"}}, a, false},
		"alias with a slash":   {filterFlags{modules: []string{"pci:*"}}, request, true},
		"unnamed module":       {filterFlags{modules: []string{"?*"}}, tracer.Action{}, false},
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

func TestFilterRefuses(t *testing.T) {
	for name, flags := range map[string]filterFlags{
		"bad glob":      {modules: []string{"[x"}},
		"empty glob":    {modules: []string{""}},
		"bad comm":      {comms: []string{`\`}},
		"no action":     {actions: []string{"reload"}},
		"no outcome":    {outcomes: []string{"Live"}},
		"pid 0":         {pids: []string{"0"}},
		"negative pid":  {pids: []string{"-1"}},
		"huge pid":      {pids: []string{"4294967296"}},
		"no such user":  {uids: []string{"no such user"}},
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
