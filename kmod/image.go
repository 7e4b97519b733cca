package kmod

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// image is a module's ELF file, of which only what is wanted is read into memory. Names
// are slices of one copy of their table: the standard library's debug/elf copies each
// name, and a hostile file of n bytes whose every name is the whole table makes it copy
// n² bytes. It also allocates what a file of a few bytes claims to have.
type image struct {
	parts    *contents
	size     int64 // without the signature
	order    binary.ByteOrder
	wide     bool // 64-bit
	machine  elf.Machine
	sections []section
	left     int64 // bytes that may still be read into memory
	tooMany  bool  // a list had more than maxEntries
}

// maxTables bounds what is read of a module: its tables and texts, and neither its code
// nor its debugging information. Those of the largest real ones have a few MiB.
const maxTables = 16 << 20

// maxEntries bounds each list that a module file gives. Real ones have some thousands.
const maxEntries = 1 << 16

var errEntries = fmt.Errorf("%w: it lists more than %d things of a kind", ErrTooBig, maxEntries)

// room tells whether a list of n may grow.
func (img *image) room(n int) bool {
	img.tooMany = img.tooMany || n >= maxEntries
	return n < maxEntries
}

var errTables = fmt.Errorf("%w: its tables have more than %d bytes", ErrTooBig, maxTables)

type section struct {
	name      string
	kind      elf.SectionType
	flags     elf.SectionFlag
	link      uint32
	entrySize uint64
	offset    uint64 // in the file
	size      uint64 // in memory
	inFile    uint64 // bytes in the file
	data      []byte // nil before it is read
}

type symbol struct {
	name    string
	binding elf.SymBind
	section elf.SectionIndex
	value   uint64
}

// parseImage reads the header, the sections and the tables that this package knows, all
// bounds checked.
func parseImage(parts *contents, size int64) (*image, error) {
	const longest = 64 // of an ELF header
	head, err := parts.read(0, min(size, longest))
	if err != nil {
		return nil, err
	}
	if len(head) < elf.EI_NIDENT || string(head[:4]) != elf.ELFMAG {
		return nil, ErrNotELF
	}
	img := &image{parts: parts, size: size, wide: elf.Class(head[elf.EI_CLASS]) == elf.ELFCLASS64, left: maxTables}
	switch elf.Data(head[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		img.order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		img.order = binary.BigEndian
	default:
		return nil, fmt.Errorf("%w: unknown byte order", ErrNotModule)
	}
	if !img.wide && elf.Class(head[elf.EI_CLASS]) != elf.ELFCLASS32 {
		return nil, fmt.Errorf("%w: unknown word size", ErrNotModule)
	}
	if err := img.parseSections(head); err != nil {
		return nil, err
	}
	return img, img.readTables()
}

// parseSections reads the table of sections that the ELF header points to.
func (img *image) parseSections(head []byte) error {
	h := reader{head, img.order, img.wide, elf.EI_NIDENT}
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
	if !img.has(offset, size*count) || count == 0 || names >= count {
		return fmt.Errorf("%w: its table of sections is cut short", ErrNotModule)
	}
	table, err := img.read(offset, size*count)
	if err != nil {
		return err
	}
	img.sections = make([]section, count)
	nameOffsets := make([]uint32, count)
	for i := range img.sections {
		nameOffsets[i] = img.parseSection(table[uint64(i)*size:], &img.sections[i])
		if s := &img.sections[i]; !img.has(s.offset, s.inFile) {
			return fmt.Errorf("%w: section %d goes past the end of the file", ErrNotModule, i)
		}
	}
	text, err := img.read(img.sections[names].offset, img.sections[names].inFile)
	if err != nil {
		return err
	}
	shared := string(text)
	for i := range img.sections {
		img.sections[i].name = textAt(shared, uint64(nameOffsets[i]))
	}
	return nil
}

// has tells whether a part lies in the file, overflow and all.
func (img *image) has(offset, size uint64) bool {
	n := uint64(img.size)
	return offset <= n && size <= n-offset
}

// read reads a part of the file, which must lie in it, as far as there may be more.
func (img *image) read(offset, size uint64) ([]byte, error) {
	if int64(size) > img.left {
		return nil, errTables
	}
	img.left -= int64(size)
	return img.parts.read(int64(offset), int64(size))
}

// readTables reads the sections that are looked into, in the file's order: what is
// compressed is read but forwards.
func (img *image) readTables() error {
	wanted, seen, symbols := make(map[int]bool), make(map[string]bool), false
	for i := range img.sections {
		s := &img.sections[i]
		if s.kind == elf.SHT_SYMTAB && uint64(s.link) < uint64(len(img.sections)) && !symbols {
			wanted[i], wanted[int(s.link)], symbols = true, true, true
		}
		if tables[s.name] && !seen[s.name] {
			wanted[i], seen[s.name] = true, true
		}
	}
	order := slices.SortedFunc(maps.Keys(wanted), func(a, b int) int {
		return cmp.Compare(img.sections[a].offset, img.sections[b].offset)
	})
	for _, i := range order {
		s := &img.sections[i]
		var err error
		if s.data, err = img.read(s.offset, s.inFile); err != nil {
			return err
		}
	}
	return nil
}

// tables are the sections that are looked into, beside symbols.
var tables = map[string]bool{
	".modinfo": true, thisModule: true, ".note.gnu.build-id": true,
	"__versions": true, "__version_ext_crcs": true, "__version_ext_names": true, "__kflagstab": true,
}

func (img *image) sectionHeaderSize() uint64 {
	if img.wide {
		return 64
	}
	return 40
}

func (img *image) parseSection(header []byte, s *section) (nameOffset uint32) {
	h := reader{header, img.order, img.wide, 0}
	nameOffset = h.word()
	s.kind = elf.SectionType(h.word())
	s.flags = elf.SectionFlag(h.addr())
	h.addr() // address
	s.offset, s.size = h.addr(), h.addr()
	s.link = h.word()
	h.word() // info
	h.addr() // alignment
	s.entrySize = h.addr()
	if s.kind != elf.SHT_NOBITS && s.kind != elf.SHT_NULL {
		s.inFile = s.size
	}
	return nameOffset
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
