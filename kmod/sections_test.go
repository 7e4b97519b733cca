package kmod

import (
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSectionKind: as the kernel sorts them.
func TestSectionKind(t *testing.T) {
	const alloc, write, code = elf.SHF_ALLOC, elf.SHF_WRITE, elf.SHF_EXECINSTR
	image := &image{sections: []section{
		{name: ".text", flags: alloc | code, size: 1},
		{name: ".init.text", flags: alloc | code, size: 2},
		{name: ".rodata", flags: alloc, size: 3},
		{name: ".data", flags: alloc | write, size: 4},
		{name: ".data..ro_after_init", flags: alloc | write, size: 5},
		{name: ".bss", kind: elf.SHT_NOBITS, flags: alloc | write, size: 6},
		{name: ".data..percpu", flags: alloc | write, size: 7},
		{name: ".modinfo", flags: alloc, size: 8},
		{name: ".init.data", flags: alloc | write, size: 9},
		{name: ".debug_info", size: 10},
		{name: ".empty", flags: alloc},
	}}
	want := []Section{
		{".text", SectionText, 1, false}, {".init.text", SectionText, 2, true}, {".rodata", SectionRodata, 3, false},
		{".data", SectionData, 4, false}, {".data..ro_after_init", SectionRodata, 5, false}, {".bss", SectionBSS, 6, false},
		{".data..percpu", SectionPerCPU, 7, false}, {".modinfo", SectionInfo, 8, false}, {".init.data", SectionData, 9, true},
	}
	if diff := cmp.Diff(want, sections(image)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSectionAddresses(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"shown/sections/.text": "0xffffffffc0437000\n", "shown/sections/.data": "0xffffffffc0439000", "shown/sections/.odd": "?\n",
		"hidden/sections/.text": "0x0000000000000000\n", "builtin/version": "1\n",
	} {
		path := filepath.Join(root, "sys/module", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := SectionAddresses(root, "shown")
	if want := (map[string]Address{".text": 0xffffffffc0437000, ".data": 0xffffffffc0439000}); err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for module, want := range map[string]error{"hidden": fs.ErrPermission, "builtin": ErrNotLoaded, "gone": ErrNotLoaded} {
		if got, err := SectionAddresses(root, module); !errors.Is(err, want) {
			t.Errorf("%s: %v, %v; want %v", module, got, err, want)
		}
	}
}
