package rule

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/cel-go/cel"

	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Set is rules that can be used, and the watch-list that they ask.
type Set struct {
	rules []*program
	watch []*Watched
}

// Watch gives the watch-list: the entries of files first, and then those that are built in.
func (s *Set) Watch() []*Watched { return slices.Clone(s.watch) }

// Equal tells whether two sets find the same.
func (s *Set) Equal(other *Set) bool {
	return slices.EqualFunc(s.rules, other.rules, func(a, b *program) bool { return reflect.DeepEqual(a.Rule, b.Rule) }) &&
		slices.EqualFunc(s.watch, other.watch, func(a, b *Watched) bool { return *a == *b })
}

// Without gives the same rules, but for some. An id that no rule has is an error.
func (s *Set) Without(ids ...string) (*Set, error) {
	for _, id := range ids {
		if s.Rule(id) == nil {
			return nil, fmt.Errorf("there is no rule %q", id)
		}
	}
	return &Set{watch: s.watch, rules: slices.DeleteFunc(slices.Clone(s.rules), func(p *program) bool { return slices.Contains(ids, p.ID) })}, nil
}

// Rules gives them, in their order.
func (s *Set) Rules() []*Rule {
	all := make([]*Rule, len(s.rules))
	for i, p := range s.rules {
		all[i] = p.Rule
	}
	return all
}

// Rule gives one by its id; nil where there is none.
func (s *Set) Rule(id string) *Rule {
	for _, p := range s.rules {
		if p.ID == id {
			return p.Rule
		}
	}
	return nil
}

// Finding says that a rule's condition holds of a record. As JSON it is what
// docs/schema/finding.schema.json describes.
type Finding struct {
	Rule     string   `json:"rule"`
	Version  int      `json:"version"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"` // the rule's
	// Text is what the rule says of this record.
	Text string `json:"text"`
	// Subject is what it is about.
	Subject string `json:"subject"`
	// Time, Action, Module and Outcome are the record's. A check has the time at which it found
	// something, the module where it is about one, and no action.
	Time    time.Time         `json:"time,omitzero"`
	Action  tracer.ActionKind `json:"action,omitzero"`
	Module  string            `json:"module,omitempty"`
	Outcome tracer.Outcome    `json:"outcome,omitzero"`
	// ID is that of the record's action, with the time at which it began since boot.
	ID    tracer.ID     `json:"id,omitzero"`
	Start time.Duration `json:"start_boottime_ns,omitzero,string"`
	// Attack are techniques of MITRE ATT&CK.
	Attack []string `json:"attack,omitempty"`
	// Evidence are the fields that show it, by their names. What the record does not have is left out.
	Evidence map[string]string `json:"evidence,omitempty"`
	// Before counts the findings of this rule on this subject that were not given since the last one
	// that was.
	Before int `json:"before,omitempty"`
	// Record is the id of the journal's record of the action; empty outside of a journal.
	Record string `json:"record,omitempty"`
}

// The bounds of a finding's texts, in bytes: what is in them may come from anybody.
const (
	maxText  = 2048
	maxFact  = 512
	cutShort = "…"
)

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(cutShort)], "") + cutShort
}

// Window is how long further findings of a rule on a subject are only counted.
const Window = time.Hour

// Findings looks for what its rules find in records, which come in their order. It is for one
// goroutine.
type Findings struct {
	rules   []*program
	read    fields
	watch   []*Watched
	memory  []*memory
	stopped []bool
	given   map[subject]*givenAt
}

type subject struct {
	rule int
	text string
}

// givenAt is the last finding on a subject, and how many there were since.
type givenAt struct {
	time time.Time
	more int
}

// maxSubjects bounds the subjects that are remembered.
const maxSubjects = 16384

// Begin returns Findings that remember nothing.
func (s *Set) Begin() *Findings {
	f := &Findings{rules: s.rules, watch: s.watch, given: make(map[subject]*givenAt), stopped: make([]bool, len(s.rules))}
	for _, p := range s.rules {
		f.read.of = p.fields.record
		f.memory = append(f.memory, &memory{seen: make(map[string]bool), counts: make(map[string][]time.Duration)})
	}
	return f
}

// Add looks at the next record. An error says that a rule was stopped, because it takes too much; the
// others go on. One that is given before its end is passed over: it comes again.
func (f *Findings) Add(r *record.Record) (found []Finding, stopped error) {
	if r.Preliminary {
		return nil, nil
	}
	now := timeOf(r)
	f.read.begin(r)
	for i, p := range f.rules {
		if f.stopped[i] || p.Check {
			continue
		}
		if !p.guard.pass(&f.read) {
			continue
		}
		vars := &variables{r, &moment{f.memory[i], time.Duration(now.UnixNano()), f.watch}}
		holds, err := p.holds(vars)
		if err != nil {
			f.stopped[i] = true
			stopped = cmp.Or(stopped, err)
			continue
		}
		if !holds {
			continue
		}
		if finding, ok := f.give(i, p, r, vars, now); ok {
			found = append(found, finding)
		}
	}
	return found, stopped
}

// timeOf is the record's on the wall clock; since boot where it has none.
func timeOf(r *record.Record) time.Time {
	if r.Time.IsZero() {
		return time.Unix(0, 0).Add(r.Start)
	}
	return r.Time
}

// give makes a finding, unless it is one of many.
func (f *Findings) give(i int, p *program, r *record.Record, vars cel.Activation, now time.Time) (Finding, bool) {
	about := unknown
	if v, _, err := p.subject.Eval(vars); err == nil {
		about = cut(inWords(v), maxFact)
	}
	key := subject{i, about}
	before := 0
	if last := f.given[key]; last != nil {
		// A clock that was set back must not keep findings back.
		if since := now.Sub(last.time); since >= 0 && since < Window {
			last.more++
			return Finding{}, false
		}
		before = last.more
	}
	if len(f.given) >= maxSubjects {
		f.forget(now)
	}
	f.given[key] = &givenAt{time: now}
	finding := Finding{
		Rule: p.ID, Version: p.Version, Severity: p.Severity, Title: p.Title, Text: cut(say(p.says, vars), maxText), Subject: about,
		Time: r.Time.UTC(), Action: r.Kind, Module: r.Module, Outcome: r.Outcome, ID: r.ID, Start: r.Start,
		Attack: slices.Clone(p.Attack), Before: before,
	}
	for _, e := range p.evidence {
		if v, _, err := e.value.Eval(vars); err == nil {
			if finding.Evidence == nil {
				finding.Evidence = make(map[string]string)
			}
			finding.Evidence[e.field] = cut(fmt.Sprint(plain(v)), maxFact)
		}
	}
	return finding, true
}

// Found gives what a check found at a time; false where the rule is not in the set.
func (s *Set) Found(check, subject, text string, evidence map[string]string, at time.Time) (*Finding, bool) {
	r := s.Rule(check)
	if r == nil {
		return nil, false
	}
	f := &Finding{
		Rule: r.ID, Version: r.Version, Severity: r.Severity, Title: r.Title, Text: cut(text, maxText), Subject: cut(subject, maxFact),
		Time: at.UTC(), Attack: slices.Clone(r.Attack), Evidence: make(map[string]string, len(evidence)),
	}
	for name, value := range evidence {
		f.Evidence[name] = cut(value, maxFact)
	}
	return f, true
}

// forget makes room: what is out of its window, or else all.
func (f *Findings) forget(now time.Time) {
	for key, last := range f.given {
		if now.Sub(last.time) >= Window {
			delete(f.given, key)
		}
	}
	if len(f.given) >= maxSubjects {
		clear(f.given)
	}
}

// variables are those of an expression.
type variables struct {
	record *record.Record
	moment *moment
}

// ResolveName gives one of them.
func (v *variables) ResolveName(name string) (any, bool) {
	switch name {
	case recordVariable:
		return v.record, true
	case memoryVariable:
		return v.moment, true
	}
	return nil, false
}

// Parent is none.
func (v *variables) Parent() cel.Activation { return nil }
