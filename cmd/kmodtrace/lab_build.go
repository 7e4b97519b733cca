package main

import (
	"runtime"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/lab/cmdline"
	"github.com/spf13/cobra"
)

func newLabBuildCommand() *cobra.Command {
	var series, arch, out string
	var specimens bool
	cmd := &cobra.Command{
		Use:   "build [--kernel SERIES] DIR|FILE.c...",
		Short: "Build modules for a kernel of the lab",
		Long: `Build out-of-tree modules for a kernel of the lab: a directory with its own
Makefile or Kbuild, or C files that become one module each. The compiler and the
kernel's headers are fetched where they are missing; nothing is installed. With
--specimens: the lab's own test modules, into the cache, where its guests find
them.`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			if specimens == (len(paths) > 0) {
				return cli.Usagef("name the directory of a module or its .c files, or give --specimens")
			}
			built := cmdline.Build{Kernel: series, Arch: arch, Out: out}
			if specimens {
				return built.Specimens(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			return built.Modules(cmd.Context(), paths, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&series, "kernel", "6.12", "series, release or newest")
	cmd.Flags().StringVar(&arch, "arch", runtime.GOARCH, "architecture of the kernel: amd64 or arm64")
	cmd.Flags().StringVar(&out, "out", ".", "directory for the modules")
	cmd.Flags().BoolVar(&specimens, "specimens", false, "build the lab's test modules")
	return cmd
}
