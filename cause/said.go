package cause

import (
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/oops"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// maxSaid bounds the lines that belong to the one that is quoted.
const maxSaid = 4

// spoken is one line that was printed.
type spoken struct {
	text  string
	level tracer.Level
	first bool // of its message
}

// lookSaid takes what was printed in the init for its reason: the most severe line, and the
// last of several. What a module prints when it cleans up stands behind the reason, and is
// less severe.
func lookSaid(s *scene) {
	lines := inInit(s.action)
	best := -1
	for i, line := range lines {
		if isRemark(line.text) {
			continue
		}
		if best < 0 || weight(line.level) <= weight(lines[best].level) {
			best = i
		}
	}
	if best < 0 {
		return
	}
	var said []string
	for _, line := range together(lines, best) {
		said = append(said, strings.TrimSpace(line.text))
	}
	s.name("said", strings.Join(said, " "))
	how := "it printed"
	if level := lines[best].level; level != tracer.LevelUnknown {
		how += ", at level " + level.String()
	}
	s.prove("%s: %s", how, strings.Join(said, " "))
}

// weight orders levels, the most severe first. A message whose level is not known may have
// any: it counts as most do.
func weight(l tracer.Level) tracer.Level {
	if l == tracer.LevelUnknown {
		return tracer.LevelInfo
	}
	return l
}

// inInit gives what was printed since the init began, line by line: what came before is the
// kernel's, and about something else. Of a report of the kernel's only the text of a WARN is there.
func inInit(a *tracer.Action) []spoken {
	began := stageBegan(a, tracer.StageInit)
	timed := len(a.MessageTimes) == len(a.Messages)
	early := func(i int) bool { return timed && a.MessageTimes[i] < began }
	parts := oops.Split(a.Messages)
	var lines []spoken
	next := 0
	reports := func(upTo int) {
		for ; next < len(parts.Reports) && parts.From[next] <= upTo; next++ {
			from := parts.From[next]
			if text := parts.Reports[next].Message; text != "" && !early(from) {
				line, _, _ := strings.Cut(text, "\n")
				// The text is printed behind the line that announces it.
				lines = append(lines, spoken{text: line, level: a.MessageLevel(min(from+1, len(a.Messages)-1)), first: true})
			}
		}
	}
	last := -1
	for _, m := range parts.Messages {
		reports(m.From)
		if !early(m.From) {
			lines = append(lines, spoken{text: m.Text, level: a.MessageLevel(m.From), first: m.From != last})
		}
		last = m.From
	}
	reports(len(a.Messages))
	return lines
}

// stageBegan tells when a stage began, counted from the action's start; zero where that was
// not seen.
func stageBegan(a *tracer.Action, s tracer.Stage) time.Duration {
	for _, stage := range a.Stages {
		if stage.Stage == s {
			return stage.After
		}
	}
	return 0
}

// isRemark tells whether a line is no reason: it is empty, or about the taint.
func isRemark(text string) bool {
	line := strings.TrimSpace(text)
	return line == "" || strings.Contains(line, "taints kernel") || strings.Contains(line, "module verification failed")
}

// together gives the lines that belong to one: the others of its message, and messages of
// its level that are indented below it.
func together(lines []spoken, i int) []spoken {
	belongs := func(i int) bool { // to the line before it
		if !lines[i].first {
			return true
		}
		return lines[i].level == lines[i-1].level && strings.TrimLeft(lines[i].text, " \t") != lines[i].text
	}
	for i > 0 && belongs(i) {
		i--
	}
	end := i + 1
	for end < len(lines) && end < i+maxSaid && belongs(end) {
		end++
	}
	return slices.DeleteFunc(slices.Clone(lines[i:end]), func(line spoken) bool { return isRemark(line.text) })
}
