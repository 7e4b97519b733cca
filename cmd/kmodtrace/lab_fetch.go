package main

import (
	"runtime"

	"github.com/kmodtrace/kmodtrace/internal/lab/cmdline"
	"github.com/spf13/cobra"
)

func newLabFetchCommand() *cobra.Command {
	var arch string
	var headers bool
	cmd := &cobra.Command{
		Use:   "fetch [SERIES|RELEASE|newest]...",
		Short: "Fetch kernels from this machine's Debian mirrors",
		Long: `Fetch unmodified Debian kernels into the cache, by apt, with a configuration of
its own that is derived from this machine's sources; the system's apt and its
packages stay as they are. Without a name: the series that the lab's tests run on.`,
		RunE: func(cmd *cobra.Command, wanted []string) error {
			return cmdline.FetchKernels(cmd.Context(), wanted, arch, headers, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&arch, "arch", runtime.GOARCH, "architecture of the kernels: amd64 or arm64")
	cmd.Flags().BoolVar(&headers, "headers", false, "fetch what modules are compiled against, too")
	return cmd
}
