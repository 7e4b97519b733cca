package reload

import (
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// settings are what is known of the parameters of the copy that is in the kernel.
type settings struct {
	shown      []kmod.Setting // as the module shows them now
	unreadable []string       // listed, and not to be read
	// given is what it was loaded with, where known says that this is known; atStart is
	// what it showed just after.
	known   bool
	given   kmod.Params
	atStart []kmod.Setting
}

// settingsOf reads them. What was kept of a file tells more, if it was of this very load.
func settingsOf(module string, instance uint64, c *kept) (*settings, error) {
	s := &settings{}
	var err error
	if s.shown, s.unreadable, err = kmod.LoadedParams(module, nil); err != nil {
		return nil, err
	}
	if c == nil || c.Instance != instance || c.Params == nil {
		return s, nil
	}
	if s.given, err = kmod.ParseParams(string(c.Params)); err != nil {
		s.given = nil // the kernel took what this cannot read: as if nobody knew
		return s, nil
	}
	s.known, s.atStart = true, c.Values
	return s, nil
}

// Params are the parameters for a copy that is to be loaded.
type Params struct {
	// From says where they are from: given by the caller, or taken over from the old
	// copy. Absent where there is none to take over from.
	From ParamsFrom `json:"from,omitempty"`
	// Exact says that it is known what the old copy was loaded with. Where it is not, all
	// that it shows is taken over, its own defaults included.
	Exact  bool        `json:"exact"`
	Params kmod.Params `json:"params"`
	// Left are those of the old copy that are not taken over.
	Left []LeftParam `json:"left"`
}

// ParamsFrom says where the parameters of a copy are from.
type ParamsFrom string

// The sources of parameters.
const (
	ParamsGiven ParamsFrom = "given"    // by the caller
	ParamsTaken ParamsFrom = "old-copy" // taken over from the old copy
)

// LeftParam is a parameter of the old copy that the new one does not get.
type LeftParam struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// takeOver gives a file the parameters that the loaded copy has: what it was loaded with,
// and what was changed since. Where that is not known it is all that the module shows.
// That hides a default that the new file has changed, so that the other is better.
func (s *settings) takeOver(f *kmod.File) *Params {
	t := &Params{From: ParamsTaken, Exact: s.known, Params: kmod.Params{}, Left: []LeftParam{}}
	changed := s.shown
	if s.known {
		changed = s.changed()
	}
	for _, param := range s.given {
		name := paramName(param)
		now := slices.IndexFunc(changed, func(c kmod.Setting) bool { return sameParam(c.Name, name) })
		if now < 0 {
			t.take(f, name, param)
		}
	}
	for _, c := range changed {
		t.takeShown(f, c)
	}
	t.leaveHidden(s, f)
	return t
}

// changed are the parameters that show something else than at the start.
func (s *settings) changed() []kmod.Setting {
	var changed []kmod.Setting
	for _, now := range s.shown {
		if !slices.Contains(s.atStart, now) {
			changed = append(changed, now)
		}
	}
	return changed
}

// take takes a parameter as it is, if the file knows it.
func (t *Params) take(f *kmod.File, name, param string) {
	if parameterOf(f, name) == nil && !forEveryModule(name) {
		t.leave(name, "the new copy does not know it")
		return
	}
	if _, err := (kmod.Params{param}).Quote(); err != nil {
		t.leave(name, "the kernel cannot be given such a value")
		return
	}
	t.Params = append(t.Params, param)
}

// takeShown takes a parameter as the module shows it, if one can tell from that how to
// give it.
func (t *Params) takeShown(f *kmod.File, c kmod.Setting) {
	p := parameterOf(f, c.Name)
	if p == nil {
		t.leave(c.Name, "the new copy does not know it")
		return
	}
	element, isArray := strings.CutPrefix(p.Type, "array of ")
	switch {
	case !isOrdinary(element):
		t.leave(c.Name, "it is of a kind of its own, which may show other words than it takes")
	case element == "charp" && !isArray && c.Value == "(null)", isArray && c.Value == "":
		// Not set: so it is to be again.
	case element == "charp" && isArray && slices.Contains(strings.Split(c.Value, ","), "(null)"):
		t.leave(c.Name, "a part of it is not set, which no value says")
	default:
		t.take(f, c.Name, c.Name+"="+c.Value)
	}
}

// leaveHidden names those whose value nobody can know.
func (t *Params) leaveHidden(s *settings, f *kmod.File) {
	for _, name := range s.unreadable {
		if !s.known || !slices.ContainsFunc(s.given, func(g string) bool { return sameParam(paramName(g), name) }) {
			t.leave(name, "it cannot be read")
		}
	}
	if s.known {
		return
	}
	for _, p := range f.Parameters {
		seen := slices.Contains(s.unreadable, p.Name) || slices.ContainsFunc(s.shown, func(c kmod.Setting) bool { return sameParam(c.Name, p.Name) })
		if !seen {
			t.leave(p.Name, "the loaded copy does not show it, or has none")
		}
	}
}

func (t *Params) leave(name, why string) { t.Left = append(t.Left, LeftParam{name, why}) }

// drop leaves out a parameter that was taken over and would be refused. It tells whether
// there was one.
func (t *Params) drop(name, why string) bool {
	if t.From != ParamsTaken {
		return false
	}
	before := len(t.Params)
	t.Params = slices.DeleteFunc(t.Params, func(p string) bool { return sameParam(paramName(p), name) })
	if len(t.Params) == before {
		return false
	}
	t.leave(name, why)
	return true
}

// isOrdinary tells the types that show the words that they take.
func isOrdinary(kind string) bool {
	switch kind {
	case "byte", "hexint", "short", "ushort", "int", "uint", "long", "ulong", "ullong", "charp", "string", "bool", "invbool", "bint":
		return true
	}
	return false
}

func parameterOf(f *kmod.File, name string) *kmod.Parameter {
	for i := range f.Parameters {
		if sameParam(f.Parameters[i].Name, name) {
			return &f.Parameters[i]
		}
	}
	return nil
}

// forEveryModule tells a parameter that the kernel takes for all modules.
func forEveryModule(name string) bool {
	return name == "dyndbg" || name == "async_probe" || strings.HasSuffix(name, ".dyndbg")
}

func paramName(param string) string {
	name, _, _ := strings.Cut(param, "=")
	return name
}

// sameParam compares as the kernel does.
func sameParam(a, b string) bool {
	return strings.ReplaceAll(a, "-", "_") == strings.ReplaceAll(b, "-", "_")
}
