package timeline

import (
	"math"
	"strings"
)

// glyphs are what bars are drawn with.
type glyphs struct {
	full     rune
	fraction []rune // of a cell, from its left, in equal steps; the last but full
	half     rune   // the right one
	short    rune   // what is shorter than the smallest fraction
	unknown  rune
	fault    rune
	cut      rune // the break
	start    rune // of the axis
	tick     rune
	axis     rune
	dot      string // between words
	dots     string // for what is left out
	micro    string
}

func blocks() glyphs {
	return glyphs{'█', []rune("▏▎▍▌▋▊▉"), '▐', '╷', '░', '×', '╱', '├', '┼', '─', "·", "…", "µ"}
}

func ascii() glyphs {
	return glyphs{'#', nil, '#', '|', '?', 'x', '/', '+', '+', '-', "-", "~", "u"}
}

// row is a line of cells to draw on.
type row []rune

func newRow(n int) row { return row(strings.Repeat(" ", max(n, 1))) }

func (r row) String() string { return strings.TrimRight(string(r), " ") }

// put sets a cell, if there is one.
func (r row) put(i int, c rune) {
	if i >= 0 && i < len(r) {
		r[i] = c
	}
}

// cell is the one that a place lies in.
func (r row) cell(place float64) int { return min(int(place*float64(len(r))), len(r)-1) }

// bar draws from one place to another, and tells whether that is as long as it is: what
// is too short for the smallest fraction gets a mark that is none.
func (r row) bar(g *glyphs, from, to float64) bool {
	n := float64(len(r))
	steps := float64(len(g.fraction) + 1)
	if (to-from)*n < 1/steps {
		r.put(r.cell(from), g.short)
		return false
	}
	first := r.cell(from)
	length := int(math.Round((to*n - float64(first)) * steps)) // in fractions of a cell
	for i := first; i < len(r) && length > 0; i++ {
		switch {
		case length >= int(steps):
			r[i] = g.full
		default:
			r[i] = g.fraction[length-1]
		}
		length -= int(steps)
	}
	// A bar that begins in the right half of its cell and fills it.
	if from*n-float64(first) >= 0.5 && r[first] == g.full {
		r[first] = g.half
	}
	return true
}

// unknown fills a stretch with the sign of what is not known.
func (r row) unknown(g *glyphs, from, to float64) {
	for i := r.cell(from); i < int(to*float64(len(r))); i++ {
		r[i] = g.unknown
	}
}

// break marks the middle of a stretch that is not to scale.
func (r row) breakAt(g *glyphs, s scale) {
	if s.broken() {
		middle := r.cell((s.at(s.from) + s.at(s.to)) / 2)
		r.put(middle, g.cut)
		r.put(middle+1, g.cut)
	}
}
