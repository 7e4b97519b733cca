package timeline

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/tracer"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// page is what page.html shows.
type page struct {
	*Picture
	Title, Summary string
	Style          template.CSS
	// The drawings: empty where there is nothing to draw.
	Together, Stages, Memory template.HTML
}

// HTML writes the picture as a page that has all in it: the drawings, and what they show
// as tables.
func (p *Picture) HTML(w io.Writer) error {
	t, err := template.New("page").Funcs(pageFuncs()).Parse(pageText)
	if err != nil {
		return err
	}
	return t.Execute(w, page{
		Picture: p, Title: p.title(), Summary: p.summary(), Style: template.CSS(pictureStyle + pageStyle),
		Together: drawing("together", "All together", p.togetherSummary(), func(c *canvas) { c.together(p) }),
		Stages:   drawing("stages", p.title(), p.summary(), func(c *canvas) { c.stages(p.Main) }),
		Memory:   drawing("memory", p.Main.bytesHeading(), p.Main.memory(), func(c *canvas) { c.parts(p.Main) }),
	})
}

// drawing gives one drawing of a page; nothing where fn draws nothing.
func drawing(id, title, description string, fn func(*canvas)) template.HTML {
	c := &canvas{id: id}
	fn(c)
	if c.body.Len() == 0 {
		return ""
	}
	c.y += 8
	return template.HTML(c.picture("", title, description, ""))
}

func pageFuncs() template.FuncMap {
	return template.FuncMap{
		"p":            cells.Printable,
		"spanTook":     func(s Span) string { return s.took() },
		"since":        since,
		"bytes":        bytesText,
		"count":        func(symbols []string) string { return bytesText(uint64(len(symbols))) },
		"number":       func(i int) int { return i + 1 },
		"texts":        texts,
		"class":        outcomeClass,
		"sign":         sign,
		"outcome":      (*Action).outcome,
		"took":         (*Action).took,
		"name":         (*Action).name,
		"facts":        pageFacts,
		"isFailed":     func(a *Action) bool { return a.Outcome == tracer.Failed },
		"stopped":      stoppedText,
		"share":        share,
		"provider":     func(p Provider) string { return p.name() },
		"symbols":      (*Action).symbols,
		"broken":       func(a *Action) bool { return newScale(a).broken() },
		"fate":         fate,
		"bytesHeading": (*Action).bytesHeading,
	}
}

// fact is a row of what is known of an action as a whole.
type fact struct{ Label, Value string }

func pageFacts(a *Action) []fact {
	facts := []fact{
		{"began", a.when()}, {"by", a.by()}, {"file", a.path()}, {"given", a.bytesGiven()}, {"memory", a.memory()},
	}
	if a.Params != nil {
		facts = append(facts, fact{"parameters", a.Params.Text})
	}
	if o := a.Origin; o != nil {
		facts = append(facts, fact{"SHA-256", string(o.SHA256)})
	}
	if m := a.Details; m != nil && a.Kind == tracer.Load {
		facts = append(facts, fact{"version", m.Version}, fact{"source", m.SrcVersion}, fact{"taints", strings.Join(m.Taints.Names(), ", ")})
	}
	var known []fact
	for _, f := range facts {
		if f.Value != "" {
			known = append(known, f)
		}
	}
	return known
}

// share is a span's part of the whole.
func share(a *Action, s Span) string {
	if s.Open || a.Open || a.Partial || a.Known <= 0 {
		return ""
	}
	part := 100 * float64(s.Took) / float64(a.Known)
	if part < 0.1 {
		return "< 0.1 %"
	}
	return decimal(part, 1) + " %"
}

func fate(a *Action, s Section) string {
	one := Action{Record: a.Record, Facts: &Facts{Sections: []Section{s}}}
	p := one.parts()
	if len(p) == 0 {
		return ""
	}
	return p[0].fate
}

func (p *Picture) togetherSummary() string {
	text := ""
	for _, a := range p.Actions {
		text += fmt.Sprintf("%s %s %s after %s: %s. ", a.Kind, a.name(), a.took(), cells.Duration(a.After), a.outcome())
	}
	return text
}
