package rule

import (
	"fmt"
	"path"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// Watched is an entry of a watch-list: what is asked for by such a name needs a look.
type Watched struct {
	// Name is an alias or a module, in which * stands for anything.
	Name string `yaml:"name"`
	// Reason says why, for people.
	Reason string `yaml:"reason"`
	// Until is the day, in UTC, from which on it holds no longer, as in 2027-06-01; empty for ever.
	Until string `yaml:"until"`

	until time.Time
}

// check finds what is wrong with it, and reads its day.
func (w *Watched) check() string {
	if w.Until != "" {
		var err error
		if w.until, err = time.Parse(time.DateOnly, w.Until); err != nil {
			return fmt.Sprintf("is until %.20q: want a day as 2027-06-01", w.Until)
		}
	}
	if _, err := path.Match(w.Name, ""); w.Name == "" || err != nil {
		return "is no name, in which * stands for anything"
	}
	if w.Reason == "" {
		return "has no reason"
	}
	return ""
}

// reason gives that of the first entry that a name matches at a time; empty for none.
func reason(list []*Watched, name string, now time.Time) string {
	for _, w := range list {
		if ok, _ := path.Match(w.Name, name); ok && (w.until.IsZero() || now.Before(w.until)) {
			return w.Reason
		}
	}
	return ""
}

const watchReason = "watch_reason"

// watchFunction declares watch_reason, which gets the watch-list with the memory.
func watchFunction() cel.EnvOption {
	return cel.Lib(library{
		cel.Macros(cel.GlobalMacro(watchReason, 1, withMemory(watchReason))),
		cel.Function("@"+watchReason, cel.Overload("watch_reason_name", []*cel.Type{memoryType, cel.StringType}, cel.StringType,
			cel.BinaryBinding(func(m, name ref.Val) ref.Val {
				at := m.(*moment)
				return types.String(reason(at.watch, string(name.(types.String)), time.Unix(0, int64(at.now))))
			}))),
	})
}

// library makes one option of several.
type library []cel.EnvOption

func (l library) CompileOptions() []cel.EnvOption     { return l }
func (l library) ProgramOptions() []cel.ProgramOption { return nil }
