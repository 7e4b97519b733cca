package render

import (
	"fmt"
	"io"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// FileFields renders a file: keys are those of modinfo where it has one.
func FileFields(f *kmod.File) []kmod.Field {
	lines := []kmod.Field{{Key: "filename", Value: f.Path}}
	for _, field := range f.Fields {
		if field.Key != "parm" && field.Key != "parmtype" {
			lines = append(lines, field)
		}
	}
	for _, p := range f.Parameters {
		lines = append(lines, kmod.Field{Key: "parm", Value: parameterText(p)})
	}
	lines = append(lines,
		kmod.Field{Key: "machine", Value: fmt.Sprintf("%s, %d bits", f.Machine, f.WordSize)},
		kmod.Field{Key: "size", Value: fmt.Sprintf("%d bytes (file: %d, compression: %v)", f.Size, f.FileSize, f.Compression)},
	)
	if f.BuildID != "" {
		lines = append(lines, kmod.Field{Key: "build_id", Value: f.BuildID})
	}
	lines = append(lines,
		kmod.Field{Key: "imports", Value: importCount(f.Imports)},
		kmod.Field{Key: "exports", Value: exportCount(f.Exports)},
	)
	return append(lines, signatureLines(f.Signature)...)
}

func parameterText(p kmod.Parameter) string {
	switch {
	case p.Type == "":
		return p.Name + ":" + p.Description
	case p.Description == "":
		return p.Name + ":" + p.Type
	}
	return fmt.Sprintf("%s:%s (%s)", p.Name, p.Description, p.Type)
}

func importCount(imports []kmod.Import) string {
	versions := 0
	for _, symbol := range imports {
		if symbol.CRC != nil {
			versions++
		}
	}
	return fmt.Sprintf("%d symbols (%d with versions)", len(imports), versions)
}

func exportCount(exports []kmod.Export) string {
	gpl := 0
	for _, symbol := range exports {
		if symbol.GPL {
			gpl++
		}
	}
	return fmt.Sprintf("%d symbols (%d for GPL modules only)", len(exports), gpl)
}

func signatureLines(s *kmod.Signature) []kmod.Field {
	switch {
	case s == nil:
		return []kmod.Field{{Key: "signature", Value: "none"}}
	case s.Problem != "":
		return []kmod.Field{{Key: "signature", Value: fmt.Sprintf("damaged: %s", s.Problem)}}
	}
	lines := []kmod.Field{{Key: "signature", Value: fmt.Sprintf("appended, %d bytes, not verified here", s.Size)}, {Key: "sig_id", Value: s.Kind}}
	if s.Signer != "" {
		lines = append(lines, kmod.Field{Key: "signer", Value: s.Signer})
	}
	return append(lines, kmod.Field{Key: "sig_key", Value: s.KeyID}, kmod.Field{Key: "sig_hashalgo", Value: s.Hash})
}

// SymbolFields lists imports and exports: version, name, and what limits their use.
func SymbolFields(f *kmod.File) []kmod.Field {
	var lines []kmod.Field
	for _, symbol := range f.Imports {
		text := versionText(symbol.CRC) + symbol.Name
		if symbol.Weak {
			text += " (weak)"
		}
		lines = append(lines, kmod.Field{Key: "import", Value: text})
	}
	for _, symbol := range f.Exports {
		text := versionText(symbol.CRC) + symbol.Name
		if symbol.GPL {
			text += " (GPL)"
		}
		if symbol.Namespace != "" {
			text += " in " + symbol.Namespace
		}
		lines = append(lines, kmod.Field{Key: "export", Value: text})
	}
	return lines
}

// RefcountFields warn of a module in the kernel that no tool may unload.
func RefcountFields(m *kmod.Module) []kmod.Field {
	if m == nil || !m.RefsNegative {
		return nil
	}
	return []kmod.Field{{Key: "loaded_refs", Value: fmt.Sprintf("%d: %s, so that it cannot be unloaded until reboot (kmodtrace explain refcount-negative)", *m.Refs, refcountNegative)}}
}

// BlockedFields render the lines of modprobe's configuration that are against a file's module.
func BlockedFields(lines []kernel.ConfigLine, loaded bool) (fields []kmod.Field) {
	for i := range lines {
		text := lines[i].Place() + ": " + lines[i].Text
		switch {
		case loaded && lines[i].Blocking:
			text += " (it is loaded all the same)"
		case lines[i].Install && !lines[i].Blocking:
			text += " (modprobe runs this command instead of loading it)"
		}
		fields = append(fields, kmod.Field{Key: "blocked_by", Value: text})
		for _, other := range lines[i].Beats {
			fields = append(fields, kmod.Field{Key: "blocked_by", Value: other + " (does not count: " + lines[i].Place() + " does)"})
		}
	}
	return fields
}

// UnreadableFields warn of configuration that is not among what the other fields say.
func UnreadableFields(files []kernel.Ineffective) (fields []kmod.Field) {
	for _, file := range files {
		fields = append(fields, kmod.Field{Key: "unreadable", Value: file.String() + ": what it says of this module is not known"})
	}
	return fields
}

// OptionFields render the lines of modprobe's configuration that have parameters for a file's module, and
// say by which name modprobe goes where that is not the module's.
func OptionFields(f *kmod.File, lines []kernel.OptionLine) []kmod.Field {
	var fields []kmod.Field
	if name := kmod.NameOfFile(f.Path); name != modname.Normal(f.Name) {
		fields = append(fields, kmod.Field{Key: "modprobe_name", Value: name + ": options and blacklists of modprobe go by the name of the file"})
	}
	for i := range lines {
		line := &lines[i]
		text := line.Place() + ": "
		if line.Ignored != "" || len(line.Params) == 0 {
			fields = append(fields, kmod.Field{Key: "options", Value: text + line.Text + " (ignored: " + line.Ignored + ")"})
			continue
		}
		for _, option := range line.Params {
			fields = append(fields, kmod.Field{Key: "options", Value: text + option.Text + optionNote(&option)})
		}
	}
	return fields
}

// optionNote says what became of a parameter.
func optionNote(o *kernel.Option) string {
	switch {
	case o.Later != "":
		return " (overridden by " + o.Later + ")"
	case o.Loaded == nil:
		return ""
	case o.Taken == nil:
		return fmt.Sprintf(" (the loaded module shows %q)", *o.Loaded)
	case *o.Taken:
		return " (the loaded module has it)"
	}
	return fmt.Sprintf(" (the loaded module has another value: %q)", *o.Loaded)
}

func versionText(crc *kmod.CRC) string {
	if crc == nil {
		return ""
	}
	return crc.String() + " "
}

// PrintFields prints all lines, or the values of the one field that is named.
func PrintFields(w io.Writer, lines []kmod.Field, field string) error {
	for _, line := range lines {
		var err error
		switch {
		case field == "":
			_, err = fmt.Fprintf(w, "%-16s%s\n", cells.Printable(line.Key)+":", cells.Printable(line.Value))
		case field == line.Key:
			_, err = fmt.Fprintln(w, cells.Printable(line.Value))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
