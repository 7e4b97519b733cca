// Package addr2line names the function and the line of source of a place in a module's file, from its
// symbols and its debug information. The file may be hostile.
package addr2line

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Module is a module's file.
type Module struct {
	file  *elf.File
	debug *dwarf.Data       // nil where the file has none
	bases map[string]uint64 // of each section, as its addresses have them here
}

// New reads a module. Debug information of more than most bytes, decompressed, is
// left out: compressed, it may claim any amount. It errs for what has no symbols of 64 bits.
func New(image []byte, most uint64) (m *Module, err error) {
	defer recovered(&err)
	image = bytes.Clone(image) // its symbols are changed
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	bases, err := spread(f, image)
	if err != nil {
		return nil, err
	}
	if f, err = elf.NewFile(bytes.NewReader(image)); err != nil {
		return nil, err
	}
	var debug *dwarf.Data
	if !debugOver(f, most) {
		if debug, err = f.DWARF(); err != nil { // applies the relocations, which are by symbols
			debug = nil
		}
	}
	return &Module{f, debug, bases}, nil
}

// recovered makes an error of a panic: the standard library's readers of ELF and DWARF are not made for
// files that somebody else made.
func recovered(err *error) {
	if recover() != nil {
		*err = errors.New("its debug information cannot be read")
	}
}

// debugOver tells of debug information of more bytes than that. The old way of compressing it
// (.zdebug) says in the data how much it claims.
func debugOver(f *elf.File, most uint64) bool {
	var sum uint64
	for _, s := range f.Sections {
		if strings.HasPrefix(s.Name, ".zdebug_") || s.Size > most {
			return true
		}
		if strings.HasPrefix(s.Name, ".debug_") {
			sum += s.Size
		}
	}
	return sum > most
}

// spread adds to each symbol's value a place of its section: in a module's file all sections begin at
// address 0, and here an address is to be of one line only.
func spread(f *elf.File, data []byte) (map[string]uint64, error) {
	bases := make(map[string]uint64)
	at := make([]uint64, len(f.Sections))
	next := uint64(0x1000_0000)
	for i, s := range f.Sections {
		if s.Flags&elf.SHF_ALLOC != 0 && s.Size < 1<<32 {
			at[i], bases[s.Name] = next, next
			next += (s.Size + 0x1ffff) &^ 0xffff // those without bytes too
		}
	}
	table := f.SectionByType(elf.SHT_SYMTAB)
	if table == nil || f.Class != elf.ELFCLASS64 {
		return nil, fmt.Errorf("no symbols of 64 bits")
	}
	if table.Offset > uint64(len(data)) || table.Size > uint64(len(data))-table.Offset {
		return nil, fmt.Errorf("its symbols are cut short")
	}
	for entry := data[table.Offset : table.Offset+table.Size]; len(entry) >= elf.Sym64Size; entry = entry[elf.Sym64Size:] {
		if section := int(f.ByteOrder.Uint16(entry[6:])); section < len(at) {
			value := entry[8:16]
			f.ByteOrder.PutUint64(value, f.ByteOrder.Uint64(value)+at[section])
		}
	}
	return bases, nil
}

// Function gives the line of an offset into a function; "" where that is not known.
func (m *Module) Function(name string, offset uint64) (line string) {
	var err error
	defer recovered(&err)
	symbols, _ := m.file.Symbols()
	for i := range symbols {
		if symbols[i].Name == name && elf.ST_TYPE(symbols[i].Info) == elf.STT_FUNC {
			return m.line(symbols[i].Value + offset)
		}
	}
	return ""
}

// Section gives function and line of an offset into a section; "" for what is not known.
func (m *Module) Section(section string, offset uint64) (function, line string) {
	var err error
	defer recovered(&err)
	base, ok := m.bases[section]
	if !ok {
		return "", ""
	}
	address := base + offset
	symbols, _ := m.file.Symbols()
	for i := range symbols {
		sym := &symbols[i]
		alias := sym.Name == "init_module" || sym.Name == "cleanup_module"
		if elf.ST_TYPE(sym.Info) == elf.STT_FUNC && !alias && sym.Value <= address && address < sym.Value+max(sym.Size, 1) {
			function = fmt.Sprintf("%s+%#x", sym.Name, address-sym.Value)
		}
	}
	return function, m.line(address)
}

// line gives the line of an address: of a call that returns there, or of what failed.
func (m *Module) line(address uint64) string {
	if m.debug == nil {
		return ""
	}
	units := m.debug.Reader()
	for {
		unit, err := units.Next()
		if unit == nil || err != nil {
			return ""
		}
		if unit.Tag == dwarf.TagCompileUnit {
			if text := m.lineIn(unit, address); text != "" {
				return text
			}
		}
		units.SkipChildren()
	}
}

func (m *Module) lineIn(unit *dwarf.Entry, address uint64) string {
	lines, err := m.debug.LineReader(unit)
	if err != nil || lines == nil {
		return ""
	}
	entry, ok := seek(lines, address)
	if !ok {
		return ""
	}
	file, line := entry.File, int64(entry.Line)
	if call := m.outermost(unit, address); call != nil {
		n, _ := call.Val(dwarf.AttrCallFile).(int64)
		at, ok := call.Val(dwarf.AttrCallLine).(int64)
		if files := lines.Files(); ok && n >= 0 && n < int64(len(files)) && files[n] != nil {
			file, line = files[n], at
		}
	}
	return fmt.Sprintf("%s:%d", filepath.Base(file.Name), line)
}

// seek finds the entry that an address belongs to. [dwarf.LineReader.SeekPC] wants one
// sequence, or several in the order of their addresses; a module has one for each section.
func seek(lines *dwarf.LineReader, address uint64) (found dwarf.LineEntry, ok bool) {
	var last, next dwarf.LineEntry
	last.EndSequence = true
	for lines.Next(&next) == nil {
		if !last.EndSequence && last.File != nil && last.Address <= address && address < next.Address {
			return last, true
		}
		last = next
	}
	return found, false
}

// outermost gives the call, in the function that the address is in, of what was inlined
// there: what a reader of the source looks for is not in a header of the kernel. It is
// nil where nothing was.
func (m *Module) outermost(unit *dwarf.Entry, address uint64) *dwarf.Entry {
	entries := m.debug.Reader()
	entries.Seek(unit.Offset)
	if _, err := entries.Next(); err != nil {
		return nil
	}
	for {
		e, err := entries.Next()
		if e == nil || err != nil || e.Tag == dwarf.TagCompileUnit {
			return nil
		}
		switch e.Tag {
		case dwarf.TagInlinedSubroutine:
			if m.covers(e, address) {
				return e
			}
			entries.SkipChildren()
		case dwarf.TagSubprogram:
			if !m.covers(e, address) {
				entries.SkipChildren()
			}
		case dwarf.TagLexDwarfBlock: // what it holds comes next
		default:
			entries.SkipChildren()
		}
	}
}

func (m *Module) covers(e *dwarf.Entry, address uint64) bool {
	ranges, err := m.debug.Ranges(e)
	return err == nil && slices.ContainsFunc(ranges, func(r [2]uint64) bool { return r[0] <= address && address < r[1] })
}
