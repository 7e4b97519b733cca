package kernel

import (
	"fmt"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// exports are symbols by name.
type exports map[string]Symbol

// exportTable is where one table of exported symbols lies, and what goes with it.
type exportTable struct {
	entries span
	crcs    span // a word for each entry; empty without CONFIG_MODVERSIONS
	flags   span // a byte for each entry, bit 0 for GPL; kernels from 7.1 or so
	gpl     bool // all entries are for GPL-compatible modules only
	// crcsRelative: each word is not the version but the distance to it (CONFIG_MODULE_REL_CRCS, until 5.18).
	crcsRelative bool
}

// The entry of a table, struct kernel_symbol as nearly all architectures have it
// (CONFIG_HAVE_ARCH_PREL32_RELOCATIONS): the distances from each word's own place to
// the value, the name, and (from 5.4 on) the namespace.
const (
	entrySize     = 12
	entryName     = 4
	entryNS       = 8
	flagGPL       = 1
	maxSymbolName = 512 // KSYM_NAME_LEN
)

// read adds the table's symbols. An entry that makes no sense makes the whole table
// one that is not understood.
func (t *exportTable) read(m *memory, owner, source string, into exports) error {
	if t.entries.size%entrySize != 0 {
		return fmt.Errorf("%w: a table of %d bytes", errMemory, t.entries.size)
	}
	data, err := m.read(t.entries.address, t.entries.size)
	if err != nil {
		return err
	}
	count := len(data) / entrySize
	crcs, err := t.readCRCs(m, count)
	if err != nil {
		return err
	}
	flags, err := t.readFlags(m, count)
	if err != nil {
		return err
	}
	for i := range count {
		symbol := Symbol{Owner: owner, NamespaceKnown: true, Source: source}
		if err := symbol.readEntry(m, t.entries.address+uint64(i*entrySize), data[i*entrySize:]); err != nil {
			return fmt.Errorf("entry %d of %d: %w", i, count, err)
		}
		gpl := t.gpl || flags != nil && flags[i]&flagGPL != 0
		symbol.GPL = &gpl
		if crcs != nil {
			symbol.CRC = &crcs[i]
		}
		if _, twice := into[symbol.Name]; !twice {
			into[symbol.Name] = symbol
		}
	}
	return nil
}

func (s *Symbol) readEntry(m *memory, address uint64, entry []byte) error {
	far := func(at uint64) uint64 { return address + at + uint64(int64(int32(m.order.Uint32(entry[at:])))) }
	var err error
	if s.Name, err = m.text(far(entryName), maxSymbolName); err != nil {
		return err
	}
	if !isIdentifier(s.Name) {
		return fmt.Errorf("%w: a symbol named %q", errMemory, shorten(s.Name))
	}
	if m.order.Uint32(entry[entryNS:]) == 0 {
		return nil
	}
	if s.Namespace, err = m.text(far(entryNS), maxSymbolName); err != nil {
		return err
	}
	return nil
}

// readCRCs gives one for each entry; nil where the kernel has none.
func (t *exportTable) readCRCs(m *memory, count int) ([]kmod.CRC, error) {
	if t.crcs.size == 0 || count == 0 {
		return nil, nil
	}
	if t.crcs.size != 4*count {
		return nil, fmt.Errorf("%w: %d bytes of versions for %d symbols", errMemory, t.crcs.size, count)
	}
	data, err := m.read(t.crcs.address, t.crcs.size)
	if err != nil {
		return nil, err
	}
	crcs := make([]kmod.CRC, count)
	for i := range crcs {
		word := m.order.Uint32(data[4*i:])
		if t.crcsRelative {
			far, err := m.number(t.crcs.address+uint64(4*i)+uint64(int64(int32(word))), 4)
			if err != nil {
				return nil, err
			}
			word = uint32(far)
		}
		crcs[i] = kmod.CRC(word)
	}
	return crcs, nil
}

func (t *exportTable) readFlags(m *memory, count int) ([]byte, error) {
	if t.flags.size == 0 {
		return nil, nil
	}
	if t.flags.size != count {
		return nil, fmt.Errorf("%w: %d flags for %d symbols", errMemory, t.flags.size, count)
	}
	return m.read(t.flags.address, count)
}

// isIdentifier tells whether a text can be a symbol's name. Rust's mangled names may have dots and dollars.
func isIdentifier(s string) bool {
	for _, c := range []byte(s) {
		letter := c == '_' || c == '.' || c == '$' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter {
			return false
		}
	}
	return s != ""
}
