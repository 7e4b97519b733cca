package calls

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Part is the part of a module's life that is looked into.
type Part uint8

// The parts.
const (
	Init Part = iota
	Exit
)

// MaxProbes is how many probes a plan has unless its options say otherwise.
const MaxProbes = 500

// PlanOptions are for [NewPlan]. The zero value is the default.
type PlanOptions struct {
	Part Part
	// MaxProbes bounds the probes; zero is [MaxProbes].
	MaxProbes int
	// Types tells what the kernel's functions return; nil where that is not known.
	Types func(function string) Type
	// OwnTypes is the same for the module's own functions, where the file has no debug information.
	OwnTypes func(function string) Type
}

// Plan is which functions and calls of a module are to be probed.
type Plan struct {
	Module string
	part   Part
	// functions are the module's own that are probed, and sites the calls of the kernel's
	// functions that are.
	functions []function
	sites     []site
	root      int // of functions: the init or exit; -1 where it is not probed
	sections  []section
	lines     lines
	// Unseen lists what cannot be probed, LeftOut counts the functions and calls that are left out for the bound.
	Unseen  []Unseen
	LeftOut int
}

// Unseen is a function whose calls are not seen.
type Unseen struct {
	Function string `json:"function"`
	Why      string `json:"why"`
}

// ErrNoSymbols: nothing can be probed without names.
var ErrNoSymbols = errors.New("the file has no symbols of functions: it was stripped, so that nothing inside it can be probed")

// NewPlan reads a module's file, which may be hostile.
func NewPlan(module string, image []byte, opts *PlanOptions) (p *Plan, err error) {
	defer func() {
		if recover() != nil { // the standard library's reader of ELF is not made for files that somebody else made
			p, err = nil, errors.New("the file's symbols and relocations cannot be read")
		}
	}()
	var o PlanOptions
	if opts != nil {
		o = *opts
	}
	if o.MaxProbes == 0 {
		o.MaxProbes = MaxProbes
	}
	c, err := readCode(image)
	if err != nil {
		return nil, err
	}
	p = &Plan{Module: module, part: o.Part, root: -1, sections: c.sections, lines: newLines(image)}
	p.choose(c, &o)
	if len(p.functions) == 0 {
		return nil, fmt.Errorf("none of the functions of %s can be probed", module)
	}
	return p, nil
}

// Probes counts the probes.
func (p *Plan) Probes() int {
	n := 2 * len(p.functions)
	for i := range p.sites {
		n += p.sites[i].probes()
	}
	return n
}

// choose takes functions in the order of how near they are to the root, with the calls in them.
func (p *Plan) choose(c *code, o *PlanOptions) {
	left := o.MaxProbes
	for _, i := range c.order(p.part) {
		f := &c.functions[i]
		if f.why != "" {
			p.Unseen = append(p.Unseen, Unseen{f.name, f.why})
			continue
		}
		if left < 2 {
			p.LeftOut++
			continue
		}
		left -= 2
		at := len(p.functions)
		if i == c.root(p.part) {
			p.root = at
		}
		f.info = p.lines.function(f.name, c.sections[f.section].name, f.offset)
		if name, suffixes, _ := strings.Cut(f.name, "."); f.info.Line == "" && o.OwnTypes != nil && !isReduced(suffixes) {
			f.info.Returns = o.OwnTypes(name)
		}
		if i == c.root(Init) {
			f.info.Returns = Int // or the module could not be built
		}
		p.functions = append(p.functions, *f)
		for _, s := range f.sites {
			switch {
			case s.why != "":
				p.unseeCall(s)
			case left < s.probes():
				p.LeftOut++
			default:
				left -= s.probes()
				s.function, s.place = at, p.lines.at(c.sections[f.section].name, f.offset+s.offset)
				if o.Types != nil {
					s.returns = o.Types(s.callee)
				}
				p.sites = append(p.sites, s)
			}
		}
	}
}

// unseeCall names a function of the kernel once.
func (p *Plan) unseeCall(s site) {
	u := Unseen{s.callee, s.why}
	if !slices.Contains(p.Unseen, u) {
		p.Unseen = append(p.Unseen, u)
	}
}
