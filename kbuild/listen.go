package kbuild

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

// Diagnostic is a complaint of the compiler's about a place in a source.
type Diagnostic struct {
	File     string   `json:"file"` // as the user would write it
	Line     int      `json:"line"`
	Column   int      `json:"column,omitempty"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
}

// Severity tells whether a complaint stops the build.
type Severity string

// The severities.
const (
	Fatal   Severity = "error"
	Warning Severity = "warning"
)

// listener passes on what a build says, with the names of files as the user wrote them,
// and remembers what matters of it.
type listener struct {
	out       io.Writer // may be nil
	directory string    // the mirror's
	shown     string    // the user's
	line      []byte    // that has not ended yet

	diagnostics []Diagnostic
	complaint   string // the first line that says what went wrong
	last        string
	missing     []thing
	circular    string // an object that would be made of itself
	full        bool   // no space left
	unknown     bool   // the compiler did not know an option
}

func newListener(out io.Writer, directory, shown string) *listener {
	return &listener{out: out, directory: directory, shown: cells.Printable(shown)} // lest a name steers the terminal
}

// maxLine is where a line is taken for two. What is looked for stands in shorter ones, and to
// look through hundreds of megabytes at once would take minutes, in which nothing ends a build.
const maxLine = 16 << 10

// Write takes output as it comes.
func (l *listener) Write(text []byte) (int, error) {
	n := len(text)
	for len(text) > 0 {
		part := text[:min(len(text), maxLine)]
		if end := bytes.IndexByte(part, '\n'); end >= 0 {
			part = part[:end+1]
		}
		l.line = append(l.line, part...)
		if part[len(part)-1] == '\n' || len(l.line) >= maxLine {
			l.flush()
		}
		text = text[len(part):]
	}
	return n, nil
}

// flush passes on the line as far as it has come. That nobody reads is no reason to stop
// building.
func (l *listener) flush() {
	if len(l.line) == 0 {
		return
	}
	line := l.rename(string(l.line))
	l.line = l.line[:0]
	if l.out != nil {
		io.WriteString(l.out, line)
	}
	l.notice(strings.TrimSpace(escape.ReplaceAllString(line, "")))
}

// escape is what a compiler paints with: colours, and links to its manual.
var escape = lazyregexp.New(`\x1b\[[0-9;]*[mK]|\x1b\][^\a\x1b]*(?:\a|\x1b\\)`)

// relative is a name of a source as the compiler says it when it works in the mirror's
// directory itself, as it does from kernel 6.13 on.
var relative = lazyregexp.New(`(^|\x1b\[[0-9;]*[mK]|from |at |\*\*\* \[)([A-Za-z0-9_][^\s:\x1b]*\.[chSs])(:|\x1b)`)

// rename gives a line the user's names.
func (l *listener) rename(line string) string {
	prefix := ""
	if l.shown != "." {
		prefix = l.shown + "/"
	}
	line = strings.ReplaceAll(line, l.directory+"/", prefix)
	if i := strings.Index(line, l.directory); i >= 0 { // the directory itself
		line = strings.ReplaceAll(line, l.directory, l.shown)
	}
	if prefix == "" {
		return line
	}
	return relative.ReplaceAllStringFunc(line, func(match string) string {
		part := relative.FindStringSubmatch(match)
		if _, err := os.Lstat(filepath.Join(l.directory, part[2])); err != nil {
			return match
		}
		return part[1] + prefix + part[2] + part[3]
	})
}

var (
	placed      = lazyregexp.New(`^([^\s:][^:]*):(\d+):(?:(\d+):)? (?:fatal )?(error|warning): (.*)`)
	noProgram   = lazyregexp.New(`(?:sh: (?:line )?(?:\d+: )?|make\S*: )([\w.+/-]+): (?:command not found|not found|No such file or directory)$`)
	noAssembler = lazyregexp.New(`cannot execute ['‘](as|ld)['’]`)
	noLibrary   = lazyregexp.New(`error while loading shared libraries: (\S+):|Error loading shared library (\S+):`)
	ownSource   = lazyregexp.New(`Circular (\S+) <- (\S+) dependency dropped`)
	unplaced    = lazyregexp.New(`(?i)(^|[^\w])error: |: not found$|\*\*\* |version .* not found`)
	fullDisk    = lazyregexp.New(`No space left on device|not all data was written to the output`) // the latter says fixdep
)

// notice remembers what a line says.
func (l *listener) notice(line string) {
	if line == "" {
		return
	}
	l.last = line
	if m := placed.FindStringSubmatch(line); m != nil {
		d := Diagnostic{File: m[1], Severity: Severity(m[4]), Text: m[5]}
		d.Line, _ = strconv.Atoi(m[2])
		d.Column, _ = strconv.Atoi(m[3])
		l.diagnostics = append(l.diagnostics, d)
		if d.Severity == Fatal && l.complaint == "" {
			l.complaint = line
		}
		return
	}
	if m := noProgram.FindStringSubmatch(line); m != nil {
		l.miss(thing{name: filepath.Base(m[1])})
	}
	if m := noAssembler.FindStringSubmatch(line); m != nil {
		l.miss(thing{name: m[1]})
	}
	if m := noLibrary.FindStringSubmatch(line); m != nil {
		l.miss(thing{name: filepath.Base(m[1] + m[2]), kind: libraryThing})
	}
	if m := ownSource.FindStringSubmatch(line); m != nil && m[1] == m[2] {
		l.circular = m[1]
	}
	l.full = l.full || fullDisk.MatchString(line)
	l.unknown = l.unknown || strings.Contains(line, "unrecognized command") || strings.Contains(line, "unrecognized argument")
	if l.complaint == "" && unplaced.MatchString(line) {
		l.complaint = line
	}
}

func (l *listener) miss(t thing) {
	for _, known := range l.missing {
		if known == t {
			return
		}
	}
	l.missing = append(l.missing, t)
}

// first is the complaint that came first of those that stop a build, or the last word.
func (l *listener) first() string {
	switch {
	case l.complaint != "":
		return l.complaint
	case l.last != "":
		return l.last
	}
	return "no output"
}

// FirstComplaint finds the line of a build's output that says what went wrong.
func FirstComplaint(output string) string {
	l := newListener(nil, "/nowhere", ".")
	io.WriteString(l, output)
	l.flush()
	return l.first()
}
