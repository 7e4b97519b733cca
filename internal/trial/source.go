package trial

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// source knows the functions and lines of a module file.
type source struct {
	file  *elf.File
	debug *dwarf.Data       // nil where the file has none
	bases map[string]uint64 // of each section, as its addresses have them here
}

// maxDebug is how much debug information is read: compressed, it may be any amount.
const maxDebug = 512 << 20

// openHostile opens a file that may be made to trip whoever reads it; nil where it cannot
// be read.
func openHostile(path string) (s *source) {
	defer func() {
		if recover() != nil {
			s = nil
		}
	}()
	s, err := openSource(path)
	if err != nil {
		return nil
	}
	return s
}

// debugTooLarge tells of a file whose debug information takes more memory than it may. The
// old way of compressing it (.zdebug) says in the data how much it claims.
func debugTooLarge(f *elf.File) bool {
	var sum uint64
	for _, s := range f.Sections {
		if strings.HasPrefix(s.Name, ".zdebug_") || s.Size > maxDebug {
			return true
		}
		if strings.HasPrefix(s.Name, ".debug_") {
			sum += s.Size
		}
	}
	return sum > maxDebug
}

// openSource reads a module file. In it all sections begin at address 0; here each gets
// a place of its own, by its symbols, so that an address is of one line only.
func openSource(path string) (*source, error) {
	data, err := kmod.ReadImage(path)
	if err != nil {
		return nil, err
	}
	data = bytes.Clone(data)
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	bases, err := spread(f, data)
	if err != nil {
		return nil, err
	}
	if f, err = elf.NewFile(bytes.NewReader(data)); err != nil {
		return nil, err
	}
	var debug *dwarf.Data
	if !debugTooLarge(f) {
		if debug, err = f.DWARF(); err != nil { // applies the relocations, which are by symbols
			debug = nil
		}
	}
	return &source{f, debug, bases}, nil
}

// spread adds to each symbol's value the place of its section.
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

// ofFunction gives the line of an offset into a function.
func (s *source) ofFunction(name string, offset uint64) string {
	symbols, _ := s.file.Symbols()
	for i := range symbols {
		if symbols[i].Name == name && elf.ST_TYPE(symbols[i].Info) == elf.STT_FUNC {
			return s.line(symbols[i].Value + offset)
		}
	}
	return ""
}

// ofSection gives function and line of an offset into a section.
func (s *source) ofSection(section string, offset uint64) (function, line string) {
	base, ok := s.bases[section]
	if !ok {
		return "", ""
	}
	address := base + offset
	symbols, _ := s.file.Symbols()
	for i := range symbols {
		sym := &symbols[i]
		alias := sym.Name == "init_module" || sym.Name == "cleanup_module"
		if elf.ST_TYPE(sym.Info) == elf.STT_FUNC && !alias && sym.Value <= address && address < sym.Value+max(sym.Size, 1) {
			function = fmt.Sprintf("%s+%#x", sym.Name, address-sym.Value)
		}
	}
	return function, s.line(address)
}

// line gives the line of an address: of a call that returns there, or of what failed.
func (s *source) line(address uint64) string {
	if s.debug == nil {
		return ""
	}
	units := s.debug.Reader()
	for {
		unit, err := units.Next()
		if unit == nil || err != nil {
			return ""
		}
		if unit.Tag == dwarf.TagCompileUnit {
			if text := s.lineIn(unit, address); text != "" {
				return text
			}
		}
		units.SkipChildren()
	}
}

func (s *source) lineIn(unit *dwarf.Entry, address uint64) string {
	lines, err := s.debug.LineReader(unit)
	if err != nil || lines == nil {
		return ""
	}
	entry, ok := seek(lines, address)
	if !ok {
		return ""
	}
	file, line := entry.File, int64(entry.Line)
	if call := s.outermost(unit, address); call != nil {
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
func (s *source) outermost(unit *dwarf.Entry, address uint64) *dwarf.Entry {
	entries := s.debug.Reader()
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
			if s.covers(e, address) {
				return e
			}
			entries.SkipChildren()
		case dwarf.TagSubprogram:
			if !s.covers(e, address) {
				entries.SkipChildren()
			}
		case dwarf.TagLexDwarfBlock: // what it holds comes next
		default:
			entries.SkipChildren()
		}
	}
}

func (s *source) covers(e *dwarf.Entry, address uint64) bool {
	ranges, err := s.debug.Ranges(e)
	return err == nil && slices.ContainsFunc(ranges, func(r [2]uint64) bool { return r[0] <= address && address < r[1] })
}
