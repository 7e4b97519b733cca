package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/spf13/cobra"
)

func newInfoCommand() *cobra.Command {
	var opts infoOptions
	cmd := &cobra.Command{
		Use:   "info FILE|NAME",
		Short: "Show what a module file says about itself",
		Long: "Show what a module file says about itself: what modinfo shows, and its machine, build ID, imports,\n" +
			"exports and signature. A name or an alias is looked up by modprobe; anything with a slash, or\n" +
			"ending in .ko, .ko.gz, .ko.xz or .ko.zst, is a file. The signature is shown, not verified.\n" +
			"Where a module of that name is in the kernel, and the journal of kmodtrace serve can be read, also when it\n" +
			"was loaded, from which file, and who was behind it. Where its refcount is negative, that is said: no tool may\n" +
			"unload it.",
		Example: "  kmodtrace info ./hello.ko\n  kmodtrace info xfs --symbols\n  kmodtrace info dummy -F vermagic",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("info takes one FILE or NAME, and got %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
	cmd.Flags().BoolVar(&opts.json, "json", false, "print one JSON object (docs/schema/file.schema.json)")
	cmd.Flags().StringVarP(&opts.field, "field", "F", "", "print only the values of this field, one to a line")
	cmd.Flags().BoolVar(&opts.symbols, "symbols", false, "list the imported and exported symbols too")
	opts.loaded.Register(cmd)
	return cmd
}

type infoOptions struct {
	json    bool
	field   string
	symbols bool
	loaded  history.LoadedFlags
}

func (o *infoOptions) run(ctx context.Context, out io.Writer, target string) error {
	if o.json && (o.field != "" || o.symbols) {
		return cli.Usagef("--json prints everything: it goes with neither --field nor --symbols")
	}
	path, err := moduleFile(ctx, target)
	if err != nil {
		return err
	}
	file, err := kmod.Inspect(path)
	if err != nil {
		return err
	}
	by := o.loaded.OfModule(ctx, file.Name)
	m := o.loaded.InKernel(file.Name)
	if o.json {
		return term.PrintJSON(out, history.DescribedFile{File: file, RefsNegative: m != nil && m.RefsNegative, Loaded: by})
	}
	lines := append(infoLines(file), by.Lines()...)
	lines = append(lines, refcountLines(m)...)
	if o.symbols {
		lines = append(lines, symbolLines(file)...)
	}
	return term.PrintTo(out, func(w io.Writer) error { return o.print(w, lines) })
}

// moduleFile gives the file that a target is or stands for.
func moduleFile(ctx context.Context, target string) (string, error) {
	if kmod.IsFile(target) {
		return target, nil
	}
	files, err := kmod.Find(ctx, target, nil)
	if err != nil {
		return "", err
	}
	if len(files) > 1 {
		names := make([]string, len(files))
		for i, file := range files {
			names[i] = filepath.Base(file)
		}
		return "", fmt.Errorf("%s stands for %d modules (%s): name one", cells.Short(target), len(files), strings.Join(names, ", "))
	}
	return files[0], nil
}

// print prints all lines, or the values of the one field asked for.
func (o *infoOptions) print(w io.Writer, lines []kmod.Field) error {
	for _, line := range lines {
		var err error
		switch {
		case o.field == "":
			_, err = fmt.Fprintf(w, "%-16s%s\n", cells.Printable(line.Key)+":", cells.Printable(line.Value))
		case o.field == line.Key:
			_, err = fmt.Fprintln(w, cells.Printable(line.Value))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// infoLines renders a file: keys are those of modinfo where it has one.
func infoLines(f *kmod.File) []kmod.Field {
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

// symbolLines lists imports and exports: version, name, and what limits their use.
func symbolLines(f *kmod.File) []kmod.Field {
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

// refcountLines warn of a module in the kernel that no tool may unload.
func refcountLines(m *kmod.Module) []kmod.Field {
	if m == nil || !m.RefsNegative {
		return nil
	}
	return []kmod.Field{{Key: "loaded_refs", Value: fmt.Sprintf("%d: %s, so that it cannot be unloaded until reboot (kmodtrace explain refcount-negative)", *m.Refs, refcountNegative)}}
}

func versionText(crc *kmod.CRC) string {
	if crc == nil {
		return ""
	}
	return crc.String() + " "
}
