package calls

import (
	"debug/elf"
	"encoding/binary"
	"regexp"
	"strings"
)

// relocation is where the kernel writes an address, and of what.
type relocation struct {
	at     uint64 // in the section that is changed
	kind   uint32
	symbol *elf.Symbol
	addend int64
}

// relocations gives those of each section that has some.
func (c *code) relocations(use func(target *elf.Section, index int, r relocation)) {
	for _, s := range c.file.Sections {
		if s.Type != elf.SHT_RELA || int(s.Info) >= len(c.file.Sections) {
			continue
		}
		data, err := s.Data()
		if err != nil {
			continue
		}
		target := c.file.Sections[s.Info]
		for ; len(data) >= 24; data = data[24:] {
			info := c.file.ByteOrder.Uint64(data[8:])
			n := int(info >> 32)
			if n < 1 || n > len(c.symbols) {
				continue // [elf.File.Symbols] leaves the first one out
			}
			use(target, c.index[s.Info], relocation{c.file.ByteOrder.Uint64(data), uint32(info), &c.symbols[n-1], int64(c.file.ByteOrder.Uint64(data[16:]))})
		}
	}
}

// target gives the place in code that a relocation means, where it means one.
func (c *code) target(r relocation, correction int64) (place, bool) {
	section := c.sectionOf(r.symbol)
	if r.symbol.Section == elf.SHN_UNDEF || section < 0 {
		return place{}, false
	}
	return place{section, uint64(int64(r.symbol.Value) + r.addend + correction)}, true
}

// readTables takes from the kernel's tables in the file what ftrace patches, what else is changed, and which
// functions are mentioned in data.
func (c *code) readTables() {
	mcount := c.file.Section("__mcount_loc") != nil
	c.relocations(func(target *elf.Section, code int, r relocation) {
		p, ok := c.target(r, 0)
		if !ok || code >= 0 || target.Flags&elf.SHF_ALLOC == 0 {
			return
		}
		switch name := target.Name; {
		case name == "__mcount_loc", name == "__patchable_function_entries" && !mcount:
			c.traced[p] = true
		case name == ".altinstructions", name == "__jump_table", name == ".static_call_sites", name == "__bug_table":
			const longest = 16 // of what is replaced; of what a jump label is, 5
			for i := range uint64(longest) {
				if i > 4 && name != ".altinstructions" {
					break
				}
				c.altered[place{p.section, p.offset + i}] = true
			}
		case isData(name):
			if i := c.starting(p); i >= 0 {
				c.mentioned = append(c.mentioned, i)
			}
		}
	})
}

func isData(section string) bool {
	for _, prefix := range []string{".data", ".rodata", ".init.data", ".init.rodata", ".bss", "__param", ".ref.data", "__ksymtab"} {
		if strings.HasPrefix(section, prefix) {
			return true
		}
	}
	return false
}

const (
	callLength = 5 // of call and jmp with a displacement, on x86-64
	wordLength = 4 // of each instruction on arm64
)

// readCalls finds, in each function, the calls of others: by relocations, and where the assembler knew the
// distance, by the instruction.
func (c *code) readCalls() {
	relocated := make(map[place]bool)
	c.relocations(func(_ *elf.Section, section int, r relocation) {
		if section < 0 {
			return
		}
		relocated[place{section, r.at}] = true
		from := c.containing(place{section, r.at})
		if from < 0 {
			return
		}
		if r.symbol.Section == elf.SHN_UNDEF {
			c.addSite(from, section, r)
			return
		}
		for _, correction := range []int64{0, 4} { // a displacement on x86-64 counts from the instruction's end
			if p, ok := c.target(r, correction); ok {
				c.addNext(from, c.starting(p))
			}
		}
	})
	if c.machine == elf.EM_X86_64 {
		c.readShortCalls(relocated)
	} else {
		c.readBranches(relocated)
	}
}

func (c *code) addNext(from, to int) {
	if to >= 0 && to != from {
		c.functions[from].next = append(c.functions[from].next, to)
	}
}

// addSite adds a call of a function that is not in the file.
func (c *code) addSite(from, section int, r relocation) {
	f := &c.functions[from]
	start, length, tail, ok := c.call(section, r)
	if !ok || start < f.offset || withoutError.MatchString(r.symbol.Name) {
		return
	}
	s := site{callee: r.symbol.Name, offset: start - f.offset, after: start + length - f.offset, tail: tail}
	switch {
	case f.why != "":
		s.why = "called in " + f.name + ", which cannot be probed"
	case c.altered[place{section, start}]:
		s.why = "called where the kernel changes its own code"
	case !tail && s.after >= f.size:
		return // it does not return
	case !tail && c.altered[place{section, start + length}]:
		s.why = "called before a place where the kernel changes its own code"
	}
	f.sites = append(f.sites, s)
}

// call reads the instruction that a relocation of an undefined symbol is in.
func (c *code) call(section int, r relocation) (start, length uint64, tail, ok bool) {
	data := c.sections[section].data
	if c.machine == elf.EM_AARCH64 {
		kind := elf.R_AARCH64(r.kind)
		return r.at, wordLength, kind == elf.R_AARCH64_JUMP26, kind == elf.R_AARCH64_CALL26 || kind == elf.R_AARCH64_JUMP26
	}
	kind := elf.R_X86_64(r.kind)
	if kind != elf.R_X86_64_PLT32 && kind != elf.R_X86_64_PC32 || r.at < 1 || r.at >= uint64(len(data)) {
		return 0, 0, false, false
	}
	opcode := data[r.at-1]
	conditional := r.at >= 2 && data[r.at-2] == 0x0f // such a jump is not always taken
	return r.at - 1, callLength, opcode == 0xe9, opcode == 0xe8 || opcode == 0xe9 && !conditional
}

// readShortCalls looks for call and jmp to the start of a function. Other bytes that look like that are
// improbable, and would only change the order in which functions are chosen.
func (c *code) readShortCalls(relocated map[place]bool) {
	for section := range c.sections {
		data := c.sections[section].data
		for at := 0; at+callLength <= len(data); at++ {
			if data[at] != 0xe8 && data[at] != 0xe9 || relocated[place{section, uint64(at + 1)}] {
				continue
			}
			to := int64(at) + callLength + int64(int32(binary.LittleEndian.Uint32(data[at+1:])))
			c.link(section, uint64(at), to)
		}
	}
}

// readBranches is the same on arm64: b and bl.
func (c *code) readBranches(relocated map[place]bool) {
	for section := range c.sections {
		data := c.sections[section].data
		for at := 0; at+wordLength <= len(data); at += wordLength {
			word := binary.LittleEndian.Uint32(data[at:])
			if word>>26&0x1f != 5 || relocated[place{section, uint64(at)}] {
				continue
			}
			c.link(section, uint64(at), int64(at)+int64(int32(word<<6)>>4))
		}
	}
}

func (c *code) link(section int, at uint64, to int64) {
	if to < 0 {
		return
	}
	if next := c.starting(place{section, uint64(to)}); next >= 0 {
		if from := c.containing(place{section, at}); from >= 0 {
			c.addNext(from, next)
		}
	}
}

// withoutError are functions that cannot fail: what the compiler calls by itself, and such as are called
// often, with a result that is not an error.
var withoutError = regexp.MustCompile(`^(__fentry__|_mcount|__x86_.*|__stack_chk_fail|__SCT__.*|__sanitizer_.*|__[akt]?[ckt]san_.*|__ubsan_.*|__fortify_.*|` +
	`str(n|case|ncase)?cmp|str(r|n|s)?n?chr|strn?len|str[ns]?(l|s)?cpy(_pad)?|strn?cat|strlcat|strn?str|mem(cmp|cpy|set|move|chr|scan|zero).*|__mem.*|bcmp|sized_str.*|` +
	`_raw_(spin|read|write)_.*|mutex_(un)?lock.*|__rcu_.*|rcu_.*|__mutex_init|__init_.*|lockdep_.*|__warn_.*|__cond_resched|__SCT.*|` +
	`_?_?(v?printk|_?dev_printk|_dev_(emerg|alert|crit|err|warn|notice|info)|_printk|__dynamic_.*)|s[cn]*printf|vs[cn]*printf|preempt_count_.*|__this_cpu_.*)$`)
