package main

import (
	"context"
	"fmt"
	"io"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/spf13/cobra"
)

func newInfoCommand() *cobra.Command {
	var opts infoOptions
	cmd := &cobra.Command{
		Use:   "info FILE|NAME",
		Short: "Show the metadata of a module file",
		Long: "Show the metadata of a module file: what modinfo shows, and its machine, build ID, imports,\n" +
			"exports and signature. A name or an alias is looked up by modprobe; anything with a slash, or\n" +
			"ending in .ko, .ko.gz, .ko.xz or .ko.zst, is a file. The signature is shown, not verified.\n" +
			"When a module of that name is loaded and the journal of kmodtrace serve is readable, it also shows\n" +
			"when it was loaded, from which file, and by whom. It warns when the refcount is negative: no tool\n" +
			"may unload the module.\n\n" +
			"It lists the lines of modprobe's configuration that have parameters for the module, with why\n" +
			"modprobe ignores a line, and whether the loaded module has the values; and the lines that blacklist\n" +
			"the module or run a command instead. modprobe goes by the name of the file, even where the module in\n" +
			"it has another name. It lists other installed files of that name, which modprobe does not take.",
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
		return cli.Usagef("--json prints everything: it cannot be combined with --field or --symbols")
	}
	path, err := kmod.FindOne(ctx, target)
	if err != nil {
		return becauseStale(ctx, target, err)
	}
	file, err := kmod.Inspect(path)
	if err != nil {
		return err
	}
	by := o.loaded.OfModule(ctx, file.Name)
	m := o.loaded.InKernel(file.Name)
	var options []kernel.OptionLine
	var hidden, unreadable []string
	var unread []kernel.Ineffective
	var blocked []kernel.ConfigLine
	if k, err := kernel.Open(nil); err == nil { // without /proc there is no running kernel to ask
		options = k.FileOptions(file)
		hidden = k.HiddenBy(file)
		blocked = k.Blocked(kmod.NameOfFile(file.Path))
		unread = k.Unreadable()
	}
	for _, u := range unread {
		unreadable = append(unreadable, u.String())
	}
	if o.json {
		return term.PrintJSON(out, history.DescribedFile{File: file, RefsNegative: m != nil && m.RefsNegative, Loaded: by, Options: options, Hidden: hidden, Blocked: blocked, Unreadable: unreadable})
	}
	lines := append(render.FileFields(file), by.Lines()...)
	lines = append(lines, render.RefcountFields(m)...)
	lines = append(lines, render.OptionFields(file, options)...)
	lines = append(lines, render.BlockedFields(blocked, m != nil)...)
	lines = append(lines, render.UnreadableFields(unread)...)
	for _, path := range hidden {
		lines = append(lines, kmod.Field{Key: "hides", Value: path})
	}
	if o.symbols {
		lines = append(lines, render.SymbolFields(file)...)
	}
	return term.PrintTo(out, func(w io.Writer) error { return render.PrintFields(w, lines, o.field) })
}

// becauseStale adds to the error about a name that modules.dep does not fit the files, where that is why.
func becauseStale(ctx context.Context, name string, err error) error {
	k, openErr := kernel.Open(nil)
	if openErr != nil || kmod.IsFile(name) {
		return err
	}
	verdicts, checkErr := cause.CheckName(ctx, name, k, nil)
	if checkErr != nil || len(verdicts) == 0 {
		return err
	}
	c := verdicts[len(verdicts)-1].Cause
	if c == nil || c.Code != cause.DepmodStale {
		return err
	}
	return fmt.Errorf("%w: %s. %s", err, c.Text, c.Next)
}
