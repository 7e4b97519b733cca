package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// OptionLine is a line of modprobe's configuration that has parameters for a module.
type OptionLine struct {
	File   string   `json:"file"`
	Line   int      `json:"line"`
	Text   string   `json:"text"` // the whole line, joined
	Params []Option `json:"params"`
	// Ignored says why modprobe does not pass the parameters; empty where it does.
	Ignored string `json:"ignored,omitempty"`
}

// Option is a parameter of such a line.
type Option struct {
	Name  string `json:"name"`
	Text  string `json:"text"` // as it is passed: name=value, or the name alone
	Later string `json:"overridden_by,omitempty"`
	// Loaded is what the loaded module shows; nil where none is loaded, or it does not show it.
	Loaded *string `json:"loaded,omitempty"`
	// Taken tells whether that is the value of the line; nil where it cannot be told.
	Taken *bool `json:"taken,omitempty"`
}

// Place gives the file and the line, as compilers do.
func (o *OptionLine) Place() string { return fmt.Sprintf("%s:%d", o.File, o.Line) }

// Options gives the lines with parameters for a module, in modprobe's order: of several values for
// a parameter the last counts. modprobe goes by the name of the file; lines for the name
// of the module in it, where that is another, are among those that it ignores. Lines for an alias
// count where the module is asked for by it; asked is what it was asked for by, where that is known.
func (k *Kernel) Options(file, module, asked string) []OptionLine {
	return k.optionsFor(file, module, asked, nil)
}

// optionsFor is [Kernel.Options] with the lines for other aliases of the module, which are ignored.
func (k *Kernel) optionsFor(file, module, asked string, aliases []string) []OptionLine {
	file, module, asked = modname.Normal(file), modname.Normal(module), modname.Normal(asked)
	isAlias := func(about string) bool {
		return slices.ContainsFunc(aliases, func(pattern string) bool { return matches(pattern, about) })
	}
	var found []OptionLine
	for _, line := range k.configLines() {
		if !line.Options {
			continue
		}
		about, params := line.cutOptions()
		if about == "" || about != file && about != module && about != asked && !isAlias(about) {
			continue
		}
		o := OptionLine{File: line.File, Line: line.Line, Text: line.Text, Params: optionsIn(params)}
		switch {
		case line.unread:
			o.Ignored = "modprobe reads only files that end in .conf"
		case line.hiddenBy != "":
			o.Ignored = line.hiddenBy + " hides its file"
		case about != file && about != asked && about != module:
			o.Ignored = "it is only passed where the module is asked for as " + strings.Fields(line.Text)[1]
		case about != file && about != asked:
			o.Ignored = "modprobe goes by the name of the file, which is " + file
		case len(o.Params) == 0:
			o.Ignored = "it has no parameter"
		}
		found = append(found, o)
	}
	found = append(found, k.cmdlineOptions(file)...)
	override(found)
	return found
}

// cutOptions gives the name that the line is about, and what follows.
func (c *ConfigLine) cutOptions() (about, params string) {
	rest := strings.TrimLeftFunc(strings.TrimPrefix(c.Text, "options"), isBlank)
	end := strings.IndexFunc(rest, isBlank)
	if end < 0 {
		return modname.Normal(rest), ""
	}
	return modname.Normal(rest[:end]), rest[end:]
}

// optionsIn splits parameters as the kernel will. What it would not take as a whole is one.
func optionsIn(text string) []Option {
	options := []Option{}
	if text = strings.TrimFunc(text, isBlank); text == "" {
		return options
	}
	params, err := kmod.ParseParams(text)
	if err != nil {
		params = kmod.Params{text}
	}
	for _, param := range params {
		name, _, _ := strings.Cut(param, "=")
		options = append(options, Option{Name: strings.ReplaceAll(name, "-", "_"), Text: param})
	}
	return options
}

// cmdlineOptions gives NAME.PARAMETER=VALUE on the running kernel's command line, which modprobe
// passes after all lines.
func (k *Kernel) cmdlineOptions(file string) []OptionLine {
	var found []OptionLine
	for key, value := range k.cmdline() {
		name, param, ok := strings.Cut(key, ".")
		if !ok || modname.Normal(name) != file || param == "" || file == "modprobe" {
			continue
		}
		text := param + "=" + value
		found = append(found, OptionLine{
			File: k.path("proc/cmdline"), Line: 1, Text: key + "=" + value,
			Params: []Option{{Name: strings.ReplaceAll(param, "-", "_"), Text: text}},
		})
	}
	return found
}

// override tells of each parameter which later line has it again.
func override(lines []OptionLine) {
	later := make(map[string]string)
	for i := len(lines) - 1; i >= 0; i-- {
		if lines[i].Ignored != "" {
			continue
		}
		for p := len(lines[i].Params) - 1; p >= 0; p-- {
			option := &lines[i].Params[p]
			option.Later = later[option.Name]
			if option.Later == "" {
				later[option.Name] = lines[i].Place()
			}
		}
	}
}

// FileOptions gives the lines with parameters for a file's module, and what the module shows where it
// is loaded.
func (k *Kernel) FileOptions(f *kmod.File) []OptionLine {
	lines := k.optionsFor(kmod.NameOfFile(f.Path), f.Name, "", f.Values("alias"))
	if k.running {
		k.compare(lines, f)
	}
	return lines
}

// compare adds to lines what the loaded module of a file shows, and whether that is what they say.
func (k *Kernel) compare(lines []OptionLine, f *kmod.File) {
	shown, _, err := kmod.LoadedParams(modname.Normal(f.Name), &kmod.ListOptions{Root: k.root})
	if err != nil {
		return
	}
	values := make(map[string]string)
	for _, s := range shown {
		values[s.Name] = s.Value
	}
	kinds := make(map[string]string)
	for _, p := range f.Parameters {
		kinds[strings.ReplaceAll(p.Name, "-", "_")] = p.Type
	}
	for i := range lines {
		for p := range lines[i].Params {
			option := &lines[i].Params[p]
			value, is := values[option.Name]
			if !is {
				continue
			}
			option.Loaded = &value
			_, wanted, has := strings.Cut(option.Text, "=")
			option.Taken = sameValue(kinds[option.Name], wanted, has, value)
		}
	}
}

// sameValue tells whether a parameter of a kind that was given a value shows it so; nil for a kind
// that may show other words than it takes.
func sameValue(kind, wanted string, has bool, shown string) *bool {
	answer := func(same bool) *bool { return &same }
	if wanted == shown {
		return answer(true)
	}
	element, isArray := strings.CutPrefix(kind, "array of ")
	if isArray {
		want, show := strings.Split(wanted, ","), strings.Split(shown, ",")
		if len(want) != len(show) {
			return answer(false)
		}
		for i := range want {
			if same := sameValue(element, want[i], true, show[i]); same == nil || !*same {
				return same
			}
		}
		return answer(true)
	}
	switch kind {
	case "charp", "string":
		return answer(false)
	case "bool", "bint", "invbool":
		on, known := isOn(wanted)
		if !has {
			on, known = true, true
		}
		is, known2 := isOn(shown)
		if !known || !known2 {
			return nil
		}
		return answer(on == is)
	case "byte", "short", "ushort", "int", "uint", "long", "ulong", "ullong", "hexint":
		want, err := strconv.ParseInt(strings.TrimPrefix(wanted, "+"), 0, 64)
		show, err2 := strconv.ParseInt(shown, 0, 64)
		if err != nil || err2 != nil {
			return nil
		}
		return answer(want == show)
	}
	return nil
}

// isOn reads a bool as the kernel does.
func isOn(word string) (on, known bool) {
	word = strings.ToLower(word)
	switch {
	case strings.HasPrefix(word, "y"), strings.HasPrefix(word, "t"), word == "1", strings.HasPrefix(word, "on"):
		return true, true
	case strings.HasPrefix(word, "n"), strings.HasPrefix(word, "f"), word == "0", strings.HasPrefix(word, "of"):
		return false, true
	}
	return false, false
}

// unreadFiles gives the files in modprobe's directories that it does not read for their names.
func (k *Kernel) unreadFiles() []string {
	var unread []string
	for _, directory := range modprobeDirectories {
		entries, err := os.ReadDir(k.path(directory))
		if err != nil {
			continue
		}
		for _, entry := range entries {
			base := entry.Name()
			if !entry.Type().IsRegular() || strings.HasPrefix(base, ".") || strings.HasSuffix(base, ".conf") || strings.HasSuffix(base, ".alias") {
				continue
			}
			unread = append(unread, filepath.Join(k.path(directory), base))
		}
	}
	return unread
}
