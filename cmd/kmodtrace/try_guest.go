package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/spf13/cobra"

	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/trial"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// newTrialGuestCommand is what try has run in its machine.
func newTrialGuestCommand() *cobra.Command {
	return &cobra.Command{
		Use:    trial.GuestCommand + " PLAN",
		Short:  "Carry out a plan of kmodtrace try, in its machine",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if os.Getenv("KMODTRACE_LAB") == "" {
				return cli.Usagef("%s is for a machine of the lab, where try calls it", trial.GuestCommand)
			}
			var plan trial.Plan
			if err := json.Unmarshal([]byte(args[0]), &plan); err != nil {
				return cli.Usagef("plan: %w", err)
			}
			return plan.CarryOut(cmd.Context(), cmd.OutOrStdout(), func(ctx context.Context) (*proof.Session, error) {
				s, _, err := act.OpenSession(ctx, tracer.Auto)
				return s, err
			})
		},
	}
}
