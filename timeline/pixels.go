package timeline

import (
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// font is what the width of text depends on. picture.css says the same to the browser.
type font struct {
	size float64 // pixels
	wide float64 // as against the regular weight
	mono bool
}

// fontOf gives the font of a class of text.
func fontOf(class string) font {
	first, _, _ := strings.Cut(class, " ")
	switch first {
	case "name":
		return font{22, 1.12, false}
	case "outcome", "part":
		return font{15, 1.12, false}
	case "beside":
		return font{12.5, 1, false}
	case "tick", "note":
		return font{11.5, 1, false}
	case "label":
		return font{12, 1, false}
	case "moment-label":
		return font{12, 1.12, false}
	case "said":
		return font{12, 1, true}
	}
	if strings.Contains(class, "strong") {
		return font{13, 1.12, false}
	}
	return font{13, 1, false}
}

// pixels gives what printable text takes at most, whatever font a system has: as in the
// widest that is common.
func (f font) pixels(s string) float64 {
	if f.mono {
		return f.size * 0.61 * float64(cells.Count(s))
	}
	em := 0.0
	for _, r := range s {
		em += emOf(r)
	}
	return f.size * f.wide * em
}

func emOf(r rune) float64 {
	switch {
	case strings.ContainsRune(" .,:;'|!iIjl()[]/-·", r):
		return 0.4
	case strings.ContainsRune("mwMW@%…", r):
		return 1
	case strings.ContainsRune("+<=>~^#&", r), r >= 'A' && r <= 'Z':
		return 0.84
	case r < 0x250:
		return 0.66
	}
	return 1.05 * max(float64(cells.Count(string(r))), 1)
}

// cut keeps as much of the beginning as pixels take, with … for the rest.
func (f font) cut(s string, pixels float64) string {
	s = cells.Printable(s)
	if f.pixels(s) <= pixels {
		return s
	}
	room := pixels - f.pixels("…")
	for i, r := range s {
		if room -= f.pixels(string(r)); room < 0 {
			return s[:i] + "…"
		}
	}
	return s
}

// wrap breaks text into lines of so many pixels; a word that is longer is cut.
func (f font) wrap(s string, pixels float64) []string {
	var lines []string
	line, taken := "", 0.0
	for _, word := range strings.Fields(cells.Printable(s)) {
		wide := f.pixels(word)
		if blank := f.pixels(" "); line != "" && taken+blank+wide <= pixels {
			line, taken = line+" "+word, taken+blank+wide
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		line, taken = word, wide
	}
	lines = append(lines, line)
	for i := range lines {
		lines[i] = f.cut(lines[i], pixels)
	}
	return lines
}
