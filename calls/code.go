package calls

import (
	"bytes"
	"debug/elf"
	"errors"
	"slices"
	"strings"
)

// function is one of a module's own.
type function struct {
	name         string
	section      int // of code.sections
	offset, size uint64
	info         info
	why          string // it cannot be probed; "" where it can
	sites        []site
	next         []int // functions that it calls or mentions
}

// site is a call of a function of the kernel, or of another module, in the module's code.
type site struct {
	callee   string
	function int    // of Plan.functions
	offset   uint64 // of the call, in its function
	after    uint64 // of the instruction after it
	tail     bool   // a jump: the callee returns to the caller of the function
	returns  Type
	place    string
	why      string
}

func (s *site) probes() int {
	if s.tail {
		return 1
	}
	return 2
}

// section is one with code.
type section struct {
	name        string
	size, align uint64
	data        []byte
}

// code is what a module's file says about its functions and their calls.
type code struct {
	machine   elf.Machine
	sections  []section
	functions []function // by section and offset
	init      int        // of functions; -1 where there is none
	exit      int
	mentioned []int // in data, as those are that the kernel calls back
	traced    map[place]bool
	altered   map[place]bool // the kernel changes the instructions there
	file      *elf.File
	symbols   []elf.Symbol
	index     []int // of each section of the file, in sections; -1 for others
	image     []byte
}

// place is an offset in a section with code.
type place struct {
	section int
	offset  uint64
}

var errMachine = errors.New("calls can be looked into on x86-64 and arm64 only")

func readCode(image []byte) (*code, error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	if f.Machine != elf.EM_X86_64 && f.Machine != elf.EM_AARCH64 || f.Class != elf.ELFCLASS64 {
		return nil, errMachine
	}
	c := &code{machine: f.Machine, file: f, image: image, init: -1, exit: -1, traced: map[place]bool{}, altered: map[place]bool{}}
	if c.symbols, err = f.Symbols(); errors.Is(err, elf.ErrNoSymbols) {
		return nil, ErrNoSymbols
	} else if err != nil {
		return nil, err
	}
	if err := c.readSections(); err != nil {
		return nil, err
	}
	c.readFunctions()
	if len(c.functions) == 0 {
		return nil, ErrNoSymbols
	}
	c.readTables()
	c.judge()
	c.readCalls()
	return c, nil
}

func (c *code) readSections() error {
	for _, s := range c.file.Sections {
		at := -1
		if s.Flags&elf.SHF_EXECINSTR != 0 && s.Flags&elf.SHF_ALLOC != 0 && s.Type == elf.SHT_PROGBITS && s.Name != ".altinstr_replacement" {
			data, err := s.Data()
			if err != nil {
				return err
			}
			at = len(c.sections)
			c.sections = append(c.sections, section{s.Name, s.Size, max(s.Addralign, 1), data})
		}
		c.index = append(c.index, at)
	}
	return nil
}

// readFunctions takes each function once: init_module is another name of a module's own init.
func (c *code) readFunctions() {
	at := make(map[place]int)
	var init, exit place = place{-1, 0}, place{-1, 0}
	for i := range c.symbols {
		s := &c.symbols[i]
		section := c.sectionOf(s)
		if elf.ST_TYPE(s.Info) != elf.STT_FUNC || section < 0 || s.Size == 0 || strings.HasPrefix(s.Name, "__pfx_") || strings.HasPrefix(s.Name, "__cfi_") {
			continue
		}
		here := place{section, s.Value}
		switch s.Name {
		case "init_module":
			init = here
		case "cleanup_module":
			exit = here
		}
		if old, ok := at[here]; ok {
			if n := c.functions[old].name; n == "init_module" || n == "cleanup_module" {
				c.functions[old].name = s.Name
			}
			continue
		}
		at[here] = len(c.functions)
		c.functions = append(c.functions, function{name: s.Name, section: section, offset: s.Value, size: s.Size})
	}
	slices.SortStableFunc(c.functions, func(a, b function) int {
		if a.section != b.section {
			return a.section - b.section
		}
		return int(int64(a.offset) - int64(b.offset))
	})
	c.init, c.exit = c.starting(init), c.starting(exit)
}

func (c *code) sectionOf(s *elf.Symbol) int {
	if int(s.Section) < len(c.index) {
		return c.index[s.Section]
	}
	return -1
}

// starting gives the function that starts there; -1 for none.
func (c *code) starting(p place) int {
	if i := c.containing(p); i >= 0 && c.functions[i].offset == p.offset {
		return i
	}
	return -1
}

// containing gives the function that a place is in; -1 for none.
func (c *code) containing(p place) int {
	i, found := slices.BinarySearchFunc(c.functions, p, func(f function, p place) int {
		if f.section != p.section {
			return f.section - p.section
		}
		return int(int64(f.offset) - int64(p.offset))
	})
	if found {
		return i
	}
	if i--; i >= 0 && c.functions[i].section == p.section && p.offset < c.functions[i].offset+c.functions[i].size {
		return i
	}
	return -1
}

// judge says of each function why it cannot be probed.
func (c *code) judge() {
	names := make(map[string]int)
	for i := range c.symbols {
		if elf.ST_TYPE(c.symbols[i].Info) == elf.STT_FUNC {
			names[c.symbols[i].Name]++
		}
	}
	for i := range c.functions {
		f := &c.functions[i]
		switch {
		case names[f.name] > 1:
			f.why = "several functions of the module have this name"
		case strings.HasSuffix(f.name, ".cold") || strings.Contains(f.name, ".cold."):
			f.why = "a part of another function, which the compiler has moved"
		case len(c.traced) > 0 && !c.isTraced(f):
			f.why = "not traceable (notrace, or in a section that is not traced)"
		case !probeable(f.name):
			f.why = "its name cannot be written in the definition of a probe"
		}
	}
}

// probeable tells whether the kernel reads a name in a probe as this name.
func probeable(name string) bool {
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.', r == '$':
		default:
			return false
		}
	}
	return len(name) > 0 && len(name) < 512
}

// isTraced looks for the place at or shortly before its start that ftrace patches.
func (c *code) isTraced(f *function) bool {
	const before, within = 16, 16
	for at := f.offset - min(before, f.offset); at < f.offset+min(within, f.size); at++ {
		if p := (place{f.section, at}); c.traced[p] {
			if i := c.containing(p); i < 0 || c.functions[i].offset == f.offset {
				return true
			}
		}
	}
	return false
}

// root is the init or the exit.
func (c *code) root(part Part) int {
	if part == Exit {
		return c.exit
	}
	return c.init
}

// order lists the functions that may run in a part, the nearest to its root first: what it calls, then what the
// kernel may call back, then the rest.
func (c *code) order(part Part) []int {
	var order []int
	seen := make([]bool, len(c.functions))
	other := ".exit."
	if part == Exit {
		other = ".init."
	}
	visit := func(roots ...int) {
		from := len(order)
		add := func(i int) {
			if i >= 0 && !seen[i] && !strings.HasPrefix(c.sections[c.functions[i].section].name, other) {
				seen[i] = true
				order = append(order, i)
			}
		}
		for _, i := range roots {
			add(i)
		}
		for ; from < len(order); from++ {
			for _, i := range c.functions[order[from]].next {
				add(i)
			}
		}
	}
	visit(c.root(part))
	visit(c.mentioned...)
	for i := range c.functions {
		visit(i)
	}
	return order
}
