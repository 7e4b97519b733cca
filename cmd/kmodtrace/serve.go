package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/service"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

func newServeCommand() *cobra.Command {
	opts := new(serveOptions)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Record all module activity, as a service",
		Long: `Run as a service: record every load, unload and request, and every gap in the recording, in
a journal that survives crashes and reveals tampering, and pass the records on to files, the
system log or a collector.

An action is on the disk before it is passed on. An output that is down delays nothing
and loses nothing: it later gets the records that it missed from the journal. kmodtrace history
queries the journal, kmodtrace audit verify checks it.

Attempts that change nothing, by users who may not load modules, are recorded one by one up to
a few a minute for each user and for all users; beyond that they are counted, in records of the
kind folded. Loads and unloads are recorded before requests, and requests before refusals. A
module that appears or vanishes unseen is recorded too.

Rules look at each record, and what they find is recorded and passed on too: kmodtrace history
--findings shows it, kmodtrace rules list the rules.

SIGHUP reloads the configuration and the rules. SIGTERM ends the service after finished actions are recorded.
The service notifies systemd when it is ready (Type=notify), and systemd's watchdog while it works.`,
		Example: `  kmodtrace serve
  kmodtrace serve --config ./kmodtrace.yaml
  kmodtrace serve --check-config`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return opts.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.config, "config", "", "read this `FILE` (default "+service.DefaultConfig+", where there is one)")
	flags.BoolVar(&opts.check, "check-config", false, "check the configuration and the rules, and exit")
	flags.BoolVar(&opts.health, "check-health", false, "ask the service that runs by this configuration for /healthz, print what it says, and exit: 0 when it is well")
	return cmd
}

type serveOptions struct {
	config string
	check  bool
	health bool
}

func (o *serveOptions) run(ctx context.Context, stdout io.Writer) error {
	path, err := o.path()
	if err != nil {
		return err
	}
	if o.check && o.health {
		return cli.Usagef("--check-config and --check-health: give one of them")
	}
	if o.check {
		config, err := service.Load(path)
		if err == nil {
			_, err = config.Rules.Load()
		}
		if err != nil {
			return &exitError{status: exitUsage, err: err}
		}
		for _, text := range config.Warnings() {
			zerolog.Ctx(ctx).Warn().Msg(text)
		}
		_, err = fmt.Fprintf(stdout, "%s can be used\n", cells.Printable(path))
		return term.OutputError(err)
	}
	if o.health {
		return checkHealth(ctx, path, stdout)
	}
	reload := make(chan os.Signal, 1)
	signal.Reset(syscall.SIGHUP) // until now it would have ended a command
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	return serveError(service.Run(ctx, path, reload, zerolog.Ctx(ctx)))
}

// checkHealth asks the service that runs, as a probe of a container does, which has no other program there.
func checkHealth(ctx context.Context, path string, stdout io.Writer) error {
	config, err := service.Load(path)
	if err != nil {
		return &exitError{status: exitUsage, err: err}
	}
	said, err := service.Health(ctx, config.Metrics)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, cells.Printable(said))
	return term.OutputError(err)
}

// path of the configuration: without one the defaults hold.
func (o *serveOptions) path() (string, error) {
	if o.config != "" {
		return o.config, nil
	}
	if _, err := os.Stat(service.DefaultConfig); errors.Is(err, os.ErrNotExist) {
		return os.DevNull, nil
	}
	return service.DefaultConfig, nil
}

// serveError has the exit status of what kept it from serving, and what to do.
func serveError(err error) error {
	var coverage *tracer.CoverageError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tracer.ErrPrivilege), errors.Is(err, tracer.ErrNoModules), errors.Is(err, tracer.ErrNoKprobes),
		errors.Is(err, tracer.ErrKprobesOff), errors.Is(err, tracer.ErrNoBTF), errors.Is(err, tracer.ErrLockdown), errors.As(err, &coverage):
		return tracing.Error(err)
	case errors.Is(err, journal.ErrLocked):
		return &exitError{status: exitRefused, err: err, hint: "one service is enough: systemctl status kmodtrace"}
	case errors.Is(err, os.ErrNotExist):
		return &exitError{status: exitRefused, err: err, hint: "create the directory, for root only, or configure another path"}
	case errors.Is(err, journal.ErrUnsafe):
		return &exitError{status: exitRefused, err: err, hint: "give the directories on the way to root alone (chown, chmod go-w), or name another place in the configuration"}
	case errors.Is(err, journal.ErrReadOnly):
		return &exitError{status: exitRefused, err: err, hint: "make its file system writable, or name another place in the configuration"}
	case errors.Is(err, journal.ErrFull):
		return &exitError{status: exitRefused, err: err, hint: "make room on its file system, or name another place in the configuration"}
	}
	return err
}
