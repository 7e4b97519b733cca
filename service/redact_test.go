package service

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	samples "github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

func redactionOf(t *testing.T, rules ...RedactRule) redaction {
	t.Helper()
	for i := range rules {
		if err := rules[i].compile(); err != nil {
			t.Fatal(err)
		}
	}
	return rules
}

// TestRedactArgs: a secret is taken out where it is, and nothing else.
func TestRedactArgs(t *testing.T) {
	for _, c := range []struct {
		rule       RedactRule
		args, want []string
	}{
		{RedactRule{Match: `key=\S+`}, []string{"insmod", "x.ko", "key=abc", "n=1"}, []string{"insmod", "x.ko", redacted, "n=1"}},
		{RedactRule{Match: `key=(\S+)`}, []string{"key=abc key=def", "mykey=x"}, []string{"key=[redacted] key=[redacted]", "mykey=[redacted]"}},
		{RedactRule{Match: `(a)|(b)`}, []string{"xbay"}, []string{"x[redacted][redacted]y"}},
		{RedactRule{Match: `((a)b)`}, []string{"xaby"}, []string{"x[redacted]y"}},
		{RedactRule{After: `^--password$`}, []string{"--password", "abc", "--password"}, []string{"--password", redacted, "--password"}},
		{RedactRule{After: `^-p$`}, []string{"-p", "-p", "x"}, []string{"-p", redacted, redacted}},
		{RedactRule{After: `x`}, nil, nil},
		{RedactRule{Match: `\xff`}, []string{"\xff\xfe"}, []string{"\xff\xfe"}},
	} {
		if got := redactionOf(t, c.rule).args(c.args); !slices.Equal(got, c.want) {
			t.Errorf("%+v of %q: %q, want %q", c.rule, c.args, got, c.want)
		}
	}
}

// TestRedactRecord: the secret is nowhere in the record, and whatever the record shares with others
// stays as it is.
func TestRedactRecord(t *testing.T) {
	whole := samples.Action("secret")
	whole.Actor.Args = []string{"insmod", "--password", "secret"}
	whole.Requester.Actor.Args, whole.Requester.Requester.Actor.Args = []string{"secret"}, []string{"secret"}
	shared := whole.Actor
	only := &record.Record{Action: tracer.Action{
		Kind: whole.Kind, Actor: &tracer.Actor{Args: shared.Args}, Requester: &tracer.Requester{Actor: &tracer.Actor{Args: []string{"secret"}},
			Requester: &tracer.Requester{Actor: &tracer.Actor{Args: []string{"secret"}}}},
		AwaitedBy: []tracer.Requester{{Actor: &tracer.Actor{Args: []string{"secret"}}}}, Params: &tracer.Params{Text: "p=secret"}, Messages: []string{"x: unknown parameter secret"},
	}}
	inner := samples.Cause("secret")
	only.Cause = &inner
	redactionOf(t, RedactRule{Match: "secret"}).record(only)
	text, err := json.Marshal(only)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "secret") {
		t.Errorf("it is still there: %s", text)
	}
	if shared.Args[2] != "secret" {
		t.Error("what others have was changed")
	}
}

// TestRedactConfig: a rule that cannot be meant is refused.
func TestRedactConfig(t *testing.T) {
	for text, says := range map[string]string{
		"redact: [{match: 'a'}]":              "",
		"redact: [{after: '^-p$'}]":           "",
		"redact: [{}]":                        "redact, number 1: needs match or after",
		"redact: [{match: a, after: b}]":      "mutually exclusive",
		"redact: [{match: '('}]":              "missing closing )",
		"redact: [{match: a}, {match: 'x*'}]": "redact, number 2: match \"x*\": it matches nothing at all",
		"redact: [{mtach: a}]":                "mtach",
	} {
		c, err := Parse([]byte(text))
		if says == "" && (err != nil || c.Redact[0].match == nil && c.Redact[0].after == nil) || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}
