package timeline

import (
	_ "embed"
	"io"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

//go:embed picture.css
var pictureStyle string

// The measures of a picture, in pixels.
const (
	rowHeight = 24
	barHeight = 16
	textLine  = 18
	// narrow is the least width at which nothing may overlap: of a canvas in a window of
	// 400 pixels.
	narrow = 380
)

// SVG writes the picture as a file that has all in it. It is as wide as there is room.
func (p *Picture) SVG(w io.Writer) error {
	c := &canvas{id: "kmodtrace"}
	c.heading(p.Main)
	c.together(p)
	c.stages(p.Main)
	c.why(p.Main)
	c.messages(p.Main)
	c.memory(p.Main)
	c.symbols(p.Main)
	c.notes(p)
	c.y += textLine
	_, err := io.WriteString(w, c.picture(" alone", p.title(), p.summary(), "<style>\n"+pictureStyle+"</style>\n"))
	return err
}

func (p *Picture) title() string {
	return cells.Cut(cells.Printable(p.Main.name()), 80) + ": " + p.Main.Kind.String() + ", " + p.Main.outcome() + ", " + p.Main.took()
}

func (c *canvas) heading(a *Action) {
	c.y += 30
	c.lineOf("name", "start", 0, 1, a.name())
	c.y += 22
	c.lineOf("outcome "+outcomeClass(a), "start", 0, 1, a.Kind.String()+" "+sign(a)+" "+a.outcome()+", "+a.took())
	c.y += 2
	for _, part := range []string{a.when(), a.by(), cells.CutFront(cells.Printable(a.path()), 44)} {
		if part != "" {
			c.y += textLine
			c.lineOf("beside", "start", 0, 1, part)
		}
	}
}

// sign says by its form what the colour says too.
func sign(a *Action) string {
	switch outcomeClass(a) {
	case "good":
		return "✓"
	case "bad":
		return "✕"
	}
	return "?"
}

func outcomeClass(a *Action) string {
	return map[Style]string{Good: "good", Bad: "bad", Unsure: "unsure"}[outcomeStyle(a)]
}

func (c *canvas) part(heading string) {
	c.y += 34
	c.write("part", "start", 0, 0, c.y, heading)
}
