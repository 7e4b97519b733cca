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
		Short: "Say what this kernel lets kmodtrace see, and why not more",
		Long: `Say what this kernel, and this user, let kmodtrace see. It asks for each thing that
tracing needs, then really attaches, lists every hook with how it is attached or why it is
not and what is not seen then, and detaches. It changes nothing and loads nothing. It also
says whether modules can be loaded, and which of those in the kernel nobody may unload.

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
