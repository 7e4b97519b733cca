package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kmodtrace/kmodtrace/kmod"
)

func newReloadCommand() *cobra.Command {
	opts := new(reloadOptions)
	cmd := &cobra.Command{
		Use:   "reload FILE [PARAM=VALUE]...",
		Short: "Replace a loaded module by a new copy, and prove it by the kernel's own events",
		Long: `Take the module of that name out of the kernel and load FILE instead, both confirmed by the
kernel's own events. One that is not loaded is just loaded.

Without parameters it gets those that the old copy has now, as far as the kernel shows them.
What kmodtrace check finds is found first: a file that this kernel would refuse leaves the old
copy where it is. When the new copy does not load all the same, the old one is put back, by
its content and with its parameters: kmodtrace keeps a copy of what it loads by its path below
` + keptDir + ` as long as it is loaded; else the content is looked for at FILE and among the
kernel's installed modules, by its build id.

Exit status: 0 the new copy is in the kernel, confirmed; 1 refused, and the old copy is there
as before or put back; 2 the command line makes no sense; 3 not confirmed, or the old copy is
gone too; 4 this kernel, or this user, cannot trace, and nothing was done.`,
		Example: `  kmodtrace reload ./hello.ko
  kmodtrace reload ./hello.ko whom=Bob`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usageErrorf("reload takes the FILE of a module, and parameters")
			case !kmod.IsFile(args[0]):
				return usageErrorf("%s: want a FILE: a path with a slash, or one that ends in .ko", shortText(args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args[0], args[1:]) },
	}
	opts.register(cmd)
	cmd.Flags().Lookup("json").Usage = "print one JSON object (docs/schema/reload.schema.json)"
	return cmd
}

type reloadOptions struct{ actOptions }

func (o *reloadOptions) run(cmd *cobra.Command, path string, params kmod.Params) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	if _, err := params.Quote(); err != nil {
		return targetError(err)
	}
	content, f, err := readModule(path)
	if err != nil {
		return err
	}
	defer surviveBrokenPipe()()
	a, err := startActing(cmd.Context(), o.backend)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	ctx := cmd.Context()
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.timeout)
		defer cancel()
	}
	r := a.reload(ctx, path, content, f, params, false)
	for _, text := range r.notes() {
		zerolog.Ctx(ctx).Warn().Msg(text)
	}
	return errors.Join(o.print(cmd.OutOrStdout(), r), r.failure())
}

// readModule gives the decompressed content of a file, which must be that of a module.
func readModule(path string) ([]byte, *kmod.File, error) {
	content, err := kmod.ReadImage(path)
	if err != nil {
		return nil, nil, targetError(err)
	}
	f, err := kmod.Parse(content)
	if err == nil {
		err = f.Complete()
	}
	if err != nil {
		return nil, nil, targetError(&kmod.Error{Op: "reload", Module: path, Err: err})
	}
	return content, f, nil
}

func (o *reloadOptions) print(out io.Writer, r *reload) error {
	if o.json {
		return printJSON(out, r)
	}
	return printTo(out, func(w io.Writer) error {
		_, err := io.WriteString(w, newResultText(themeOf(out), columnsOf(out)).reload(r))
		return err
	})
}

// reload renders the parts, and which copy is in the kernel now.
func (t *resultText) reload(r *reload) string {
	var b strings.Builder
	for _, part := range []*result{r.Unload, r.Load, r.Restore} {
		if part != nil {
			b.WriteString(t.render(part))
		}
	}
	if r.Check != nil {
		b.WriteString(t.verdict(r.Check))
	}
	s, text := good, "the new copy of "+r.Module+" is in the kernel"
	switch r.InKernel {
	case oldCopy:
		s, text = unsure, "the old copy of "+r.Module+" is in the kernel"
		if r.Restore != nil {
			text += " again"
		}
	case noCopy:
		s, text = bad, "no copy of "+r.Module+" is in the kernel"
	case unknownCopy:
		s, text = bad, "it is not known which copy of "+r.Module+" is in the kernel"
	}
	b.WriteString(line{}.add(plain, "reload "+r.Target+": ").add(s, text).render(t.theme, t.width))
	return b.String()
}
