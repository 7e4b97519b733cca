package kmod

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
)

// image is a module's ELF file in memory. Contents are slices of it, and names slices
// of one copy of their table: the standard library's debug/elf copies each name, and a
// hostile file of n bytes whose every name is the whole table makes it copy n² bytes.
type image struct {
	data     []byte
	order    binary.ByteOrder
	wide     bool // 64-bit
	machine  elf.Machine
	sections []section
}

type section struct {
	name      string
	kind      elf.SectionType
	flags     elf.SectionFlag
	link      uint32
	entrySize uint64
	offset    uint64 // in the file
	size      uint64 // in memory
	data      []byte // nil where it takes no place in the file
}

type symbol struct {
	name    string
	binding elf.SymBind
	section elf.SectionIndex
	value   uint64
}

// parseImage reads the header and the sections, all bounds checked.
func parseImage(data []byte) (*image, error) {
	if len(data) < elf.EI_NIDENT || string(data[:4]) != elf.ELFMAG {
		return nil, ErrNotELF
	}
	img := &image{data: data, wide: elf.Class(data[elf.EI_CLASS]) == elf.ELFCLASS64}
	switch elf.Data(data[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		img.order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		img.order = binary.BigEndian
	default:
		return nil, fmt.Errorf("%w: unknown byte order", ErrNotModule)
	}
	if !img.wide && elf.Class(data[elf.EI_CLASS]) != elf.ELFCLASS32 {
		return nil, fmt.Errorf("%w: unknown word size", ErrNotModule)
	}
	return img, img.parseSections()
}

// parseSections reads the table of sections that the ELF header points to.
func (img *image) parseSections() error {
	h := reader{img.data, img.order, img.wide, elf.EI_NIDENT}
	kind, machine := elf.Type(h.half()), elf.Machine(h.half())
	h.word() // version
	h.addr() // entry
	h.addr() // program headers
	offset := h.addr()
	h.word() // flags
	h.skip(3 * 2)
	size, count, names := uint64(h.half()), uint64(h.half()), uint64(h.half())
	if h.past() || size < img.sectionHeaderSize() {
		return fmt.Errorf("%w: its ELF header is cut short", ErrNotModule)
	}
	if kind != elf.ET_REL {
		return fmt.Errorf("%w: it is an ELF file of another kind (%v)", ErrNotModule, kind)
	}
	img.machine = machine
	table, ok := cut(img.data, offset, size*count)
	if !ok || count == 0 || names >= count {
		return fmt.Errorf("%w: its table of sections is cut short", ErrNotModule)
	}
	img.sections = make([]section, count)
	nameOffsets := make([]uint32, count)
	for i := range img.sections {
		nameOffsets[i], ok = img.parseSection(table[uint64(i)*size:], &img.sections[i])
		if !ok {
			return fmt.Errorf("%w: section %d goes past the end of the file", ErrNotModule, i)
		}
	}
	text := string(img.sections[names].data)
	for i := range img.sections {
		img.sections[i].name = textAt(text, uint64(nameOffsets[i]))
	}
	return nil
}

func (img *image) sectionHeaderSize() uint64 {
	if img.wide {
		return 64
	}
	return 40
}

func (img *image) parseSection(header []byte, s *section) (nameOffset uint32, ok bool) {
	h := reader{header, img.order, img.wide, 0}
	nameOffset = h.word()
	s.kind = elf.SectionType(h.word())
	s.flags = elf.SectionFlag(h.addr())
	h.addr() // address
	offset, size := h.addr(), h.addr()
	s.link = h.word()
	h.word() // info
	h.addr() // alignment
	s.entrySize = h.addr()
	s.offset, s.size = offset, size
	if s.kind == elf.SHT_NOBITS || s.kind == elf.SHT_NULL {
		return nameOffset, true
	}
	s.data, ok = cut(img.data, offset, size)
	return nameOffset, ok
}

// section gives the content of the first section of a name, or nil.
func (img *image) section(name string) []byte {
	for i := range img.sections {
		if img.sections[i].name == name {
			return img.sections[i].data
		}
	}
	return nil
}

// symbols calls fn for each symbol of the symbol table.
func (img *image) symbols(fn func(symbol)) {
	size := 24
	if !img.wide {
		size = 16
	}
	for i := range img.sections {
		s := &img.sections[i]
		if s.kind != elf.SHT_SYMTAB || uint64(s.link) >= uint64(len(img.sections)) {
			continue
		}
		names := string(img.sections[s.link].data) // one copy that all names share
		for rest := s.data; len(rest) >= size; rest = rest[size:] {
			fn(img.parseSymbol(rest, names))
		}
		return // a relocatable file has one table
	}
}

func (img *image) parseSymbol(entry []byte, names string) symbol {
	h := reader{entry, img.order, img.wide, 0}
	var s symbol
	name := uint64(h.word())
	if !img.wide { // the narrow layout has value and size first
		s.value = h.addr()
		h.addr()
	}
	s.binding = elf.ST_BIND(uint8(h.byte()))
	h.byte() // visibility
	s.section = elf.SectionIndex(h.half())
	if img.wide {
		s.value = h.addr()
	}
	s.name = textAt(names, name)
	return s
}

// cut gives data[offset:offset+size] where that exists, overflow and all.
func cut(data []byte, offset, size uint64) ([]byte, bool) {
	n := uint64(len(data))
	if offset > n || size > n-offset {
		return nil, false
	}
	return data[offset : offset+size], true
}

// maxText bounds a name: the kernel's KSYM_NAME_LEN is 512, and scanning without a
// bound for each of many symbols would take time with the square of the file's size.
const maxText = 1024

// textAt gives the NUL-terminated text at an offset.
func textAt(table string, offset uint64) string {
	if offset >= uint64(len(table)) {
		return ""
	}
	text := table[offset:min(uint64(len(table)), offset+maxText)]
	if end := strings.IndexByte(text, 0); end >= 0 {
		text = text[:end]
	}
	return text
}

// reader reads fields one after the other. Past the end it gives zeroes.
type reader struct {
	data  []byte
	order binary.ByteOrder
	wide  bool
	at    int
}

func (r *reader) skip(n int) { r.at += n }
func (r *reader) past() bool { return r.at > len(r.data) }

func (r *reader) next(n int) []byte {
	r.at += n
	if r.past() {
		return make([]byte, 8)
	}
	return r.data[r.at-n : r.at]
}

func (r *reader) byte() byte   { return r.next(1)[0] }
func (r *reader) half() uint16 { return r.order.Uint16(r.next(2)) }
func (r *reader) word() uint32 { return r.order.Uint32(r.next(4)) }

func (r *reader) addr() uint64 {
	if r.wide {
		return r.order.Uint64(r.next(8))
	}
	return uint64(r.word())
}
