package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// kernelTime is since boot: the machine never sleeps.
type kernelTime = time.Duration

// These read what the contenders say, as one who uses them would: which loads and
// unloads there were, of what, and whether they failed.

// watched is what matters here of an action in kmodtrace's JSON.
type watched struct {
	Action      string      `json:"action"`
	Module      string      `json:"module"`
	ModuleFrom  string      `json:"module_from"`
	Outcome     string      `json:"outcome"`
	Preliminary bool        `json:"preliminary"`
	End         nanoseconds `json:"end_boottime_ns"`
}

// nanoseconds are a string, and were a number in earlier revisions.
type nanoseconds time.Duration

func (n *nanoseconds) UnmarshalJSON(text []byte) error {
	number, err := strconv.ParseInt(strings.Trim(string(text), `"`), 10, 64)
	*n = nanoseconds(number)
	return err
}

func kmodtraceClaims(text []byte) deeds {
	all := make(deeds)
	for line := range bytes.Lines(text) {
		var a watched
		if json.Unmarshal(line, &a) != nil || a.Action != load && a.Action != unload || a.Outcome == "pending" || a.Preliminary {
			continue
		}
		all[deed{a.Action, a.Module, a.Outcome == "failed"}]++
	}
	return all
}

func kmodtraceEvent(line []byte) (kernelTime, bool) {
	var a watched
	err := json.Unmarshal(line, &a)
	return kernelTime(a.End), err == nil && a.Action == load && !a.Preliminary
}

var gave = regexp.MustCompile(`__x64_sys_(finit|init|delete)_module gave (-?\d+) at (\d+)`)

// bpftraceClaims knows no names: the system call's return has only a number.
func bpftraceClaims(text []byte) deeds {
	all := make(deeds)
	for line := range bytes.Lines(text) {
		if m := gave.FindSubmatch(line); m != nil {
			action := load
			if string(m[1]) == "delete" {
				action = unload
			}
			all[deed{action, "", m[2][0] == '-'}]++
		}
	}
	return all
}

func bpftraceEvent(line []byte) (kernelTime, bool) {
	m := gave.FindSubmatch(line)
	if m == nil || string(m[1]) == "delete" {
		return 0, false
	}
	ns, err := strconv.ParseInt(string(m[3]), 10, 64)
	return kernelTime(ns), err == nil
}

var moduleEvent = regexp.MustCompile(`\bmodule_(load|free): +(\S+)`)

// tracepointClaims takes module_load for a load and module_free for an unload, which is
// all that the tracepoints tell.
func tracepointClaims(text []byte) deeds {
	all := make(deeds)
	for line := range bytes.Lines(text) {
		if m := moduleEvent.FindSubmatch(line); m != nil {
			action := load
			if string(m[1]) == "free" {
				action = unload
			}
			all[deed{action, string(m[2]), false}]++
		}
	}
	return all
}

var (
	auditRecord = regexp.MustCompile(`^type=(\S+) msg=audit\((\d+)\.(\d+):(\d+)\): (.*)`)
	auditCall   = regexp.MustCompile(`\bsyscall=(\d+) success=(yes|no)\b`)
	auditName   = regexp.MustCompile(`\bname="([^"]*)"`)
)

// auditCalls are amd64's numbers of the system calls.
var auditCalls = map[string]string{"175": load, "313": load, "176": unload}

// auditClaims joins the records of each event: SYSCALL has the result, and KERN_MODULE
// the name, where the kernel got so far.
func auditClaims(text []byte) deeds {
	all, events := make(deeds), make(map[string]*deed)
	for line := range strings.Lines(string(text)) {
		m := auditRecord.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		id := m[4]
		if events[id] == nil {
			events[id] = new(deed)
		}
		switch m[1] {
		case "SYSCALL":
			if call := auditCall.FindStringSubmatch(m[5]); call != nil && strings.Contains(m[5], `key="modules"`) {
				events[id].action, events[id].failed = auditCalls[call[1]], call[2] == "no"
			}
		case "KERN_MODULE":
			if name := auditName.FindStringSubmatch(m[5]); name != nil {
				events[id].module = name[1]
			}
		}
	}
	for _, e := range events {
		if e.action != "" {
			all[*e]++
		}
	}
	return all
}

// auditEvent's time is of the machine's clock, in milliseconds; see [boot].
func auditEvent(line []byte) (kernelTime, bool) {
	m := auditRecord.FindSubmatch(line)
	if m == nil || string(m[1]) != "SYSCALL" {
		return 0, false
	}
	call := auditCall.FindSubmatch(m[5])
	seconds, err1 := strconv.ParseInt(string(m[2]), 10, 64)
	ms, err2 := strconv.ParseInt(string(m[3]), 10, 64)
	if call == nil || auditCalls[string(call[1])] != load || err1 != nil || err2 != nil {
		return 0, false
	}
	return sinceBoot(time.Unix(seconds, ms*int64(time.Millisecond))), true
}

// verdict is what a contender's claims are worth.
type verdict struct {
	done, lost, invented, wrong int
}

// judge compares what was done with what was claimed. Deeds are told apart by their
// action and module; wrong are those whose outcome is another. A contender that knows
// no names is not blamed for that, nor is one that names what has none.
func judge(did, claimed deeds) verdict {
	named := false
	for c := range claimed {
		named = named || c.module != "" && c.module != noSuch
	}
	modules := make(map[string]bool)
	for d := range did {
		modules[d.module] = named
	}
	type kind struct{ action, module string }
	type counts struct{ did, claimed [2]int } // by whether they failed
	kinds := make(map[kind]*counts)
	count := func(d deed, n int, into func(*counts) *[2]int) {
		k := kind{action: d.action}
		if modules[d.module] {
			k.module = d.module
		}
		if kinds[k] == nil {
			kinds[k] = new(counts)
		}
		failed := 0
		if d.failed {
			failed = 1
		}
		into(kinds[k])[failed] += n
	}
	for d, n := range did {
		count(d, n, func(c *counts) *[2]int { return &c.did })
	}
	for d, n := range claimed {
		count(d, n, func(c *counts) *[2]int { return &c.claimed })
	}
	var v verdict
	for _, c := range kinds {
		did, claimed := c.did[0]+c.did[1], c.claimed[0]+c.claimed[1]
		same := min(c.did[0], c.claimed[0]) + min(c.did[1], c.claimed[1])
		v.done += did
		v.lost += max(did-claimed, 0)
		v.invented += max(claimed-did, 0)
		v.wrong += min(did, claimed) - same
	}
	return v
}
