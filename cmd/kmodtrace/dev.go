package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/kmodtrace/kmodtrace/service"
	"github.com/kmodtrace/kmodtrace/tracer"
)

func newDevCommand() *cobra.Command {
	opts := new(devOptions)
	cmd := &cobra.Command{
		Use:   "dev [DIR] [PARAM=VALUE]...",
		Short: "Rebuild and replace a module whenever its sources are saved",
		Long: `Build the module in DIR, the current folder if none is given, load it, and watch the sources:
each time something is saved, build again, and replace the copy in the kernel by the new one.
What the compiler says, what the kernel was seen to do, and everything that the kernel prints
meanwhile is shown as it comes, a screen for each round. Ctrl-C unloads the module and ends.

A build that fails leaves the last good copy in the kernel. So does a copy that this kernel
would refuse; one that fails to load is replaced by the last good one again. With --try each
new copy is first loaded and unloaded in a throw-away machine, as by kmodtrace try, and comes
into this kernel only if it passes there.

Exit status: 0 unloaded in the end, or never loaded; 1 not unloaded; 2 the command line makes no
sense; 3 it is not known what is in the kernel; 4 this kernel, or this user, cannot trace, or
this machine lacks what building needs.`,
		Example: `  kmodtrace dev
  kmodtrace dev ./hello whom=Bob
  kmodtrace dev ./mydriver --try`,
		Args: func(_ *cobra.Command, args []string) error { return opts.parse(args) },
		RunE: func(cmd *cobra.Command, _ []string) error { return opts.run(cmd) },
	}
	cmd.Flags().BoolVar(&opts.try, "try", false, "try each new copy in a throw-away machine first")
	cmd.Flags().StringVar(&opts.module, "module", "", "the `NAME` of the module, where the folder makes several")
	addBackendFlag(cmd, &opts.backend)
	return cmd
}

type devOptions struct {
	dir, module string
	params      kmod.Params
	try         bool
	backend     tracer.Backend
}

func (o *devOptions) parse(args []string) error {
	paths, params := buildTargets(args)
	o.dir, o.params = ".", params
	switch len(paths) {
	case 0:
	case 1:
		o.dir = paths[0]
	default:
		return cli.Usagef("%s: dev takes one folder", cells.Short(paths[1]))
	}
	if _, err := o.params.Quote(); err != nil {
		return targetError(err)
	}
	info, err := os.Stat(o.dir)
	switch {
	case err != nil:
		return &exitError{status: exitRefused, err: cells.OneLine(fmt.Errorf("dev %s: %w", cmp.Or(o.dir, `""`), errors.Unwrap(err)))}
	case !info.IsDir():
		return cli.Usagef("%s: want the folder with the sources", cells.Short(o.dir))
	}
	return nil
}

func (o *devOptions) run(cmd *cobra.Command) (err error) {
	defer surviveBrokenPipe()()
	session, end, err := openSession(cmd.Context(), o.backend)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	sources, err := watchSources(o.dir)
	if err != nil {
		return err
	}
	defer sources.close()
	// What the source says counts, not what an old copy had.
	reloader, err := reload.Open(&reload.Options{Kernel: session.Kernel(), Fresh: true, LoadedFrom: loadedFrom(service.DefaultJournal)})
	if err != nil {
		return err
	}
	defer reloader.Close()
	d := &dev{devOptions: o, session: session, reloader: reloader, out: newDevScreen(cmd.OutOrStdout()), sources: sources}
	log, err := followKernelLog(d.out.kernel)
	if err != nil {
		return &exitError{status: exitRefused, err: cells.OneLine(fmt.Errorf("what the kernel prints: %w", err)), hint: "run it as root, for instance by sudo"}
	}
	defer log.close()
	return d.loop(cmd.Context())
}

// dev is what goes on from one save to the next.
type dev struct {
	*devOptions
	session  *proof.Session
	reloader *reload.Reloader
	out      *devScreen
	sources  *sourceWatch

	name  string    // of the module
	there bool      // a copy of it is in the kernel
	ours  bool      // which was loaded here
	since time.Time // when
	image []byte    // of that copy
}

// settleTime is how long nothing must be saved any more: editors and version control write
// several files at once.
const settleTime = 150 * time.Millisecond

func (d *dev) loop(ctx context.Context) error {
	for {
		if err := d.round(ctx); err != nil {
			return err
		}
		if err := d.sources.wait(ctx, settleTime); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return d.end(context.WithoutCancel(ctx))
		}
	}
}

// end takes the module out again, unless somebody else loaded it.
func (d *dev) end(ctx context.Context) error {
	d.out.begin("the end")
	switch {
	case d.there && !d.ours:
		d.out.line(cells.Dim, d.name+" is left in the kernel: it was not loaded here")
		return nil
	case !d.there:
		d.out.line(cells.Dim, "nothing was loaded")
		return nil
	}
	r, _ := d.session.Unload(ctx, d.name, nil) // the result has the error
	explain(ctx, d.session, r)
	d.out.text(d.out.result().Render(r))
	return resultFailure(r)
}
