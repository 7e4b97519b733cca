// Package dev builds a module and replaces the copy in the kernel whenever its sources are saved.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/kmodtrace/kmodtrace/service"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Options say which module is worked on, and how.
type Options struct {
	Dir     string // the directory with the sources
	Module  string // which of its modules, where the directory makes several
	Params  kmod.Params
	Try     bool // try each new copy in a machine first
	Backend tracer.Backend
}

// Run builds and replaces the module whenever something is saved, until ctx is done, and unloads it
// then.
func (o *Options) Run(ctx context.Context, out io.Writer) (err error) {
	defer ending.SurviveBrokenPipe()()
	ctx, stop := ending.WhileRead(ctx, out)
	defer stop()
	session, end, err := act.OpenSession(ctx, o.Backend)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	sources, err := watchSources(o.Dir)
	if err != nil {
		return err
	}
	defer sources.close()
	// What the source says counts, not what an old copy had.
	reloader, err := reload.Open(&reload.Options{Kernel: session.Kernel(), Fresh: true, LoadedFrom: act.LoadedFrom(service.DefaultJournal)})
	if err != nil {
		return err
	}
	defer reloader.Close()
	d := NewLoop(o, session, reloader, out)
	d.sources = sources
	log, err := followKernelLog(d.out.kernel)
	if err != nil {
		return cli.WithHint(cells.OneLine(fmt.Errorf("what the kernel prints: %w", err)), "run it as root, for instance by sudo")
	}
	defer log.close()
	return d.loop(ctx)
}

// Loop is what goes on from one save to the next.
type Loop struct {
	*Options
	session  *proof.Session
	reloader *reload.Reloader
	out      *screen
	sources  *sourceWatch

	// Name of the module, once it is known.
	Name string
	Copy Copy
}

// Copy is what is known of the module in the kernel.
type Copy struct {
	There bool      // a copy of it is in the kernel
	Ours  bool      // which was loaded here
	Since time.Time // when
	Image []byte    // of that copy
}

// NewLoop begins with nothing built. It replaces modules by the session, and prints to out.
func NewLoop(o *Options, s *proof.Session, r *reload.Reloader, out io.Writer) *Loop {
	return &Loop{Options: o, session: s, reloader: r, out: newScreen(out)}
}

// settleTime is how long nothing must be saved any more: editors and version control write
// several files at once.
const settleTime = 150 * time.Millisecond

func (d *Loop) loop(ctx context.Context) error {
	for {
		if err := d.round(ctx); err != nil {
			return err
		}
		if err := d.sources.wait(ctx, settleTime); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return d.End(context.WithoutCancel(ctx))
		}
	}
}

// End takes the module out again, unless somebody else loaded it.
func (d *Loop) End(ctx context.Context) error {
	d.out.begin("the end")
	switch {
	case d.Copy.There && !d.Copy.Ours:
		d.out.line(cells.Dim, d.Name+" is left in the kernel: it was not loaded here")
		return nil
	case !d.Copy.There:
		d.out.line(cells.Dim, "nothing was loaded")
		return nil
	}
	r, _ := d.session.Unload(ctx, d.Name, nil) // the result has the error
	act.Explain(ctx, d.session, r)
	d.out.text(d.out.result().Render(r))
	return act.ResultError(r)
}
