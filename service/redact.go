package service

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// RedactRule says what is taken out of arguments and parameters before a record is hashed: what is
// kept and passed on can be verified, and does not have it.
type RedactRule struct {
	// Match is a regular expression: what it matches is taken out, or what its groups match
	// where it has any.
	Match string `yaml:"match"`
	// After is one too: where it matches an argument, the next argument is taken out.
	After string `yaml:"after"`

	match, after *regexp.Regexp
}

const redacted = "[redacted]"

// compile tells what is wrong with a rule.
func (r *RedactRule) compile() (err error) {
	switch {
	case r.Match == "" && r.After == "":
		return fmt.Errorf("needs match or after, a regular expression")
	case r.Match != "" && r.After != "":
		return fmt.Errorf("match and after are mutually exclusive")
	case r.Match != "":
		r.match, err = regexp.Compile(r.Match)
	default:
		r.after, err = regexp.Compile(r.After)
	}
	if err == nil && r.match != nil && r.match.MatchString("") {
		err = fmt.Errorf("match %q: it matches nothing at all, and so everything", r.Match)
	}
	return err
}

type redaction []RedactRule

// text takes out of a text what matches.
func (all redaction) text(text string) string {
	for _, r := range all {
		if r.match != nil {
			text = take(r.match, text)
		}
	}
	return text
}

func take(rule *regexp.Regexp, text string) string {
	var b strings.Builder
	at := 0
	for _, m := range rule.FindAllStringSubmatchIndex(text, -1) {
		spans := m[2:]
		if len(spans) == 0 {
			spans = m
		}
		for ; len(spans) > 1; spans = spans[2:] {
			if spans[0] < at {
				continue // a group that did not match, or one inside of another
			}
			b.WriteString(text[at:spans[0]])
			b.WriteString(redacted)
			at = spans[1]
		}
	}
	if at == 0 {
		return text
	}
	b.WriteString(text[at:])
	return b.String()
}

func (all redaction) texts(texts []string) []string {
	out := slices.Clone(texts)
	for i := range out {
		out[i] = all.text(out[i])
	}
	return out
}

func (all redaction) args(args []string) []string {
	out := all.texts(args)
	for _, r := range all {
		for i := range args[:max(len(args)-1, 0)] {
			if r.after != nil && r.after.MatchString(args[i]) {
				out[i+1] = redacted
			}
		}
	}
	return out
}

// record takes out of a record what the rules say. What it points to may belong to others too, and
// is not changed.
func (all redaction) record(r *record.Record) {
	if len(all) == 0 {
		return
	}
	r.Actor = all.actor(r.Actor)
	r.Requester = all.requester(r.Requester)
	r.AwaitedBy = slices.Clone(r.AwaitedBy)
	for i := range r.AwaitedBy {
		r.AwaitedBy[i] = *all.requester(&r.AwaitedBy[i])
	}
	if r.Params != nil {
		own := *r.Params
		own.Text = all.text(own.Text)
		r.Params = &own
	}
	// The kernel prints parameters that it does not know, and causes quote it.
	r.Messages = all.texts(r.Messages)
	r.Cause = all.cause(r.Cause)
	r.Warnings = slices.Clone(r.Warnings)
	for i := range r.Warnings {
		r.Warnings[i] = *all.cause(&r.Warnings[i])
	}
}

func (all redaction) actor(a *tracer.Actor) *tracer.Actor {
	if a == nil {
		return nil
	}
	own := *a
	own.Args = all.args(a.Args)
	return &own
}

func (all redaction) requester(r *tracer.Requester) *tracer.Requester {
	if r == nil {
		return nil
	}
	own := *r
	own.Actor, own.Requester = all.actor(r.Actor), all.requester(r.Requester)
	return &own
}

func (all redaction) cause(c *cause.Cause) *cause.Cause {
	if c == nil {
		return nil
	}
	own := *c
	own.Text, own.Next, own.Evidence = all.text(c.Text), all.text(c.Next), all.texts(c.Evidence)
	if len(c.Names) > 0 {
		own.Names = make(map[string]string, len(c.Names))
		for name, value := range c.Names {
			own.Names[name] = all.text(value)
		}
	}
	own.Inner = all.cause(c.Inner)
	return &own
}
