package oops

import (
	"iter"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

// Parts are what messages consist of.
type Parts struct {
	Reports []Report
	// From has the index of the message in which each report begins.
	From []int
	// Messages are the lines that belong to no report.
	Messages []Message
}

// Message is a line that belongs to no report.
type Message struct {
	From int // the index of the message that it is of
	Text string
}

// Split reads the messages of one thread, each of one line or several.
func Split(messages []string) Parts {
	if !slices.ContainsFunc(messages, anyBegins) { // as it is of nearly every action
		parts := Parts{Messages: make([]Message, 0, len(messages))}
		for i, m := range messages {
			for text := range linesOf(m) {
				parts.Messages = append(parts.Messages, Message{i, text})
			}
		}
		return parts
	}
	type line struct {
		Message
		Part
	}
	var lines []line
	var s Scanner
	for i, m := range messages {
		for text := range linesOf(m) {
			lines = append(lines, line{Message{i, text}, s.Line(text)})
		}
	}
	s.End()
	// A line that is only assumed to be of a report is, where one that is certain follows.
	certain := make(map[*Report]bool)
	for i := len(lines) - 1; i >= 0; i-- {
		l := &lines[i]
		switch {
		case l.Report == nil:
		case !l.Assumed:
			certain[l.Report] = true
		case !certain[l.Report]:
			l.Part = Part{}
		}
	}
	var parts Parts
	seen := make(map[*Report]int)
	for i := range lines {
		l := &lines[i]
		if l.Report == nil {
			parts.Messages = append(parts.Messages, l.Message)
			continue
		}
		at, ok := seen[l.Report]
		if !ok {
			at = len(parts.Reports)
			seen[l.Report] = at
			parts.Reports, parts.From = append(parts.Reports, *l.Report), append(parts.From, l.From)
			parts.Reports[at].Lines = 0
		}
		parts.Reports[at].Lines++
	}
	return parts
}

func linesOf(message string) iter.Seq[string] {
	return strings.SplitSeq(strings.TrimSuffix(message, "\n"), "\n")
}

// anyBegins tells whether a report begins in a message, or may.
func anyBegins(message string) bool {
	for line := range linesOf(message) {
		if begins(line) {
			return true
		}
	}
	return false
}

var prefix = lazyregexp.New(`^(?:<\d+>)?(?:\[ *\d+\.\d+\])?(\[ *[TC]\d+\])? ?`)

// Clean takes away what a console has before a line: the level, the time, and who printed it
// (T and the thread, or C and the CPU), which it gives.
func Clean(line string) (text, caller string) {
	m := prefix.FindStringSubmatchIndex(line)
	if m[1] == 0 {
		return line, ""
	}
	if m[2] >= 0 {
		caller = strings.Trim(line[m[2]:m[3]], "[ ]")
	}
	if strings.HasPrefix(line, " ") { // no prefix at all
		return line, ""
	}
	return line[m[1]:], caller
}
