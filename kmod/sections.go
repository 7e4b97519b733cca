package kmod

import (
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// SectionKind says what a section holds.
type SectionKind string

// The kinds of sections.
const (
	SectionText   SectionKind = "text"   // code
	SectionRodata SectionKind = "rodata" // what nobody writes, or only the init does
	SectionData   SectionKind = "data"   // what may be written
	SectionBSS    SectionKind = "bss"    // the same, beginning as zeroes: not in the file
	SectionPerCPU SectionKind = "percpu" // copied for each CPU, elsewhere
	SectionInfo   SectionKind = "info"   // read while loading, and not kept at all
)

// Section is a part of a module file that the kernel puts into memory, or reads while
// it loads.
type Section struct {
	Name string      `json:"name"`
	Kind SectionKind `json:"kind"`
	Size uint64      `json:"size"` // bytes in memory
	// Init tells what only the module's init needs: freed when that has returned.
	Init bool `json:"init"`
}

// PerCPUSize is what a module has of data that each CPU has its own copy of, in bytes. The kernel
// takes it from a reserve that all modules share.
func (f *File) PerCPUSize() uint64 {
	var size uint64
	for _, s := range f.Sections {
		if s.Kind == SectionPerCPU {
			size += s.Size
		}
	}
	return size
}

// sections gives those that are for memory, in the file's order. It decides as the
// kernel does (layout_sections, module_init_section, rewrite_section_headers).
func sections(img *image) []Section {
	list := []Section{}
	for _, s := range img.sections {
		if s.flags&elf.SHF_ALLOC == 0 || s.size == 0 {
			continue
		}
		list = append(list, Section{Name: s.name, Kind: sectionKind(&s), Size: s.size, Init: strings.HasPrefix(s.name, ".init")})
	}
	return list
}

func sectionKind(s *section) SectionKind {
	switch {
	case s.name == ".modinfo", s.name == "__versions", strings.HasPrefix(s.name, "__version_ext_"):
		return SectionInfo
	case s.name == ".data..percpu":
		return SectionPerCPU
	case s.flags&elf.SHF_EXECINSTR != 0:
		return SectionText
	case s.flags&elf.SHF_WRITE == 0, s.name == ".data..ro_after_init", s.name == "__jump_table":
		return SectionRodata
	case s.kind == elf.SHT_NOBITS:
		return SectionBSS
	}
	return SectionData
}

// SectionAddresses gives where the sections of a loaded module begin, by their names,
// as /sys/module tells it. Those that only the init needed keep the addresses that they
// had. Root "" is /.
//
// It errs with [fs.ErrPermission] where the kernel shows them to others only, and with
// [ErrNotLoaded].
func SectionAddresses(root, module string) (map[string]Address, error) {
	dir := filepath.Join(rooted(root), "sys/module", module, "sections")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = because(ErrNotLoaded, err)
	}
	if err != nil {
		return nil, &Error{Op: "sections", Module: module, Err: err}
	}
	found := make(map[string]Address)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, &Error{Op: "sections", Module: module, Err: bareError(err)}
		}
		// The kernel writes zeroes for who may not know (kernel.kptr_restrict).
		if n, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(string(text)), "0x"), 16, 64); err == nil && n != 0 {
			found[e.Name()] = Address(n)
		}
	}
	if len(found) == 0 {
		return nil, &Error{Op: "sections", Module: module, Err: fs.ErrPermission}
	}
	return found, nil
}
