package timeline

import (
	"fmt"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// memory is what the file's sections take, one beside the other, and a list of them.
func (c *canvas) memory(a *Action) {
	if a.memory() == "" && len(a.parts()) == 0 {
		return
	}
	c.part(a.bytesHeading())
	for _, s := range []string{a.bytesGiven(), a.memory()} {
		if s != "" {
			c.paragraph("body", textLine, s)
		}
	}
	c.parts(a)
}

func (c *canvas) parts(a *Action) {
	parts := a.parts()
	var total, before uint64
	for _, p := range parts {
		total += p.size
	}
	c.y += 10
	for _, p := range parts {
		c.rect("mem "+p.class, float64(before)/float64(total), float64(before+p.size)/float64(total), c.y, 20, p.name+": "+bytesText(p.size)+" bytes")
		before += p.size
	}
	if len(parts) > 0 {
		c.y += 24
	}
	for _, p := range parts {
		note := p.fate
		if note == "" && p.address != 0 {
			note = p.address.String()
		}
		c.y += textLine
		c.printf(`<rect class="mem %s" x="0" width="12" y="%d" height="12" rx="2"/>`+"\n", p.class, c.y-11)
		c.write("body", "start", 0, 20, c.y, p.name)
		c.lineOf("number", "end", 0.45, 0.22, bytesText(p.size))
		c.lineOf("beside", "start", 0.48, 0.52, note)
	}
}

// why says where and why it failed.
func (c *canvas) why(a *Action) {
	if a.Outcome != tracer.Failed {
		return
	}
	c.part("Why it failed")
	if s := a.Failed(); s != nil {
		c.paragraph("body", textLine, "It stopped "+stoppedText(a, s))
	}
	if a.Cause != nil {
		c.paragraph("body strong", textLine, a.Cause.String())
		c.paragraph("body", textLine, a.Cause.Next)
	}
}

func (c *canvas) messages(a *Action) {
	if len(a.Marks) == 0 {
		return
	}
	c.part("What was printed")
	for i, m := range a.Marks[:min(len(a.Marks), maxListed)] {
		head := fmt.Sprintf("%d  moment not recorded", i+1)
		if m.Timed {
			head = fmt.Sprintf("%d  %s  %s", i+1, since(m.At), m.During)
		}
		c.y += textLine + 2
		c.write("moment-label", "start", 0, 0, c.y, head)
		for _, line := range someTexts(m.Text) {
			c.paragraph("said", 16, line)
		}
	}
	if more := len(a.Marks) - maxListed; more > 0 {
		c.paragraph("note", textLine, "and "+plural(uint64(more), "message")+" more")
	}
}

func (c *canvas) symbols(a *Action) {
	if a.symbols() == "" {
		return
	}
	c.part("Symbols")
	c.paragraph("body", textLine, a.symbols())
	if a.Facts == nil {
		return
	}
	for _, p := range a.Facts.Providers {
		c.provided("body", p.name(), p.Symbols)
	}
	if len(a.Facts.Missing) > 0 {
		c.provided("body bad", "nothing provides", a.Facts.Missing)
	}
}

func (c *canvas) provided(class, by string, symbols []string) {
	c.y += textLine + 2
	c.write(class, "start", 0, 0, c.y, fontOf(class).cut(by, 0.8*narrow)+": "+bytesText(uint64(len(symbols))))
	c.y += 15
	c.lineOf("said", "start", 0, 1, joinSome(symbols))
}

func (c *canvas) notes(p *Picture) {
	for i, d := range p.Doubts() {
		if i == 0 {
			c.part("What is not known")
		}
		c.paragraph("body", textLine, d)
	}
}
