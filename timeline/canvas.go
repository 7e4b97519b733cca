package timeline

import (
	"fmt"
	"html"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// canvas is the body of an SVG picture. Across, places are parts of its width, so that it
// can be as wide as there is room while its text keeps its size; down, they are pixels.
type canvas struct {
	body strings.Builder
	y    int    // where the next thing goes
	id   string // of this picture, before all ids in it: a page may have several
}

// text is safe in any place of SVG and HTML: printable, and without markup.
func text(s string) string { return html.EscapeString(cells.Printable(s)) }

// percent gives a place of the line from 0 to 1.
func percent(place float64) string {
	return strconv.FormatFloat(min(max(place, 0), 1)*100, 'f', 3, 64) + "%"
}

func (c *canvas) printf(format string, args ...any) { fmt.Fprintf(&c.body, format, args...) }

// write puts text at a place, dx pixels beside it. The anchor is start, middle or end.
func (c *canvas) write(class, anchor string, place float64, dx, y int, s string) {
	c.printf(`<text class="%s" text-anchor="%s" x="%s" dx="%d" y="%d">%s</text>`+"\n", class, anchor, percent(place), dx, y, text(s))
}

// rect is a rectangle with what it shows as its title.
func (c *canvas) rect(class string, from, to float64, y, height int, title string) {
	c.printf(`<rect class="%s" x="%s" width="%s" y="%d" height="%d" rx="2"><title>%s</title></rect>`+"\n",
		class, percent(from), percent(max(to-from, 0)), y, height, text(title))
}

func (c *canvas) line(class string, place float64, y1, y2 int) {
	c.printf(`<line class="%s" x1="%[2]s" x2="%[2]s" y1="%d" y2="%d"/>`+"\n", class, percent(place), y1, y2)
}

// at draws a path in pixels, from a place of the line.
func (c *canvas) at(place float64, y int, class, path string) {
	c.printf(`<svg class="at" x="%s" y="%d" width="1" height="1"><path class="%s" d="%s"/></svg>`+"\n", percent(place), y, class, path)
}

// paragraph writes text in as many lines as it takes.
func (c *canvas) paragraph(class string, lineHeight int, s string) {
	for _, part := range fontOf(class).wrap(s, narrow) {
		c.y += lineHeight
		c.write(class, "start", 0, 0, c.y, part)
	}
}

// lineOf writes text in one line, as much of it as fits into a part of a narrow picture.
func (c *canvas) lineOf(class, anchor string, place, part float64, s string) {
	c.write(class, anchor, place, 0, c.y, fontOf(class).cut(s, part*narrow))
}

// picture puts the canvas into an svg element, which says what it shows.
func (c *canvas) picture(root, title, description, style string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="timeline%s" width="960" height="%d" role="img" aria-labelledby="%[3]s-title %[3]s-desc">`+"\n", root, c.y, c.id)
	fmt.Fprintf(&b, "<title id=\"%s-title\">%s</title>\n<desc id=\"%s-desc\">%s</desc>\n", c.id, text(title), c.id, text(description))
	b.WriteString(style)
	fmt.Fprintf(&b, `<defs><pattern id="%s-hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch" width="2" height="6"/></pattern></defs>`+"\n", c.id)
	fmt.Fprintf(&b, `<rect class="paper" width="100%%" height="100%%"/>`+"\n"+`<svg class="inner" x="2%%" width="96%%" height="%d">`+"\n", c.y)
	b.WriteString(c.body.String())
	b.WriteString("</svg>\n</svg>\n")
	return b.String()
}
