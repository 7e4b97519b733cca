package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/term"
)

func newLabKernelsCommand() *cobra.Command {
	var asJSON, offline bool
	cmd := &cobra.Command{
		Use:   "kernels",
		Short: "List the kernels that are here, and those that can be fetched",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cache, err := lab.CacheDir()
			if err != nil {
				return err
			}
			here, err := lab.Kernels(cache)
			if err != nil {
				return err
			}
			rows := kernelRows(here)
			if !offline {
				offered, err := offeredRows(cmd, cache, here)
				rows = append(rows, offered...)
				if err != nil {
					zerolog.Ctx(cmd.Context()).Warn().Msgf("cannot tell what can be fetched: %v", err)
				}
			}
			if asJSON {
				line, err := term.JSONLine(rows)
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(line)
				return term.OutputError(err)
			}
			return printKernels(cmd.OutOrStdout(), rows)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&offline, "offline", false, "list only the kernels that are here")
	return cmd
}

// kernelRow is one kernel of the list: here, or offered.
type kernelRow struct {
	lab.Kernel
	State string `json:"state"`           // "here", "here, with headers" or "can be fetched"
	Suite string `json:"suite,omitempty"` // where it can be fetched from
	Size  int64  `json:"size,omitempty"`  // of the download, bytes
}

func kernelRows(here []lab.Kernel) []kernelRow {
	rows := []kernelRow{}
	for _, k := range here {
		state := "here"
		if k.Headers != "" {
			state = "here, with headers"
		}
		rows = append(rows, kernelRow{Kernel: k, State: state})
	}
	return rows
}

// offeredRows lists the newest kernel of each series that can be fetched.
func offeredRows(cmd *cobra.Command, cache string, here []lab.Kernel) ([]kernelRow, error) {
	present := map[[2]string]bool{}
	for _, k := range here {
		present[[2]string{k.Release, k.Arch}] = true
	}
	var rows []kernelRow
	for _, arch := range []string{"amd64", "arm64"} {
		offers, err := lab.Offers(cmd.Context(), cache, arch, cmd.ErrOrStderr())
		if err != nil {
			return rows, err
		}
		for i, o := range offers {
			newest := i+1 == len(offers) || offers[i+1].Series != o.Series
			if newest && !present[[2]string{o.Release, arch}] {
				k := lab.Kernel{Release: o.Release, Series: o.Series, Arch: arch}
				rows = append(rows, kernelRow{Kernel: k, State: "can be fetched", Suite: o.Suite, Size: o.Size})
			}
		}
	}
	return rows, nil
}

func printKernels(w io.Writer, rows []kernelRow) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERIES\tARCH\tRELEASE\tSTATE")
	for _, r := range rows {
		state := r.State
		if r.Suite != "" {
			state = fmt.Sprintf("%s from %s (%.0f MB)", state, r.Suite, float64(r.Size)/1e6)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", cells.Printable(r.Series), cells.Printable(r.Arch), cells.Printable(r.Release), cells.Printable(state))
	}
	return t.Flush()
}

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
			cache, err := lab.CacheDir()
			if err != nil {
				return err
			}
			ctx, progress := cmd.Context(), cmd.ErrOrStderr()
			if len(wanted) == 0 {
				if wanted, err = lab.Matrix(ctx, cache, arch, progress); err != nil {
					return err
				}
			}
			var errs []error
			for _, name := range wanted {
				k, err := lab.EnsureKernel(ctx, cache, name, arch, progress)
				if err == nil && headers {
					k, err = lab.EnsureHeaders(ctx, cache, k, progress)
				}
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), cells.Printable(k.Release))
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().StringVar(&arch, "arch", runtime.GOARCH, "architecture of the kernels: amd64 or arm64")
	cmd.Flags().BoolVar(&headers, "headers", false, "fetch what modules are compiled against, too")
	return cmd
}

func newLabBuildCommand() *cobra.Command {
	var series, arch, out string
	var specimens bool
	cmd := &cobra.Command{
		Use:   "build [--kernel SERIES] FOLDER|FILE.c...",
		Short: "Build modules for a kernel of the lab",
		Long: `Build out-of-tree modules for a kernel of the lab: a folder with its own
Makefile or Kbuild, or C files that become one module each. The compiler and the
kernel's headers are fetched where they are missing; nothing is installed. With
--specimens: the lab's own test modules, into the cache, where its guests find
them.`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			if specimens == (len(paths) > 0) {
				return cli.Usagef("name a module's folder or its .c files, or else give --specimens")
			}
			cache, err := lab.CacheDir()
			if err != nil {
				return err
			}
			ctx, progress := cmd.Context(), cmd.ErrOrStderr()
			k, err := lab.EnsureKernel(ctx, cache, series, arch, progress)
			if err != nil {
				return err
			}
			if specimens {
				dir, err := lab.BuildSpecimens(ctx, cache, k, progress)
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), cells.Printable(dir))
				}
				return err
			}
			modules, err := lab.Build(ctx, cache, k, paths, out, progress)
			for _, m := range modules {
				fmt.Fprintln(cmd.OutOrStdout(), cells.Printable(m))
			}
			return err
		},
	}
	cmd.Flags().StringVar(&series, "kernel", "6.12", "series, release or newest")
	cmd.Flags().StringVar(&arch, "arch", runtime.GOARCH, "architecture of the kernel: amd64 or arm64")
	cmd.Flags().StringVar(&out, "out", ".", "folder for the modules")
	cmd.Flags().BoolVar(&specimens, "specimens", false, "build the lab's test modules")
	return cmd
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return cli.Usagef("%s takes no arguments: %.60q", cmd.CommandPath(), args[0])
	}
	return nil
}
