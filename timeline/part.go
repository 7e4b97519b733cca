package timeline

import (
	"fmt"
	"strings"

	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// part is all of a module's sections of one kind.
type part struct {
	name    string
	class   string // of its colour
	size    uint64
	address tracer.Address // the lowest that is known; 0 where none is
	fate    string         // what becomes of it, where it does not just stay
}

// parts sums up the sections, those that stay first.
func (a *Action) parts() []part {
	if a.Facts == nil {
		return nil
	}
	order := []part{
		{name: "text", class: "m1"}, {name: "rodata", class: "m2"}, {name: "data", class: "m3"}, {name: "bss", class: "m4"},
		{name: "percpu", class: "m5", fate: "for each CPU, elsewhere"},
		{name: "init text", class: "m6", fate: "freed after init"}, {name: "init data", class: "m7", fate: "freed after init"},
		{name: "info", class: "m8", fate: "read, not kept"},
	}
	for _, s := range a.Facts.Sections {
		p := &order[partOf(s)]
		p.size += min(s.Size, 1<<59)
		if s.Address != 0 && (p.address == 0 || s.Address < p.address) {
			p.address = s.Address
		}
	}
	var list []part
	for _, p := range order {
		if a.Outcome != tracer.Live {
			p.fate = ""
		}
		if p.size > 0 {
			list = append(list, p)
		}
	}
	return list
}

func partOf(s Section) int {
	switch {
	case s.Init && s.Kind == kmod.SectionText:
		return 5
	case s.Init:
		return 6
	}
	return map[kmod.SectionKind]int{
		kmod.SectionText: 0, kmod.SectionRodata: 1, kmod.SectionData: 2, kmod.SectionBSS: 3, kmod.SectionPerCPU: 4, kmod.SectionInfo: 7,
	}[s.Kind]
}

// memory says what the kernel itself counted, whole pages of it.
func (a *Action) memory() string {
	m := a.Details
	if m == nil || a.Kind != tracer.Load {
		return ""
	}
	text := plural(uint64(m.Size), "byte")
	if m.Address != 0 {
		text += " at " + m.Address.String()
	}
	if m.InitSize > 0 {
		text += ", and " + bytesText(uint64(m.InitSize)) + " for its init, freed after it"
	}
	if a.Outcome == tracer.Failed {
		text = strings.ReplaceAll(text, ", freed after it", "") + ": all freed when it failed"
	}
	return text + "; in whole pages"
}

// bytesHeading is for what the sections are: they went somewhere only if it is loaded.
func (a *Action) bytesHeading() string {
	if a.Outcome == tracer.Live {
		return "Where the bytes went"
	}
	return "What is in the file"
}

// bytesGiven says what the kernel got.
func (a *Action) bytesGiven() string {
	if a.Image == nil {
		return ""
	}
	text := plural(a.Image.Size, "byte") + " (" + string(a.Image.Format) + ")"
	if f := a.Facts; f != nil && f.FileSize != f.Size && f.Size > 0 {
		text += fmt.Sprintf(", from a file of %s (%s)", bytesText(uint64(f.FileSize)), f.Compression)
	}
	return text
}

// symbols says in a line how many there are.
func (a *Action) symbols() string {
	f := a.Facts
	switch {
	case f != nil && len(f.Providers)+len(f.Missing) > 0:
		n := 0
		for _, p := range f.Providers {
			n += len(p.Symbols)
		}
		if a.Outcome == tracer.Live {
			return plural(uint64(n), "symbol") + " of others bound"
		}
		return plural(uint64(n+len(f.Missing)), "symbol") + " of others needed"
	case a.Symbols > 0:
		return plural(uint64(a.Symbols), "symbol") + " looked up"
	}
	return ""
}
