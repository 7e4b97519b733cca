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

// Function is what debug information says of one.
type Function struct {
	Line    string // where it is defined
	Returns Type
}

// Functions gives those that are defined in the module, by their names, and by the names that the linker knows them by. What several functions of
// one name do not have in common is left out.
func (m *Module) Functions() map[string]Function {
	found := make(map[string]Function)
	var err error
	defer recovered(&err)
	if m.debug == nil {
		return found
	}
	entries := m.debug.Reader()
	var files []*dwarf.LineFile
	for {
		e, err := entries.Next()
		if e == nil || err != nil {
			return found
		}
		switch e.Tag {
		case dwarf.TagCompileUnit, dwarf.TagNamespace:
			if e.Tag == dwarf.TagCompileUnit {
				files = m.filesOf(e)
			}
			continue
		case dwarf.TagSubprogram:
			m.addFunction(found, files, e)
		}
		entries.SkipChildren()
	}
}

func (m *Module) filesOf(unit *dwarf.Entry) []*dwarf.LineFile {
	lines, err := m.debug.LineReader(unit)
	if err != nil || lines == nil {
		return nil
	}
	return lines.Files()
}

func (m *Module) addFunction(found map[string]Function, files []*dwarf.LineFile, e *dwarf.Entry) {
	if declaration, _ := e.Val(dwarf.AttrDeclaration).(bool); declaration {
		return
	}
	f := Function{Returns: m.returns(e)}
	n, _ := e.Val(dwarf.AttrDeclFile).(int64)
	if line, ok := e.Val(dwarf.AttrDeclLine).(int64); ok && n >= 0 && n < int64(len(files)) && files[n] != nil {
		f.Line = fmt.Sprintf("%s:%d", filepath.Base(files[n].Name), line)
	}
	for _, attribute := range []dwarf.Attr{dwarf.AttrName, dwarf.AttrLinkageName} {
		name, _ := e.Val(attribute).(string)
		if name == "" {
			continue
		}
		if old, ok := found[name]; ok {
			if old.Line != f.Line {
				f.Line = ""
			}
			if old.Returns != f.Returns {
				f.Returns = Unknown
			}
		}
		found[name] = f
	}
}

// returns reads the type of a function's result.
func (m *Module) returns(e *dwarf.Entry) Type {
	offset, ok := e.Val(dwarf.AttrType).(dwarf.Offset)
	if !ok {
		return Void
	}
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
