package main

import (
	"context"
	"errors"
	"io"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/kmodtrace/kmodtrace/timeline"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/spf13/cobra"
)

func newLoadCommand() *cobra.Command {
	opts := new(loadOptions)
	cmd := &cobra.Command{
		Use:   "load FILE|NAME [PARAM=VALUE]...",
		Short: "Load a module, and prove it by the kernel's own events",
		Long: `Load a module: a file like insmod, or a name with what it depends on like modprobe,
whose configuration is respected. What has a slash, or ends in .ko, .ko.gz, .ko.xz or
.ko.zst, is a file. The tracer is attached first; a load is confirmed when the kernel both
answered with yes and was seen to do it, down to the return of the module's own init. The
file of a FILE that was loaded is kept in ` + reload.DefaultStore + `, for kmodtrace reload.

--timeline prints what happened between the system call and live, or the failure, to scale:
the stages and their times, the messages at their moments, where the bytes went, and who
provided the symbols. --svg and --html make a picture and a page of it that need nothing
else to be seen. A FILE is replaced when the picture is whole; it stays as it was where the
kernel was not even asked. These do not go with each other on standard output, nor with
--json.

Exit status: 0 confirmed; 1 refused, by the kernel or for the file; 2 the command line
makes no sense; 3 not confirmed, or contradicted by the kernel's events; 4 this kernel, or
this user, cannot trace, and nothing was loaded.`,
		Example: `  kmodtrace load ./hello.ko whom=Bob
  kmodtrace load xfs
  kmodtrace load xfs --timeline --html xfs.html
  kmodtrace load ./hello.ko 'whom=big world' --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("load takes a FILE or NAME, and parameters")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"ko", "gz", "xz", "zst"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd, args[0], kmod.Params(args[1:]))
		},
	}
	opts.register(cmd)
	opts.picture.register(cmd)
	cmd.Flags().BoolVar(&opts.vermagic, "force-vermagic", false, "ignore which kernel it was built for; the kernel may crash")
	cmd.Flags().BoolVar(&opts.modversions, "force-modversions", false, "ignore the versions of the symbols that it needs; the kernel may crash")
	return cmd
}

type loadOptions struct {
	actOptions
	picture               pictureOptions
	vermagic, modversions bool
}

func (o *loadOptions) run(cmd *cobra.Command, target string, params kmod.Params) error {
	if err := o.check(); err != nil {
		return err
	}
	if err := o.picture.check(cmd, o.json); err != nil {
		return err
	}
	files, err := o.picture.open()
	if err != nil {
		return err
	}
	defer files.abandon()
	steps, err := kmod.Plan(cmd.Context(), target, &kmod.LoadOptions{Params: params, Force: o.force()})
	if err != nil {
		return o.notPlanned(cmd, target, err)
	}
	load := func(ctx context.Context, s *proof.Session) *proof.Result {
		r, err := s.LoadSteps(ctx, target, steps)
		if err == nil && kmod.IsFile(target) {
			keepLoaded(&steps[0])
		}
		return r
	}
	show := func(out io.Writer, k *kernel.Kernel, r *proof.Result) error { return o.show(out, k, r, steps, files) }
	return o.act(cmd, []job{{tracer.Load, target, load, show}})
}

// show prints the result, and draws it where that is asked for. What the events do not
// say is found out now, while the module is there.
func (o *loadOptions) show(out io.Writer, k *kernel.Kernel, r *proof.Result, steps []kmod.Step, files *pictureFiles) error {
	p := timeline.New(r.Actions)
	if p == nil || !o.picture.wanted() {
		return errors.Join(o.print(out, r), o.picture.missing(p, r))
	}
	k.Refresh()
	p.Main.Facts = timeline.Gather(k, &p.Main.Action, fileOf(&p.Main.Action, steps))
	var err error
	switch {
	case o.picture.alone():
	case o.picture.timeline:
		t := render.NewResultText(term.ThemeOf(out), term.Columns(out))
		_, err = io.WriteString(out, timelineText(out, p)+t.Text([]cells.Line{render.VerdictLine(r)}))
	default:
		err = o.print(out, r)
	}
	return errors.Join(term.OutputError(err), o.picture.draw(out, p, files))
}

// fileOf names the file of a load by this program: the kernel sees none where it was
// decompressed here.
func fileOf(a *tracer.Action, steps []kmod.Step) string {
	for i := range steps {
		if steps[i].Module == a.Module && steps[i].Path != "" {
			return steps[i].Path
		}
	}
	if a.File != nil {
		return a.File.Path
	}
	return ""
}

func (o *loadOptions) force() kmod.Force {
	var force kmod.Force
	if o.vermagic {
		force |= kmod.ForceVermagic
	}
	if o.modversions {
		force |= kmod.ForceModversions
	}
	return force
}

// keepLoaded keeps the file of a step that was taken, for a later reload. That it cannot
// be kept matters only then, and is said then.
func keepLoaded(step *kmod.Step) {
	if s, err := reload.OpenStore(reload.DefaultStore); err == nil {
		defer s.Close()
		_ = s.Keep(step.Module, step.Path, step.Params)
	}
}

// notPlanned is for what cannot even be tried: nothing is attached for it.
func (o *loadOptions) notPlanned(cmd *cobra.Command, target string, why error) error {
	refusal := targetError(why)
	k, err := borrowKernel(cmd.Context())
	if err != nil || statusOf(refusal) != exitRefused {
		return refusal
	}
	r := proof.NewResult(tracer.Load, target, proof.Refused, why)
	r.ExplainRefusal(cmd.Context(), k)
	if err := o.print(cmd.OutOrStdout(), r); err != nil {
		return err
	}
	return resultFailure(r)
}
