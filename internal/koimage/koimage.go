// Package koimage builds module files for tests: small, valid in form, with content
// that the test chooses. No kernel would run them.
package koimage

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
)

// Module is what a file is to say about itself.
type Module struct {
	Info      []string // lines of .modinfo, key=value
	Imports   []Symbol
	Exports   []Symbol
	BuildID   []byte
	Narrow    bool // 32-bit
	BigEndian bool
	Flags     bool   // mark GPL exports in __kflagstab, as kernels after 7.0 do
	This      bool   // has the section that becomes struct module
	Struct    []byte // what is set in it
	Extended  bool   // versions of imports in the tables of kernels from 6.14 on
	Code      []byte // before all else
	Room      uint64 // bytes that begin as zeroes, which the file does not have
	PerCPU    uint64 // the same for each CPU
	Tail      []byte // after all else but the names of sections
}

// Symbol is an import or an export.
type Symbol struct {
	Name      string
	CRC       uint32
	GPL       bool
	Namespace string
	Weak      bool
}

// Hello is a module with a little of everything.
func Hello() Module {
	return Module{
		Info: []string{
			"license=GPL", "description=Says hello", "author=A", "author=B", "version=1.0",
			"alias=hello-alias", "depends=mod_a,mod_b", "softdep=pre: mod_c",
			"parmtype=who:charp", "parm=who:whom to greet", "parmtype=times:int",
			"name=hello", "vermagic=6.12.0 SMP preempt mod_unload modversions ",
		},
		Imports: []Symbol{{Name: "_printk", CRC: 0x12345678}, {Name: "maybe", CRC: 1, Weak: true}},
		Exports: []Symbol{
			{Name: "hello_free", CRC: 0xdeadbeef},
			{Name: "hello_gpl", CRC: 0xcafe, GPL: true, Namespace: "HELLO"},
		},
		BuildID: []byte{0xab, 0xcd, 0xef},
	}
}

// Bytes gives the file.
func (m Module) Bytes() []byte {
	b := &builder{Module: m, order: binary.LittleEndian, names: []byte{0}, sections: []section{{}}}
	if m.BigEndian {
		b.order = binary.BigEndian
	}
	if m.Code != nil {
		b.add(section{name: ".text", data: m.Code})
	}
	b.add(section{name: ".modinfo", data: []byte(strings.Join(m.Info, "\x00") + "\x00")})
	if m.This {
		b.add(section{name: ".gnu.linkonce.this_module", data: append(make([]byte, 64), m.Struct...)})
	}
	if m.BuildID != nil {
		b.add(section{name: ".note.gnu.build-id", kind: elf.SHT_NOTE, data: b.note()})
	}
	b.addVersions()
	b.addExports()
	b.addImports()
	b.addRoom(".bss", m.Room)
	b.addRoom(".data..percpu", m.PerCPU)
	if m.Tail != nil {
		b.add(section{name: ".debug_info", data: m.Tail})
	}
	return b.file()
}

type section struct {
	name string
	kind elf.SectionType
	link int
	data []byte

	flags elf.SectionFlag
	size  uint64 // in memory, where there is no data
}

type builder struct {
	Module
	order    binary.AppendByteOrder
	names    []byte // text of the symbol table
	symbols  []byte
	sections []section
}

func (b *builder) add(s section) int {
	if s.kind == 0 {
		s.kind = elf.SHT_PROGBITS
	}
	b.sections = append(b.sections, s)
	return len(b.sections) - 1
}

// addRoom adds a section that is not in the file.
func (b *builder) addRoom(name string, size uint64) {
	if size > 0 {
		b.add(section{name: name, kind: elf.SHT_NOBITS, flags: elf.SHF_ALLOC | elf.SHF_WRITE, size: size})
	}
}

func (b *builder) word(v uint32) []byte { return b.order.AppendUint32(nil, v) }

func (b *builder) addr(v uint64) []byte {
	if b.Narrow {
		return b.word(uint32(v))
	}
	return b.order.AppendUint64(nil, v)
}

func (b *builder) note() []byte {
	return bytes.Join([][]byte{b.word(4), b.word(uint32(len(b.BuildID))), b.word(3), []byte("GNU\x00"), b.BuildID}, nil)
}

// addVersions writes the versions of the imports.
func (b *builder) addVersions() {
	var pairs, crcs, names []byte
	for _, s := range b.Imports {
		entry := make([]byte, 64)
		copy(entry[copy(entry, b.addr(uint64(s.CRC))):], s.Name)
		pairs = append(pairs, entry...)
		crcs = append(crcs, b.word(s.CRC)...)
		names = append(names, s.Name+"\x00"...)
	}
	if b.Extended {
		b.add(section{name: "__version_ext_crcs", data: crcs})
		b.add(section{name: "__version_ext_names", data: names})
	} else {
		b.add(section{name: "__versions", data: pairs})
	}
}

// place is where an export's entries are.
type place struct{ value, text, crc int }

// addExports writes the tables of exports, and the symbols that name their entries.
func (b *builder) addExports() {
	const entrySize = 12
	tables := map[bool]*section{false: {name: "__ksymtab"}, true: {name: "__ksymtab_gpl"}}
	var texts, crcs, flags []byte
	places := make(map[string]place)
	for _, e := range b.Exports {
		table := tables[e.GPL && !b.Flags]
		places[e.Name] = place{value: len(table.data), text: len(texts), crc: len(crcs)}
		table.data = append(table.data, make([]byte, entrySize)...)
		texts = append(texts, e.Namespace+"\x00"...)
		crcs = append(crcs, b.word(e.CRC)...)
		flags = append(flags, map[bool]byte{true: 1}[e.GPL])
	}
	free, gpl := b.add(*tables[false]), b.add(*tables[true])
	text, crc := b.add(section{name: "__ksymtab_strings", data: texts}), b.add(section{name: "__kcrctab", data: crcs})
	if b.Flags {
		b.add(section{name: "__kflagstab", data: flags})
	}
	for _, e := range b.Exports {
		in := free
		if e.GPL && !b.Flags {
			in = gpl
		}
		p := places[e.Name]
		b.symbol("__ksymtab_"+e.Name, elf.STB_LOCAL, in, p.value)
		b.symbol("__kstrtabns_"+e.Name, elf.STB_LOCAL, text, p.text)
		b.symbol("__crc_"+e.Name, elf.STB_LOCAL, crc, p.crc)
	}
}

// addImports ends the symbol table with the undefined symbols.
func (b *builder) addImports() {
	for _, s := range b.Imports {
		binding := elf.STB_GLOBAL
		if s.Weak {
			binding = elf.STB_WEAK
		}
		b.symbol(s.Name, binding, 0, 0)
	}
	texts := b.add(section{name: ".strtab", kind: elf.SHT_STRTAB, data: b.names})
	b.add(section{name: ".symtab", kind: elf.SHT_SYMTAB, link: texts, data: b.symbols})
}

func (b *builder) symbol(name string, binding elf.SymBind, section, value int) {
	at := b.word(uint32(len(b.names)))
	b.names = append(b.names, name+"\x00"...)
	info := []byte{elf.ST_INFO(binding, elf.STT_NOTYPE), 0}
	index := b.order.AppendUint16(nil, uint16(section))
	parts := [][]byte{at, info, index, b.addr(uint64(value)), b.addr(0)}
	if b.Narrow {
		parts = [][]byte{at, b.addr(uint64(value)), b.addr(0), info, index}
	}
	b.symbols = append(b.symbols, bytes.Join(parts, nil)...)
}

// file joins header, contents and the table of sections.
func (b *builder) file() []byte {
	names := []byte{0}
	offsets := make([]int, len(b.sections)+1)
	b.add(section{name: ".shstrtab", kind: elf.SHT_STRTAB})
	for i := range b.sections {
		if i > 0 {
			offsets[i] = len(names)
			names = append(names, b.sections[i].name+"\x00"...)
		}
	}
	b.sections[len(b.sections)-1].data = names

	headerSize, entrySize := 64, 64
	if b.Narrow {
		headerSize, entrySize = 52, 40
	}
	var body, table []byte
	for i, s := range b.sections {
		table = append(table, b.sectionHeader(s, offsets[i], headerSize+len(body))...)
		body = append(body, s.data...)
	}
	header := b.header(headerSize, headerSize+len(body), entrySize)
	return bytes.Join([][]byte{header, body, table}, nil)
}

func (b *builder) sectionHeader(s section, name, offset int) []byte {
	return bytes.Join([][]byte{
		b.word(uint32(name)), b.word(uint32(s.kind)), b.addr(uint64(s.flags)), b.addr(0), b.addr(uint64(offset)), b.addr(max(s.size, uint64(len(s.data)))),
		b.word(uint32(s.link)), b.word(0), b.addr(1), b.addr(0),
	}, nil)
}

func (b *builder) header(size, table, entrySize int) []byte {
	ident := make([]byte, elf.EI_NIDENT)
	copy(ident, elf.ELFMAG)
	ident[elf.EI_CLASS], ident[elf.EI_DATA], ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	machine := elf.EM_X86_64
	if b.Narrow {
		ident[elf.EI_CLASS], machine = byte(elf.ELFCLASS32), elf.EM_ARM
	}
	if b.BigEndian {
		ident[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	}
	half := func(v int) []byte { return b.order.AppendUint16(nil, uint16(v)) }
	return bytes.Join([][]byte{
		ident, half(int(elf.ET_REL)), half(int(machine)), b.word(1), b.addr(0), b.addr(0), b.addr(uint64(table)), b.word(0),
		half(size), half(0), half(0), half(entrySize), half(len(b.sections)), half(len(b.sections) - 1),
	}, nil)
}

// Sign appends a signature's bytes as the kernel's build does.
func Sign(image, signature []byte) []byte {
	info := make([]byte, 12)
	info[2] = 2 // PKCS#7
	binary.BigEndian.PutUint32(info[8:], uint32(len(signature)))
	return bytes.Join([][]byte{image, signature, info, []byte("~Module signature appended~\n")}, nil)
}
