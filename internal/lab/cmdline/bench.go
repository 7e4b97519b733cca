package cmdline

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/lab"
)

// Bench measures what machines cost: from a snapshot, and by a boot with and without the kernel's
// module tree. It prints a table.
func (f *Machine) Bench(ctx context.Context, runs int, stdout, progress io.Writer) error {
	m, err := f.machine(ctx, progress)
	if err != nil {
		return err
	}
	m.Files = nil
	t := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KERNEL\tACCEL\tSTART\tMODULES\tIMAGE\tWRITE IMAGE\tINIT\tCOMMAND DONE\tPOWER OFF")
	for _, kind := range []struct{ boot, noModules bool }{{false, false}, {true, false}, {true, true}} {
		m.Boot, m.NoModules = kind.boot || m.Boot, kind.noModules
		if err := benchOne(ctx, t, m, runs); err != nil {
			return err
		}
	}
	return t.Flush()
}

func benchOne(ctx context.Context, out io.Writer, m lab.Machine, runs int) error {
	got, err := lab.Measure(ctx, m, runs)
	if err != nil {
		return err
	}
	modules := "all"
	if m.NoModules {
		modules = "none"
	}
	start := "boot"
	if got.Restored {
		start = "snapshot"
	}
	_, err = fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%.0f MiB\t%v\t%v\t%v\t%v\n", cells.Printable(m.Kernel.Release), got.Accel,
		start, modules, float64(got.Image)/(1<<20), got.Build, got.Init, got.Done, got.Off)
	return err
}
