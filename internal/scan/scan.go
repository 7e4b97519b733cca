// Package scan shows which modules the kernel has by several ways of asking, and those that hide from some.
package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/presence"
)

// Options say where is looked, and how the answer is printed.
type Options struct {
	Loaded history.LoadedFlags
	JSON   bool
}

// Report is the answer. As JSON it is what docs/schema/scan.schema.json describes.
type Report struct {
	Sources []Source `json:"sources"`
	Hidden  []Hidden `json:"hidden"`
	// Unlisted is the memory of modules that the list does not have, in bytes.
	Unlisted uint64 `json:"unlisted_bytes,omitempty"`
	// Unsettled says that modules came and went all the while.
	Unsettled bool `json:"unsettled,omitempty"`
}

// Source is one that was asked, or could not be.
type Source struct {
	Name presence.Source `json:"source"`
	// Modules is how many it shows; absent where it shows none by name, and where it could not be asked.
	Modules *int   `json:"modules,omitempty"`
	Failure string `json:"failure,omitempty"` // why it could not be asked
}

// Hidden is a module that hides, with its last load where the journal has that.
type Hidden struct {
	presence.Hidden
	Loaded *history.LoadedBy `json:"loaded,omitempty"`
}

// Run looks, and prints. An error says that something was found.
func (o *Options) Run(ctx context.Context, out io.Writer) error {
	found, err := presence.Scan(ctx, o.Loaded.Root)
	if err != nil {
		return err
	}
	r := o.report(ctx, found)
	if o.JSON {
		err = term.PrintJSON(out, r)
	} else {
		_, err = io.WriteString(out, Text(render.NewResultText(term.ThemeOf(out), term.Columns(out)), r))
		err = term.OutputError(err)
	}
	if err != nil {
		return err
	}
	return r.err()
}

func (o *Options) report(ctx context.Context, found *presence.Report) *Report {
	r := &Report{Sources: []Source{}, Hidden: []Hidden{}, Unlisted: found.Unlisted, Unsettled: found.Unsettled}
	for _, s := range presence.Sources() {
		source := Source{Name: s}
		switch err := found.Look.Failure(s); {
		case err != nil:
			source.Failure = cells.OneLine(err).Error()
		case s != presence.Memory:
			n := found.Look.Count(s)
			source.Modules = &n
		}
		r.Sources = append(r.Sources, source)
	}
	for _, h := range found.Hidden {
		r.Hidden = append(r.Hidden, Hidden{h, o.Loaded.LastLoad(ctx, h.Module)})
	}
	return r
}

func (r *Report) err() error {
	switch {
	case len(r.Hidden) == 1:
		return cli.WithHint(errors.New("1 module hides"), "what it does to the kernel is not known: keep the machine's memory and disk as they are, and start it from another system")
	case len(r.Hidden) > 1:
		return fmt.Errorf("%d modules hide", len(r.Hidden))
	case r.Unlisted > 0:
		return fmt.Errorf("%d bytes of memory belong to modules that nothing shows", r.Unlisted)
	case r.Unsettled:
		return cli.WithHint(errors.New("modules came and went all the while: what hides is not known"), "ask again, or have kmodtrace serve look")
	}
	return nil
}

// Text gives the answer for people.
func Text(t *render.ResultText, r *Report) string {
	width := len("SOURCE")
	for _, s := range r.Sources {
		width = max(width, len(s.Name))
	}
	lines := []cells.Line{cells.Line{}.Cell(cells.Dim, "SOURCE", width).Add(cells.Dim, "MODULES")}
	asked := 0
	for _, s := range r.Sources {
		head := cells.Line{}.Cell(cells.Plain, string(s.Name), width)
		if s.Failure == "" {
			asked++
			lines = append(lines, head.Add(cells.Plain, s.text(r)))
			continue
		}
		for i, part := range cells.Wrap("not asked: "+cells.Printable(s.Failure), t.Width-width-2) {
			if i > 0 {
				head = cells.Line{}.Cell(cells.Plain, "", width)
			}
			lines = append(lines, head.Add(cells.Unsure, part))
		}
	}
	lines = append(lines, nil)
	for _, h := range r.Hidden {
		lines = append(lines, cells.Line{}.Add(cells.Bad, "hidden").Spaced(cells.Strong, cells.Printable(h.Module)))
		lines = append(lines, t.Wrapped("shown by", cells.Plain, names(h.Shown))...)
		lines = append(lines, t.Wrapped("not by", cells.Plain, names(h.NotShown))...)
		for _, field := range h.Loaded.Lines() {
			lines = append(lines, t.Wrapped(strings.ReplaceAll(field.Key, "_", " "), cells.Plain, cells.Printable(field.Value))...)
		}
	}
	if len(r.Hidden) == 0 && !r.Unsettled && r.Unlisted == 0 {
		lines = append(lines, cells.Line{}.Add(cells.Plain, fmt.Sprintf("These %d sources do not contradict each other.", asked)))
	}
	return t.Text(lines)
}

func (s *Source) text(r *Report) string {
	switch {
	case s.Modules != nil:
		return strconv.Itoa(*s.Modules)
	case r.Unlisted > 0:
		return fmt.Sprintf("%d bytes more than the list says", r.Unlisted)
	}
	return "as much memory as the list says"
}

func names(sources []presence.Source) string {
	all := make([]string, len(sources))
	for i, s := range sources {
		all[i] = string(s)
	}
	return strings.Join(all, ", ")
}
