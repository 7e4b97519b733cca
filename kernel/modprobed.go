package kernel

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// ConfigLine is a line of modprobe's configuration.
type ConfigLine struct {
	File      string `json:"file"`
	Line      int    `json:"line"`      // where it begins; continued lines count
	Text      string `json:"text"`      // the whole line, joined
	Install   bool   `json:"install"`   // a command that is run instead of loading
	Blacklist bool   `json:"blacklist"` // not to be loaded by alias; by its name it still can be
	Options   bool   `json:"-"`         // parameters, which keep nothing out: see Kernel.Options
	Alias     bool   `json:"-"`         // of a module: see Kernel.AliasLine
	Ignored   string `json:"-"`         // why modprobe cannot read the line, which then says nothing: see Kernel.Ineffective
	// Blocking is false for an install command that may well load the module in the end.
	Blocking bool `json:"blocking"`
	// Beats are the lines about the same name that do not count because of this one: install
	// lines after the first, and the lines of files that its file hides.
	Beats []string `json:"beats,omitempty"`
}

// Place gives the file and the line, as compilers do.
func (c *ConfigLine) Place() string { return fmt.Sprintf("%s:%d", c.File, c.Line) }

// The directories of modprobe's configuration. A file hides those of its name in later directories.
var modprobeDirectories = [...]string{"etc/modprobe.d", "run/modprobe.d", "usr/local/lib/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"}

// maxConfig bounds one file of modprobe's configuration, and the kernel's command line.
const maxConfig = 4 << 20

// fileLine is a line of a file that counts, or of one that another file hides or modprobe does not read.
type fileLine struct {
	ConfigLine
	hiddenBy string // the file; empty where the line counts
	unread   bool   // modprobe does not read the file
	// about is the name that the line is about, and pattern the same where it stands for several; both are
	// empty where modprobe cannot read the line. Each action asks all lines, and few are about it.
	about, pattern string
}

func newFileLine(c ConfigLine) fileLine {
	line := fileLine{ConfigLine: c}
	if c.Ignored != "" {
		return line
	}
	word := strings.FieldsFunc(c.Text, isBlank)[1]
	line.about = modname.Normal(word)
	if !c.Blacklist && strings.ContainsAny(word, `*?[\`) { // a blacklist has a module's name
		line.pattern = word
	}
	return line
}

// isAbout tells whether the line is about a name.
func (l *fileLine) isAbout(name string) bool {
	return l.about == name && name != "" || l.pattern != "" && matches(l.pattern, name)
}

// Blocked gives the lines of modprobe's configuration that keep a module from being loaded
// by alias or by name: blacklists, install commands, aliases for "off", and, of the running kernel, its
// command line (modprobe.blacklist=). Of several install commands for a name the first counts: the
// others are among what it beats.
func (k *Kernel) Blocked(name string) []ConfigLine {
	name = modname.Normal(name)
	var found []ConfigLine
	var hidden []fileLine
	install := -1
	for _, line := range k.configLines() {
		switch {
		case line.Options || line.Alias || line.unread || !line.isAbout(name):
		case line.hiddenBy != "":
			hidden = append(hidden, line)
		case line.Install && install >= 0:
			found[install].beat(&line.ConfigLine)
		default:
			if line.Install {
				install = len(found)
			}
			found = append(found, line.ConfigLine)
		}
	}
	for i := range hidden {
		if at := slices.IndexFunc(found, func(c ConfigLine) bool { return c.File == hidden[i].hiddenBy }); at >= 0 {
			found[at].beat(&hidden[i].ConfigLine)
		}
	}
	return append(found, k.blockedByCmdline(name)...)
}

// AliasLine gives the first line of the configuration that makes a name an alias, and the module that it
// then stands for; nil where there is none.
func (k *Kernel) AliasLine(name string) (line *ConfigLine, module string) {
	name = modname.Normal(name)
	for _, line := range k.configLines() {
		if !line.Alias || line.unread || line.hiddenBy != "" || !line.isAbout(name) {
			continue
		}
		return &line.ConfigLine, modname.Normal(strings.FieldsFunc(line.Text, isBlank)[2])
	}
	return nil, ""
}

func (c *ConfigLine) beat(other *ConfigLine) {
	c.Beats = append(c.Beats, other.Place()+": "+other.Text)
}

// readConfigLines reads all files of the configuration: those that count, in their order, and
// then the others.
func (k *Kernel) readConfigLines() []fileLine {
	files, hidden := k.modprobeFiles()
	var lines []fileLine
	read := func(file, hiddenBy string, unread bool) {
		text, err := procfs.ReadFile(file, maxConfig)
		if err != nil {
			return
		}
		for _, line := range parseModprobeConfig(string(text)) {
			line.File = file
			l := newFileLine(line)
			l.hiddenBy, l.unread = hiddenBy, unread
			lines = append(lines, l)
		}
	}
	for _, file := range files {
		read(file, "", false)
	}
	for _, by := range files {
		for _, file := range hidden[by] {
			read(file, by, false)
		}
	}
	for _, file := range k.unreadFiles() {
		read(file, "", true)
	}
	return lines
}

// modprobeFiles gives the files that count, in modprobe's order: by name, whatever
// their directory, and those that each hides. A file that cannot be read or is empty hides others all
// the same.
func (k *Kernel) modprobeFiles() (ordered []string, hidden map[string][]string) {
	files := make(map[string]string)
	hidden = make(map[string][]string)
	for _, directory := range modprobeDirectories {
		entries, err := os.ReadDir(k.path(directory))
		if err != nil {
			continue
		}
		for _, entry := range entries {
			base := entry.Name()
			if !strings.HasSuffix(base, ".conf") || strings.HasPrefix(base, ".") || entry.IsDir() {
				continue
			}
			path := filepath.Join(k.path(directory), base)
			if by, is := files[base]; is {
				hidden[by] = append(hidden[by], path)
			} else {
				files[base] = path
			}
		}
	}
	for _, base := range slices.Sorted(maps.Keys(files)) {
		ordered = append(ordered, files[base])
	}
	return ordered, hidden
}

// parseModprobeConfig gives the lines that can keep a module out, those with parameters, aliases, and what
// modprobe ignores. `#` begins a comment only at a line's start; a backslash joins a line with the next.
func parseModprobeConfig(text string) []ConfigLine {
	var found []ConfigLine
	number := 0
	for text != "" {
		var line string
		var took int
		line, text, took = nextConfigLine(text)
		if c, ok := parseConfigLine(line); ok {
			c.Line = number + 1
			found = append(found, c)
		}
		number += took
	}
	return found
}

// nextConfigLine cuts off one line, with those that it is continued on, and tells how
// many that were. A backslash before anything else stands for nothing.
func nextConfigLine(text string) (line, rest string, took int) {
	var joined strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\n':
			return joined.String(), text[i+1:], took + 1
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '\n':
			took++
			i++
		case text[i] == '\\' && i+1 < len(text):
			i++
			joined.WriteByte(text[i])
		default:
			joined.WriteByte(text[i])
		}
	}
	return joined.String(), "", took + 1
}

// parseConfigLine takes the commands that matter, and what modprobe ignores: softdep, weakdep and remove
// do not matter (libkmod-config.c of kmod 34).
func parseConfigLine(line string) (ConfigLine, bool) {
	if line == "" || line[0] == '#' {
		return ConfigLine{}, false
	}
	fields := strings.FieldsFunc(line, isBlank)
	if len(fields) == 0 {
		return ConfigLine{}, false
	}
	c := ConfigLine{Text: strings.TrimFunc(line, isBlank)}
	needs := 3 // words
	switch command := fields[0]; command {
	case "options":
		c.Options = true
	case "blacklist":
		c.Blacklist, c.Blocking, needs = true, true, 2
	case "install":
		c.Install = true
		c.Blocking = len(fields) > 2 && loadsNothing(fields[2:])
	case "alias":
		c.Blocking = len(fields) > 2 && fields[2] == "off"
		c.Alias = !c.Blocking
	case "softdep", "weakdep", "remove":
		return c, false
	case "include", "config":
		return ConfigLine{Text: c.Text, Ignored: "modprobe no longer knows the command " + command}, true
	default:
		return ConfigLine{Text: c.Text, Ignored: notACommand(command)}, true
	}
	switch {
	case len(fields) < needs:
		c.Ignored = "it is not complete, and modprobe ignores it"
	case !bracketsMatch(fields[1]), c.Alias && !bracketsMatch(fields[2]):
		c.Ignored = "its brackets do not match, and modprobe ignores it"
	}
	c.Blocking = c.Blocking && c.Ignored == ""
	return c, true
}

// notACommand says why a line's first word is not one of modprobe's commands.
func notACommand(word string) string {
	if strings.HasPrefix(word, "\ufeff") {
		return "the file begins with a byte-order mark, and modprobe ignores the line"
	}
	return "modprobe has no command of that name, and ignores the line"
}

// bracketsMatch tells whether modprobe takes a name: each bracket is closed before the next one opens.
func bracketsMatch(name string) bool {
	for name != "" {
		before, rest, opened := strings.Cut(name, "[")
		if strings.Contains(before, "]") {
			return false
		}
		if !opened {
			return true
		}
		var closed bool
		if _, name, closed = strings.Cut(rest, "]"); !closed {
			return false
		}
	}
	return true
}

// isBlank: a carriage return is none, so that a name at the end of a DOS line is another.
func isBlank(c rune) bool { return c == ' ' || c == '\t' }

// matches tells whether an alias with wildcards stands for a name. Dashes and underscores are the same in
// both, but not in a range ("[0-9]").
func matches(pattern, name string) bool {
	var normal strings.Builder
	for pattern != "" {
		before, rest, found := strings.Cut(pattern, "[")
		normal.WriteString(modname.Normal(before))
		if !found {
			break
		}
		inside, after, closed := strings.Cut(rest, "]")
		normal.WriteString("[" + inside)
		if closed {
			normal.WriteString("]")
		}
		pattern = after
	}
	matched, err := path.Match(normal.String(), name)
	return matched && err == nil
}

// loadsNothing tells whether a shell command obviously does nothing at all.
func loadsNothing(command []string) bool {
	switch strings.TrimSuffix(path.Base(command[0]), ";") {
	case "true", "false", ":", "exit":
	default:
		return false
	}
	for _, word := range command[1:] {
		if strings.ContainsAny(word, ";&|`$(") {
			return false
		}
	}
	return !strings.HasSuffix(command[0], ";") || len(command) == 1
}

// blockedByCmdline reads modprobe.blacklist= as modprobe does.
func (k *Kernel) blockedByCmdline(name string) []ConfigLine {
	var found []ConfigLine
	for key, value := range k.cmdline() {
		if key != "modprobe.blacklist" {
			continue
		}
		for module := range strings.SplitSeq(value, ",") {
			if modname.Normal(module) == name {
				found = append(found, ConfigLine{
					File: k.path("proc/cmdline"), Line: 1, Text: key + "=" + value, Blacklist: true, Blocking: true,
				})
				break
			}
		}
	}
	return found
}
