package addr2line

import (
	"debug/dwarf"
	"fmt"
	"path/filepath"
)

// Type is what a function returns, as far as that decides how its result is to be read.
type Type uint8

// The types. Unsigned is any value that is not negative and not an address.
const (
	Unknown Type = iota
	Void
	Bool
	Int  // 32 bits or fewer, signed
	Long // 64 bits, signed
	Unsigned
	Pointer
)

// Definition is what debug information says of a function.
type Definition struct {
	Line    string // where it is defined
	Returns Type
}

// Definitions knows the functions of a module by where they begin, because names are not enough: a module may have several of
// one name, and the linker may know one by another name.
type Definitions struct {
	module *Module
	at     map[uint64]Definition
}

// Definitions reads those of all functions.
func (m *Module) Definitions() *Definitions {
	d := &Definitions{m, make(map[uint64]Definition)}
	var err error
	defer recovered(&err)
	if m.debug == nil {
		return d
	}
	entries := m.debug.Reader()
	var files []*dwarf.LineFile
	for {
		e, err := entries.Next()
		if e == nil || err != nil {
			return d
		}
		switch e.Tag {
		case dwarf.TagCompileUnit:
			files = m.filesOf(e)
			continue
		case dwarf.TagNamespace: // of C++ and Rust
			continue
		case dwarf.TagSubprogram:
			d.add(files, e)
		}
		entries.SkipChildren()
	}
}

// At gives that of the function that begins there.
func (d *Definitions) At(section string, offset uint64) Definition {
	base, ok := d.module.bases[section]
	if !ok {
		return Definition{}
	}
	return d.at[base+offset]
}

func (m *Module) filesOf(unit *dwarf.Entry) []*dwarf.LineFile {
	lines, err := m.debug.LineReader(unit)
	if err != nil || lines == nil {
		return nil
	}
	return lines.Files()
}

// add takes a function that has code. Its copies for some arguments, and what is inlined elsewhere too, have
// name, line and type in another entry.
func (d *Definitions) add(files []*dwarf.LineFile, e *dwarf.Entry) {
	ranges, err := d.module.debug.Ranges(e)
	if err != nil || len(ranges) == 0 {
		return
	}
	var f Definition
	typed := false
	for hops := 0; e != nil && hops < 4; hops++ {
		n, _ := e.Val(dwarf.AttrDeclFile).(int64)
		if line, ok := e.Val(dwarf.AttrDeclLine).(int64); ok && f.Line == "" && n >= 0 && n < int64(len(files)) && files[n] != nil {
			f.Line = fmt.Sprintf("%s:%d", filepath.Base(files[n].Name), line)
		}
		if offset, ok := e.Val(dwarf.AttrType).(dwarf.Offset); ok && !typed {
			f.Returns, typed = d.module.kindOf(offset), true
		}
		next, more := origin(e)
		if !more {
			break
		}
		if e = d.module.entry(next); e == nil {
			return
		}
	}
	if !typed {
		f.Returns = Void
	}
	d.at[ranges[0][0]] = f
}

// origin gives where the rest of what an entry is about stands.
func origin(e *dwarf.Entry) (dwarf.Offset, bool) {
	for _, attribute := range []dwarf.Attr{dwarf.AttrAbstractOrigin, dwarf.AttrSpecification} {
		if offset, ok := e.Val(attribute).(dwarf.Offset); ok {
			return offset, true
		}
	}
	return 0, false
}

func (m *Module) entry(at dwarf.Offset) *dwarf.Entry {
	r := m.debug.Reader()
	r.Seek(at)
	e, err := r.Next()
	if err != nil {
		return nil
	}
	return e
}

// kindOf reads a type.
func (m *Module) kindOf(offset dwarf.Offset) Type {
	t, err := m.debug.Type(offset)
	if err != nil {
		return Unknown
	}
	for range 32 { // a type can be hostile too
		switch of := t.(type) {
		case *dwarf.TypedefType:
			t = of.Type
		case *dwarf.QualType:
			t = of.Type
		case *dwarf.VoidType:
			return Void
		case *dwarf.BoolType:
			return Bool
		case *dwarf.PtrType:
			return Pointer
		case *dwarf.IntType:
			if of.ByteSize > 4 {
				return Long
			}
			return Int
		case *dwarf.EnumType, *dwarf.UintType, *dwarf.CharType, *dwarf.UcharType:
			return Unsigned
		default:
			return Unknown
		}
	}
	return Unknown
}

// typeNames are the types' names.
var typeNames = [...]string{Unknown: "unknown", Void: "void", Bool: "bool", Int: "int", Long: "long", Unsigned: "unsigned", Pointer: "pointer"}

// String gives its name.
func (t Type) String() string { return typeNames[t] }

// MarshalText gives its name.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads a name that String gives.
func (t *Type) UnmarshalText(text []byte) error {
	for i, name := range typeNames {
		if name == string(text) {
			*t = Type(i)
			return nil
		}
	}
	return fmt.Errorf("unknown type %q", text)
}
