package reload

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/kmod"
)

func TestTakeOver(t *testing.T) {
	file := &kmod.File{Parameters: []kmod.Parameter{
		{Name: "n", Type: "int"}, {Name: "b", Type: "bool"}, {Name: "text", Type: "charp"}, {Name: "list", Type: "array of int"},
		{Name: "texts", Type: "array of charp"}, {Name: "own", Type: "speed"}, {Name: "bare"}, {Name: "with-dash", Type: "int"},
	}}
	shown := func(texts ...string) []kmod.Setting {
		var s []kmod.Setting
		for _, text := range texts {
			name, value, _ := strings.Cut(text, "=")
			s = append(s, kmod.Setting{Name: name, Value: value})
		}
		return s
	}
	for name, test := range map[string]struct {
		settings settings
		want     kmod.Params
		left     string
	}{
		"nobody knows: all that it shows": {
			settings{shown: shown("b=Y", "bare=1", "list=1,2", "n=-3", "own=fast", "text=big world", "texts=a,b", "with_dash=0")},
			kmod.Params{"b=Y", "list=1,2", "n=-3", "text=big world", "texts=a,b", "with_dash=0"}, "bare own",
		},
		"what is not set": {
			settings{shown: shown("b=N", "bare=1", "list=", "n=0", "own=x", "text=(null)", "texts=", "with_dash=1")},
			kmod.Params{"b=N", "n=0", "with_dash=1"}, "bare own",
		},
		"an empty text is one": {
			settings{known: true, shown: shown("text="), atStart: shown("text=x")}, kmod.Params{"text="}, "",
		},
		"partly set": {
			settings{known: true, shown: shown("texts=a,(null)"), atStart: shown("texts=a,b")}, kmod.Params{}, "texts",
		},
		"as it was loaded": {
			settings{known: true, given: kmod.Params{"n=0x10", "own=fast", "b"}, shown: shown("n=16", "own=3", "b=Y", "text=auto"), atStart: shown("n=16", "own=3", "b=Y", "text=auto")},
			kmod.Params{"n=0x10", "own=fast", "b"}, "",
		},
		"changed since": {
			settings{known: true, given: kmod.Params{"n=1", "with-dash=2"}, shown: shown("n=5", "b=Y", "with_dash=7"), atStart: shown("n=1", "b=N", "with_dash=2")},
			kmod.Params{"n=5", "b=Y", "with_dash=7"}, "",
		},
		"the new one does not know it": {
			settings{known: true, given: kmod.Params{"gone=1", "n=2"}, shown: shown("older=3"), atStart: shown("older=2")},
			kmod.Params{"n=2"}, "gone older",
		},
		"for every module": {
			settings{known: true, given: kmod.Params{"dyndbg=+p", "hello.dyndbg=+p", "async_probe"}}, kmod.Params{"dyndbg=+p", "hello.dyndbg=+p", "async_probe"}, "",
		},
		"cannot be said": {
			settings{known: true, shown: shown(`text=a "b c`), atStart: shown("text=")}, kmod.Params{}, "text",
		},
		"cannot be read": {
			settings{known: true, given: kmod.Params{"n=1"}, unreadable: []string{"n", "b"}}, kmod.Params{"n=1"}, "b",
		},
		"hidden": {
			settings{shown: shown("b=Y", "list=1", "text=x", "texts=y"), unreadable: []string{"n"}}, kmod.Params{"b=Y", "list=1", "text=x", "texts=y"}, "n own bare with-dash",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.settings.takeOver(file)
			if diff := cmp.Diff(test.want, got.Params); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			var left []string
			for _, l := range got.Left {
				left = append(left, l.Name)
				if l.Why == "" {
					t.Errorf("it is not said why %s is left out", l.Name)
				}
			}
			if strings.Join(left, " ") != test.left || got.From != ParamsTaken || got.Exact != test.settings.known {
				t.Errorf("left out %q, want %q: %+v", left, test.left, got)
			}
			if _, err := got.Params.Quote(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDrop: what the new copy does not take is left out where it was taken over, and
// refused where it was given.
func TestDrop(t *testing.T) {
	p := &Params{From: ParamsTaken, Params: kmod.Params{"with-dash=1", "n=2"}}
	if !p.drop("with_dash", "why") || p.drop("with_dash", "why") || len(p.Params) != 1 || len(p.Left) != 1 {
		t.Errorf("%+v", p)
	}
	if p = (&Params{From: ParamsGiven, Params: kmod.Params{"n=2"}}); p.drop("n", "why") {
		t.Errorf("%+v", p)
	}
}
