package kmod

import (
	"debug/elf"
	"strings"
)

// imports gives the undefined symbols, in the order of the symbol table, with the
// versions that the build recorded.
func imports(img *image, crcs map[string]*CRC) []Import {
	list := []Import{}
	img.symbols(func(s symbol) {
		if s.section != elf.SHN_UNDEF || s.name == "" {
			return
		}
		list = append(list, Import{Name: s.name, CRC: crcs[s.name], Weak: s.binding == elf.STB_WEAK})
	})
	return list
}

// importVersions reads the versions that the module was built against: pairs of CRC
// and name of 64 bytes each (__versions), or two tables of kernels from 6.14 on, for
// names that do not fit (CONFIG_EXTENDED_MODVERSIONS).
func importVersions(img *image) map[string]*CRC {
	crcs := make(map[string]*CRC)
	const size = 64
	word := 4
	if img.wide {
		word = 8
	}
	for rest := string(img.section("__versions")); len(rest) >= size; rest = rest[size:] {
		crc := reader{[]byte(rest[:word]), img.order, img.wide, 0}
		value := CRC(crc.addr())
		name, _, _ := strings.Cut(rest[word:size], "\x00")
		crcs[name] = &value
	}
	values := reader{img.section("__version_ext_crcs"), img.order, img.wide, 0}
	for name := range strings.SplitSeq(string(img.section("__version_ext_names")), "\x00") {
		value := CRC(values.word())
		if values.past() {
			break
		}
		crcs[name] = &value
	}
	return crcs
}

// exportTable collects what the symbol table tells of exports. Each export NAME has a
// __ksymtab_NAME in one of two sections, may have a __kstrtabns_NAME where its
// namespace's text begins, and with modversions a __crc_NAME.
type exportTable struct {
	img        *image
	list       []Export
	place      []symbol // of each export's entry
	crcs       map[string]*CRC
	namespaces map[string]string
	flags      []byte // of each entry, in kernels that have no table of their own for GPL
	text       string // the whole file, of which namespaces are parts
}

// exports needs the module's symbol table as the build made it: `strip
// --strip-unneeded` takes these names away, and a stripped module shows none.
func exports(img *image) []Export {
	t := exportTable{img: img, list: []Export{}, crcs: make(map[string]*CRC), namespaces: make(map[string]string), flags: img.section("__kflagstab")}
	img.symbols(t.add)
	for i := range t.list {
		e := &t.list[i]
		e.GPL = t.isGPL(t.place[i])
		e.CRC = t.crcs[e.Name]
		e.Namespace = t.namespaces[e.Name]
	}
	return t.list
}

func (t *exportTable) add(s symbol) {
	if s.section == elf.SHN_UNDEF {
		return
	}
	if name, ok := strings.CutPrefix(s.name, "__ksymtab_"); ok {
		if s.section < elf.SectionIndex(len(t.img.sections)) && strings.HasPrefix(t.img.sections[s.section].name, "__ksymtab") {
			t.list, t.place = append(t.list, Export{Name: name}), append(t.place, s)
		}
	} else if name, ok := strings.CutPrefix(s.name, "__kstrtabns_"); ok {
		t.namespaces[name] = t.textOf(s)
	} else if name, ok := strings.CutPrefix(s.name, "__crc_"); ok {
		t.crcs[name] = t.crcOf(s)
	}
}

// isGPL: until 7.1 or so a section of their own holds such symbols; after it, a byte
// of flags for each entry of the one table, bit 0 for these.
func (t *exportTable) isGPL(s symbol) bool {
	section := t.img.sections[s.section]
	if section.name == "__ksymtab_gpl" {
		return true
	}
	if len(t.flags) == 0 || len(section.data) < len(t.flags) {
		return false
	}
	i := s.value / uint64(len(section.data)/len(t.flags))
	return i < uint64(len(t.flags)) && t.flags[i]&1 != 0
}

// crcOf reads a version: the value of an absolute symbol, or the word it points to.
func (t *exportTable) crcOf(s symbol) *CRC {
	crc := CRC(s.value)
	if s.section != elf.SHN_ABS {
		word := reader{t.at(s, 4), t.img.order, t.img.wide, 0}
		if len(word.data) < 4 {
			return nil
		}
		crc = CRC(word.word())
	}
	return &crc
}

// textOf gives the text that a symbol points to.
func (t *exportTable) textOf(s symbol) string {
	data := t.at(s, maxText)
	if len(data) == 0 {
		return ""
	}
	if t.text == "" {
		t.text = string(t.img.data)
	}
	start := t.img.sections[s.section].offset + s.value
	return textAt(t.text[:start+uint64(len(data))], start)
}

// at gives up to most bytes of the place that a symbol points to.
func (t *exportTable) at(s symbol, most uint64) []byte {
	if uint64(s.section) >= uint64(len(t.img.sections)) {
		return nil
	}
	data := t.img.sections[s.section].data
	if s.value >= uint64(len(data)) {
		return nil
	}
	return data[s.value:min(uint64(len(data)), s.value+most)]
}
