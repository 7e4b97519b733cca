package main

import (
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/spf13/cobra"
)

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return cli.Usagef("%s takes no arguments: %.60q", cmd.CommandPath(), args[0])
	}
	return nil
}
