package kmod

import (
	"cmp"
	"debug/elf"
	"slices"
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
		if !img.room(len(list)) {
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
	for rest := string(img.section("__versions")); len(rest) >= size && img.room(len(crcs)); rest = rest[size:] {
		crc := reader{[]byte(rest[:word]), img.order, img.wide, 0}
		value := CRC(crc.addr())
		name, _, _ := strings.Cut(rest[word:size], "\x00")
		crcs[name] = &value
	}
	values := reader{img.section("__version_ext_crcs"), img.order, img.wide, 0}
	for name := range strings.SplitSeq(string(img.section("__version_ext_names")), "\x00") {
		value := CRC(values.word())
		if values.past() || !img.room(len(crcs)) {
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
	spots      []spot
}

// spot is a place in the file that a symbol points to, and what to do with what is there.
type spot struct {
	start, end uint64
	use        func(text string)
}

// exports needs the module's symbol table as the build made it: `strip
// --strip-unneeded` takes these names away, and a stripped module shows none.
func exports(img *image) ([]Export, error) {
	t := exportTable{img: img, list: []Export{}, crcs: make(map[string]*CRC), namespaces: make(map[string]string), flags: img.section("__kflagstab")}
	img.symbols(t.add)
	if err := t.look(); err != nil {
		return nil, err
	}
	for i := range t.list {
		e := &t.list[i]
		e.GPL = t.isGPL(t.place[i])
		e.CRC = t.crcs[e.Name]
		e.Namespace = t.namespaces[e.Name]
	}
	return t.list, nil
}

func (t *exportTable) add(s symbol) {
	if s.section == elf.SHN_UNDEF {
		return
	}
	if name, ok := strings.CutPrefix(s.name, "__ksymtab_"); ok {
		known := s.section < elf.SectionIndex(len(t.img.sections)) && strings.HasPrefix(t.img.sections[s.section].name, "__ksymtab")
		if known && t.img.room(len(t.list)) {
			t.list, t.place = append(t.list, Export{Name: name}), append(t.place, s)
		}
	} else if name, ok := strings.CutPrefix(s.name, "__kstrtabns_"); ok {
		t.spot(s, maxText, func(text string) { t.namespaces[name] = textAt(text, 0) })
	} else if name, ok := strings.CutPrefix(s.name, "__crc_"); ok {
		t.addCRC(s, name)
	}
}

// addCRC takes a version: the value of an absolute symbol, or the word it points to.
func (t *exportTable) addCRC(s symbol, name string) {
	if s.section != elf.SHN_ABS {
		t.spot(s, 4, func(text string) {
			if len(text) == 4 {
				crc := CRC(t.img.order.Uint32([]byte(text)))
				t.crcs[name] = &crc
			}
		})
	} else if t.img.room(len(t.crcs)) {
		crc := CRC(s.value)
		t.crcs[name] = &crc
	}
}

// spot has up to most bytes read of the place that a symbol points to.
func (t *exportTable) spot(s symbol, most uint64, use func(string)) {
	if uint64(s.section) >= uint64(len(t.img.sections)) || !t.img.room(len(t.spots)) {
		return
	}
	in := &t.img.sections[s.section]
	if s.value >= in.inFile {
		return
	}
	start := in.offset + s.value
	t.spots = append(t.spots, spot{start, start + min(most, in.inFile-s.value), use})
}

// look reads all spots in the file's order. Those that overlap or are near each other
// are read together, so that what is compressed is read but forwards.
func (t *exportTable) look() error {
	const near = 4 << 10
	slices.SortFunc(t.spots, func(a, b spot) int { return cmp.Compare(a.start, b.start) })
	for rest := t.spots; len(rest) > 0; {
		start, end, n := rest[0].start, rest[0].end, 1
		for ; n < len(rest) && rest[n].start <= end+near; n++ {
			end = max(end, rest[n].end)
		}
		data, err := t.img.read(start, end-start)
		if err != nil {
			return err
		}
		text := string(data) // of which all texts are parts
		for _, s := range rest[:n] {
			s.use(text[s.start-start : s.end-start])
		}
		rest = rest[n:]
	}
	return nil
}

// isGPL: until 7.1 or so a section of their own holds such symbols; after it, a byte
// of flags for each entry of the one table, bit 0 for these.
func (t *exportTable) isGPL(s symbol) bool {
	section := t.img.sections[s.section]
	if section.name == "__ksymtab_gpl" {
		return true
	}
	if len(t.flags) == 0 || section.inFile < uint64(len(t.flags)) {
		return false
	}
	i := s.value / (section.inFile / uint64(len(t.flags)))
	return i < uint64(len(t.flags)) && t.flags[i]&1 != 0
}
