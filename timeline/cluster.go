package timeline

import "strconv"

// group is a run of messages that are too close to each other for numbers of their own.
type group struct{ first, last int }

// label is "3", or "3-12".
func (g group) label() string {
	text := strconv.Itoa(g.first + 1)
	if g.last > g.first {
		text += "-" + strconv.Itoa(g.last+1)
	}
	return text
}

// cluster groups the messages so that their labels do not overlap. width gives what a label
// of n characters takes of the line.
func cluster(marks []Mark, s scale, width func(n int) float64) []group {
	place := func(g group) float64 { return s.at(marks[g.first].At) }
	wide := func(g group) float64 { return width(len(g.label())) }
	var groups []group
	for i, m := range marks {
		if !m.Timed {
			continue
		}
		if n := len(groups) - 1; n >= 0 && s.at(m.At) < place(groups[n])+wide(groups[n]) {
			groups[n].last = i
		} else {
			groups = append(groups, group{i, i})
		}
	}
	// The last label is moved to the left where it would leave the line.
	for n := len(groups) - 1; n > 0 && 1-wide(groups[n]) < place(groups[n-1])+wide(groups[n-1]); n-- {
		groups[n-1].last = groups[n].last
		groups = groups[:n]
	}
	return groups
}
