package timeline

import (
	"fmt"

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
func (f *Facts) parts() []part {
	if f == nil {
		return nil
	}
	order := []part{
		{name: "text", class: "m1"}, {name: "rodata", class: "m2"}, {name: "data", class: "m3"}, {name: "bss", class: "m4"},
		{name: "percpu", class: "m5", fate: "for each CPU, elsewhere"},
		{name: "init text", class: "m6", fate: "freed after init"}, {name: "init data", class: "m7", fate: "freed after init"},
		{name: "info", class: "m8", fate: "read, not kept"},
	}
	for _, s := range f.Sections {
		p := &order[partOf(s)]
		p.size += s.Size
		if s.Address != 0 && (p.address == 0 || s.Address < p.address) {
			p.address = s.Address
		}
	}
	var list []part
	for _, p := range order {
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
	text := bytesText(uint64(m.Size)) + " bytes"
	if m.Address != 0 {
		text += " at " + m.Address.String()
	}
	if m.InitSize > 0 {
		text += ", and " + bytesText(uint64(m.InitSize)) + " for its init, freed after it"
	}
	return text + "; in whole pages"
}

// bytesGiven says what the kernel got.
func (a *Action) bytesGiven() string {
	if a.Image == nil {
		return ""
	}
	text := bytesText(a.Image.Size) + " bytes (" + string(a.Image.Format) + ")"
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
		text := plural(n, "symbol") + " of others"
		if a.Outcome == tracer.Failed {
			text += " needed, and there"
		}
		return text
	case a.Symbols > 0:
		return plural(int(a.Symbols), "symbol") + " looked up"
	}
	return ""
}
