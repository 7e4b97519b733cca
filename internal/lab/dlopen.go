package lab

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"strings"
)

// A program that opens libraries while it runs lists them in ELF notes (the package metadata for
// dlopen of the UAPI group): kmod since 33 opens liblzma and libzstd so, and without them
// depmod reads no compressed module and writes a modules.dep without dependencies.
const (
	dlopenSection  = ".note.dlopen"
	dlopenOwner    = "FDO"
	dlopenNoteType = 0x407c0c0a
	maxDlopenNotes = 1 << 20 // bytes
)

// readDlopen gives the libraries that a file lists there, each as the names under which it may be
// installed. A damaged note ends the list: what is not known of a program is as if it had no note.
func readDlopen(f *elf.File) [][]string {
	section := f.Section(dlopenSection)
	if section == nil || section.Type != elf.SHT_NOTE || section.FileSize > maxDlopenNotes {
		return nil
	}
	notes, err := section.Data()
	if err != nil {
		return nil
	}
	return parseDlopen(notes, f)
}

func parseDlopen(notes []byte, f *elf.File) (opens [][]string) {
	const header, aligned = 12, 4
	next := func(n uint32) ([]byte, bool) {
		padded := (uint64(n) + aligned - 1) &^ (aligned - 1)
		if uint64(n) > uint64(len(notes)) {
			return nil, false
		}
		field := notes[:n]
		notes = notes[min(padded, uint64(len(notes))):]
		return field, true
	}
	for len(notes) >= header {
		order := f.ByteOrder
		ownerSize, size, kind := order.Uint32(notes), order.Uint32(notes[4:]), order.Uint32(notes[8:])
		notes = notes[header:]
		owner, ok := next(ownerSize)
		if !ok {
			break
		}
		text, ok := next(size)
		if !ok {
			break
		}
		if kind != dlopenNoteType || string(bytes.TrimRight(owner, "\x00")) != dlopenOwner {
			continue
		}
		var entries []struct{ Soname []string }
		if json.Unmarshal(bytes.TrimRight(text, "\x00"), &entries) != nil {
			continue
		}
		for _, entry := range entries {
			// A name with a slash is a path, and none of those that the loader looks up.
			if len(entry.Soname) > 0 && !strings.Contains(strings.Join(entry.Soname, ""), "/") {
				opens = append(opens, entry.Soname)
			}
		}
	}
	return opens
}
