package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages into a directory",
		Hidden: true,
		Long: `Write the manual pages, one for each command, into a directory, which is made if need be.
They bear the date of the commit that this was built from, so that a build again gives the same.`,
		Example: "  kmodtrace man /usr/local/share/man/man8",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("man takes one DIR, and got %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return writeManual(cmd.Root(), args[0]) },
	}
}

func writeManual(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("manual pages: %w", err)
	}
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Title: "KMODTRACE", Section: "8", Source: "kmodtrace", Manual: "System administration", Date: commitTime()}
	if err := doc.GenManTree(root, header, dir); err != nil {
		return fmt.Errorf("manual pages: %w", err)
	}
	return nil
}

// commitTime gives nil where the build knows no commit: then it is today.
func commitTime() *time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, s := range info.Settings {
		if s.Key != "vcs.time" {
			continue
		}
		if when, err := time.Parse(time.RFC3339, s.Value); err == nil {
			return &when
		}
	}
	return nil
}
