package main

import (
	"github.com/kmodtrace/kmodtrace/fleet"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/fleets"
	"github.com/spf13/cobra"
)

func newFleetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "Ask the records of many machines",
		Long: `Ask what kmodtrace serve recorded on many machines: whether the records are complete and as they were
written, which machines have a module, what is new anywhere, what was loaded at a time, and which
machines differ from the others.

A source, named by --source, is one of:
- the URL of a VictoriaLogs, or of the vlselect of a cluster: http://127.0.0.1:9428
- a directory with journals in it or below it, or one journal. A journal in a directory of its own
  gives its machine that directory's name.
- a file of JSON lines, or - for standard input: what an output of the type file writes in the format
  json, what a Collector's file exporter writes, or what VictoriaLogs exports

Several sources are asked as one.`,
		Example: `  kmodtrace fleet verify --source http://127.0.0.1:9428
  kmodtrace fleet who nvidia --source http://127.0.0.1:9428
  kmodtrace fleet first-seen --since 7d --source /srv/journals`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFleetVerifyCommand(), newFleetWhoCommand(), newFleetFirstSeenCommand(), newFleetLoadedCommand(), newFleetDriftCommand())
	return cmd
}

// fleetOptions are those of all questions.
type fleetOptions struct {
	sources []string
	format  fleets.Format
}

func (o *fleetOptions) register(cmd *cobra.Command, schema string) {
	cmd.Flags().StringArrayVar(&o.sources, "source", nil, "ask `SOURCE`: a URL of VictoriaLogs, a directory of journals, or a file of JSON lines; repeatable")
	o.format.Register(cmd, schema)
}

func (o *fleetOptions) open() (*fleet.Fleet, error) {
	if err := o.format.Check(); err != nil {
		return nil, err
	}
	if len(o.sources) == 0 {
		return nil, cli.Usagef("no --source: name the URL of a VictoriaLogs, a directory of journals, or a file of JSON lines")
	}
	return fleet.Open(o.sources...)
}
