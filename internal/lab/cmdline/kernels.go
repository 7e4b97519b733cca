package cmdline

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/lab"
)

// Kernels lists the kernels that are here and, unless offline, those that can be fetched. offerErr
// says why these cannot be told.
func Kernels(ctx context.Context, offline bool, progress io.Writer) (rows []KernelRow, offerErr, err error) {
	cache, err := lab.CacheDir()
	if err != nil {
		return nil, nil, err
	}
	here, err := lab.Kernels(cache)
	if err != nil {
		return nil, nil, err
	}
	rows = kernelRows(here)
	if !offline {
		var offered []KernelRow
		offered, offerErr = offeredRows(ctx, cache, here, progress)
		rows = append(rows, offered...)
	}
	return rows, offerErr, nil
}

// KernelRow is one kernel of the list: here, or offered.
type KernelRow struct {
	lab.Kernel
	State string `json:"state"`           // "here", "here, with headers" or "can be fetched"
	Suite string `json:"suite,omitempty"` // where it can be fetched from
	Size  int64  `json:"size,omitempty"`  // of the download, bytes
}

func kernelRows(here []lab.Kernel) []KernelRow {
	rows := []KernelRow{}
	for _, k := range here {
		state := "here"
		if k.Headers != "" {
			state = "here, with headers"
		}
		rows = append(rows, KernelRow{Kernel: k, State: state})
	}
	return rows
}

// offeredRows lists the newest kernel of each series that can be fetched.
func offeredRows(ctx context.Context, cache string, here []lab.Kernel, progress io.Writer) ([]KernelRow, error) {
	present := map[[2]string]bool{}
	for _, k := range here {
		present[[2]string{k.Release, k.Arch}] = true
	}
	var rows []KernelRow
	for _, arch := range []string{"amd64", "arm64"} {
		offers, err := lab.Offers(ctx, cache, arch, progress)
		if err != nil {
			return rows, err
		}
		for i, o := range offers {
			newest := i+1 == len(offers) || offers[i+1].Series != o.Series
			if newest && !present[[2]string{o.Release, arch}] {
				k := lab.Kernel{Release: o.Release, Series: o.Series, Arch: arch}
				rows = append(rows, KernelRow{Kernel: k, State: "can be fetched", Suite: o.Suite, Size: o.Size})
			}
		}
	}
	return rows, nil
}

// PrintKernels prints the list as a table.
func PrintKernels(w io.Writer, rows []KernelRow) error {
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
