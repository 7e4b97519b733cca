package tracer

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/internal/wire"
)

// Symbols names addresses of the kernel's code, as /proc/kallsyms has them at the
// time that it is read: what a module had is gone with it. The zero value is
// empty; [Symbols.Read] fills it, and may be called again. It is not for several
// goroutines at once.
type Symbols struct {
	// File is read instead of /proc/kallsyms, if not empty.
	File string
	// Around, if not zero, is the only address that will be looked for: of the rest
	// nothing is kept.
	Around Address
	// OwnText keeps only the kernel's own functions: no modules, and none of the generated
	// code that the list has too.
	OwnText bool

	starts  []uint64
	entries []symbolEntry
	text    string // all names, one after another
	modules []string
}

// symbolEntry is where a name is in the text, and whose it is: there are a
// hundred thousand.
type symbolEntry struct {
	at     uint32
	length uint16
	module uint16 // index of modules
}

// Symbol is a place in the kernel's code.
type Symbol struct {
	Name   string
	Offset uint64 // from the symbol's beginning
	Module string // empty for the kernel itself
}

// String gives "misc_open+0x84", and for a module's code "settle+0x1e [taker]".
func (s Symbol) String() string {
	if s.Module == "" {
		return fmt.Sprintf("%s+%#x", s.Name, s.Offset)
	}
	return fmt.Sprintf("%s+%#x [%s]", s.Name, s.Offset, s.Module)
}

// ErrNoSymbols: the kernel hides its addresses from this user.
var ErrNoSymbols = errors.New("no symbols: the kernel hides its addresses (kernel.kptr_restrict, or no CAP_SYSLOG)")

// Bounds of what is kept, and of how far an address may be from the symbol before
// it: what is farther lies in code that has no symbol here.
const (
	maxSymbols      = 1 << 20
	maxSymbolName   = 1 << 10
	maxSymbolText   = 64 << 20
	maxSymbolOffset = 1 << 18
)

// Read takes the table as it is now.
func (s *Symbols) Read() error {
	name := s.File
	if name == "" {
		name = "/proc/kallsyms"
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read symbols: %w", err)
	}
	defer f.Close()
	var loaded map[string]extent
	if s.File == "" && !s.OwnText {
		loaded = moduleExtents()
	}
	return s.parse(f, loaded)
}

// extent is where a module's code and data are.
type extent struct {
	start, size uint64
	live        bool // its init is over, and no unload has begun
}

// moduleExtents reads where modules are. The table of symbols goes on to list the init
// functions of some (seen on arm64), in memory that is freed and may be another
// module's by now: what is not inside its module is not a symbol any more.
func moduleExtents() map[string]extent {
	text, err := os.ReadFile("/proc/modules")
	if err != nil {
		return nil
	}
	extents := make(map[string]extent)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 6 {
			continue
		}
		size, sizeErr := strconv.ParseUint(fields[1], 10, 64)
		start, startErr := strconv.ParseUint(fields[5], 0, 64)
		if sizeErr == nil && startErr == nil && start != 0 {
			extents[fields[0]] = extent{start: start, size: size, live: fields[4] == "Live"}
		}
	}
	return extents
}

// parse reads lines of "address type name" and for a module's "[module]".
func (s *Symbols) parse(r io.Reader, loaded map[string]extent) error {
	b := symbolBuilder{numbers: map[string]uint16{"": 0}, modules: []string{""}, loaded: loaded, around: uint64(s.Around), ownText: s.OwnText}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if !b.add(lines.Bytes()) {
			break
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read symbols: %w", err)
	}
	if len(b.lines) == 0 {
		return ErrNoSymbols
	}
	// Stable: of several names for one address the first is kept.
	slices.SortStableFunc(b.lines, func(x, y symbolLine) int { return cmp.Compare(x.start, y.start) })
	b.lines = slices.CompactFunc(b.lines, func(x, y symbolLine) bool { return x.start == y.start })
	s.starts, s.entries = make([]uint64, len(b.lines)), make([]symbolEntry, len(b.lines))
	for i, l := range b.lines {
		s.starts[i], s.entries[i] = l.start, l.entry
	}
	s.text, s.modules = b.text.String(), b.modules
	return nil
}

type symbolLine struct {
	start uint64
	entry symbolEntry
}

type symbolBuilder struct {
	lines   []symbolLine
	text    strings.Builder
	modules []string
	numbers map[string]uint16
	loaded  map[string]extent
	around  uint64
	ownText bool
}

// add keeps a line about code. It reports whether there is room for more.
func (b *symbolBuilder) add(line []byte) bool {
	s, ok := procfs.ParseSymbol(line)
	if !ok || !strings.ContainsRune("tTwW", rune(s.Kind)) {
		return true
	}
	if bytes.HasPrefix(s.Name, []byte("$")) {
		return true // arm64's marks between code and data ($x, $d)
	}
	if b.ownText && len(s.Module) > 0 {
		return true
	}
	start, err := strconv.ParseUint(string(s.Address), 16, 64)
	if err != nil || start == 0 || len(s.Name) == 0 || len(s.Name) > maxSymbolName { // zero: hidden
		return true
	}
	if b.around != 0 && (start > b.around || b.around-start > maxSymbolOffset) {
		return true
	}
	if at, known := b.loaded[string(s.Module)]; known && start-at.start >= at.size {
		return true
	}
	if len(b.lines) >= maxSymbols || b.text.Len()+len(s.Name) > maxSymbolText {
		return false
	}
	entry := symbolEntry{at: uint32(b.text.Len()), length: uint16(len(s.Name)), module: b.number(string(s.Module))}
	b.text.Write(s.Name)
	b.lines = append(b.lines, symbolLine{start, entry})
	return true
}

func (b *symbolBuilder) number(module string) uint16 {
	n, known := b.numbers[module]
	if !known && len(b.modules) < 1<<16 {
		n = uint16(len(b.modules))
		b.modules = append(b.modules, module)
		b.numbers[module] = n
	}
	return n
}

// Find gives the symbol that an address lies in.
func (s *Symbols) Find(address Address) (Symbol, bool) {
	i, exact := slices.BinarySearch(s.starts, uint64(address))
	if !exact {
		i--
	}
	if i < 0 || uint64(address)-s.starts[i] > maxSymbolOffset {
		return Symbol{}, false
	}
	e := s.entries[i]
	return Symbol{
		Name:   wire.Printable(s.text[e.at:][:e.length]),
		Offset: uint64(address) - s.starts[i],
		Module: wire.Printable(s.modules[e.module]),
	}, true
}

// FindCall gives the symbol of a call by the address that it returns to. That
// may be the end of the function, where the called one was not expected back.
func (s *Symbols) FindCall(returnsTo Address) (Symbol, bool) {
	if returnsTo == 0 {
		return Symbol{}, false
	}
	symbol, ok := s.Find(returnsTo - 1)
	symbol.Offset++
	return symbol, ok
}
