package main

import (
	"io"

	"github.com/kmodtrace/kmodtrace/internal/doctor"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/spf13/cobra"
)

func newDoctorCommand() *cobra.Command {
	var asJSON bool
	var backend tracer.Backend
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Show what kmodtrace can see on this kernel, and what it cannot",
		Long: `Show what kmodtrace can see on this kernel as this user. It checks each thing that tracing
needs, then attaches all hooks and detaches them. It lists how each hook is attached, or why it
is not and what cannot be seen without it. It changes nothing and loads nothing. It also shows
whether modules can be loaded, which loaded modules must not be unloaded, whether modules.dep fits
the files of modules, and which lines of modprobe's configuration do not do what they say.

Exit status: 0 when tracing works, 4 when it does not.`,
		Example: "  kmodtrace doctor\n  kmodtrace doctor --backend kprobe --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer ending.SurviveBrokenPipe()()
			report, err := doctor.Examine(backend)
			if printErr := printReport(cmd.OutOrStdout(), report, asJSON); printErr != nil {
				return printErr
			}
			return tracing.Error(err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object (docs/schema/doctor.schema.json)")
	tracing.AddBackendFlag(cmd, &backend)
	return cmd
}

func printReport(out io.Writer, r *doctor.Report, asJSON bool) error {
	if asJSON {
		return term.PrintJSON(out, r)
	}
	_, err := io.WriteString(out, doctor.NewText(term.ThemeOf(out), term.Columns(out)).Render(r))
	return term.OutputError(err)
}
