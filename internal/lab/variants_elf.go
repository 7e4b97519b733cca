package lab

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

// The edits here change a module in place: no offset moves, so that the one change
// is all that is wrong with it. They are for what the lab's kernels use, which is
// 64-bit and little-endian.

// Where fields are in an ELF header and in a section's.
const (
	elfType, elfMachine, elfSections = 16, 18, 40
	elfHeaderSize, sectionHeaderSize = 64, 64

	sectionType, sectionOffset, sectionSize = 4, 24, 32
)

// sectionOf gives the content of a section, which shares the module's memory, and
// its number.
func sectionOf(module []byte, name string) (content []byte, number int, err error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, 0, err
	}
	for i, s := range f.Sections {
		if s.Name == name && s.Type != elf.SHT_NOBITS {
			return module[s.Offset : s.Offset+s.FileSize], i, nil
		}
	}
	return nil, 0, fmt.Errorf("no section %s", name)
}

// sectionHeader gives the header of a section, which shares the module's memory.
func sectionHeader(module []byte, number int) []byte {
	table := binary.LittleEndian.Uint64(module[elfSections:])
	return module[table+uint64(number)*sectionHeaderSize:][:sectionHeaderSize]
}

// setInfo replaces a line of .modinfo, found by its key, by one that is no longer.
// The kernel skips the NULs that fill the rest.
func setInfo(key, line string) func([]byte) ([]byte, error) {
	return func(module []byte) ([]byte, error) {
		return module, replaceInfo(module, key, func(string) string { return line })
	}
}

// otherRelease makes vermagic that of another release with the same options.
func otherRelease(module []byte) ([]byte, error) {
	return module, replaceInfo(module, "vermagic", func(value string) string {
		_, options, _ := bytes.Cut([]byte(value), []byte(" "))
		return "vermagic=0.0.0-specimen " + string(options)
	})
}

func replaceInfo(module []byte, key string, line func(value string) string) error {
	info, _, err := sectionOf(module, ".modinfo")
	if err != nil {
		return err
	}
	for start := 0; start < len(info); {
		old, _, _ := bytes.Cut(info[start:], []byte{0})
		if value, ok := bytes.CutPrefix(old, []byte(key+"=")); ok {
			text := line(string(value))
			if len(text) > len(old) {
				return fmt.Errorf("%q is longer than %q", text, old)
			}
			clear(old[copy(old, text):])
			return nil
		}
		start += len(old) + 1
	}
	return fmt.Errorf("no %s in .modinfo", key)
}

// rename replaces a name wherever it stands: in tables of names and in messages.
func rename(from, to string) func([]byte) ([]byte, error) {
	return func(module []byte) ([]byte, error) {
		if len(from) != len(to) {
			return nil, fmt.Errorf("%s and %s differ in length", from, to)
		}
		if !bytes.Contains(module, []byte(from)) {
			return nil, fmt.Errorf("no %s in it", from)
		}
		return bytes.ReplaceAll(module, []byte(from), []byte(to)), nil
	}
}

// all makes several changes.
func all(edits ...func([]byte) ([]byte, error)) func([]byte) ([]byte, error) {
	return func(module []byte) ([]byte, error) {
		for _, edit := range edits {
			var err error
			if module, err = edit(module); err != nil {
				return nil, err
			}
		}
		return module, nil
	}
}

// otherBuild changes the build ID.
func otherBuild(module []byte) ([]byte, error) {
	note, _, err := sectionOf(module, ".note.gnu.build-id")
	if err != nil {
		return nil, err
	}
	note[len(note)-1] ^= 0xff
	return module, nil
}

// renameSection makes the kernel find no section of a name.
func renameSection(from, to string) func([]byte) ([]byte, error) {
	return func(module []byte) ([]byte, error) {
		names, _, err := sectionOf(module, ".shstrtab")
		if err != nil {
			return nil, err
		}
		renamed, err := rename(from+"\x00", to+"\x00")(names)
		if err != nil {
			return nil, err
		}
		copy(names, renamed)
		return module, nil
	}
}

// wrongCRC changes the version that the module wants of an imported symbol.
func wrongCRC(symbol string) func([]byte) ([]byte, error) {
	const entrySize, crcSize = 64, 8 // struct modversion_info
	return func(module []byte) ([]byte, error) {
		versions, _, err := sectionOf(module, "__versions")
		if err != nil {
			return nil, err
		}
		for ; len(versions) >= entrySize; versions = versions[entrySize:] {
			name, _, _ := bytes.Cut(versions[crcSize:entrySize], []byte{0})
			if string(name) == symbol {
				versions[0] ^= 0xff
				return module, nil
			}
		}
		return nil, fmt.Errorf("no version of %s", symbol)
	}
}

// otherMachine makes it a module for another kind of processor.
func otherMachine(module []byte) ([]byte, error) {
	other := elf.EM_AARCH64
	if elf.Machine(binary.LittleEndian.Uint16(module[elfMachine:])) == elf.EM_AARCH64 {
		other = elf.EM_X86_64
	}
	binary.LittleEndian.PutUint16(module[elfMachine:], uint16(other))
	return module, nil
}

// otherType makes it claim to be a program, not an object file as modules are.
func otherType(module []byte) ([]byte, error) {
	binary.LittleEndian.PutUint16(module[elfType:], uint16(elf.ET_EXEC))
	return module, nil
}

// moveSection makes a section begin behind the end of the file.
func moveSection(name string) func([]byte) ([]byte, error) {
	return func(module []byte) ([]byte, error) {
		_, number, err := sectionOf(module, name)
		if err != nil {
			return nil, err
		}
		binary.LittleEndian.PutUint64(sectionHeader(module, number)[sectionOffset:], uint64(len(module)+4096))
		return module, nil
	}
}

// growStruct makes struct module larger by what comes behind it in the file, as in a module
// that was built for a kernel with a larger one.
func growStruct(module []byte) ([]byte, error) {
	_, number, err := sectionOf(module, ".gnu.linkonce.this_module")
	if err != nil {
		return nil, err
	}
	size := sectionHeader(module, number)[sectionSize:]
	binary.LittleEndian.PutUint64(size, binary.LittleEndian.Uint64(size)+64)
	return module, nil
}

// hideSymbols makes the kernel find no table of symbols, as after strip.
func hideSymbols(module []byte) ([]byte, error) {
	_, number, err := sectionOf(module, ".symtab")
	if err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint32(sectionHeader(module, number)[sectionType:], uint32(elf.SHT_PROGBITS))
	return module, nil
}

// keepHeader leaves the ELF header, which promises sections that are not there.
func keepHeader(module []byte) ([]byte, error) {
	if len(module) < elfHeaderSize {
		return nil, errors.New("too short")
	}
	return module[:elfHeaderSize], nil
}
