package tracer_test

import (
	"cmp"
	"context"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// BenchmarkOpen tells what every command that traces pays before and after its
// work. In a machine of the lab the figures are an emulated processor's: only
// their ratios mean something.
func BenchmarkOpen(b *testing.B) {
	inLab(b)
	for _, backend := range append(backends(), tracer.Auto) {
		b.Run(backend.String(), func(b *testing.B) {
			var opened, closed []time.Duration
			for b.Loop() {
				start := time.Now()
				tr, err := tracer.Open(&tracer.Options{Backend: backend})
				if err != nil {
					b.Fatal(err)
				}
				opened = append(opened, time.Since(start))
				start = time.Now()
				if err := tr.Close(); err != nil {
					b.Fatal(err)
				}
				closed = append(closed, time.Since(start))
			}
			b.ReportMetric(median(opened).Seconds()*1e3, "ms-open")
			b.ReportMetric(median(closed).Seconds()*1e3, "ms-close")
		})
	}
}

func median(times []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(times))[len(times)/2]
}

// loadsSince returns the loads that came to live since it was last called, and
// how many events each took. It reads what is queued: nothing runs beside the
// loads themselves.
func loadsSince(t testing.TB, tr *tracer.Tracer) (loads []tracer.Action, events map[tracer.ID]int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	events = make(map[tracer.ID]int)
	c := tracer.NewCorrelator(0)
	var done []tracer.Action
	for e, err := range tr.Events(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		events[e.Attempt]++
		done = append(done, c.Add(e)...)
	}
	for _, a := range done {
		if a.Kind == tracer.Load && a.Outcome == tracer.Live {
			loads = append(loads, a)
		}
	}
	if loss, err := tr.Loss(); err != nil || loss.Any() {
		t.Fatalf("loss %+v, %v", loss, err)
	}
	return loads, events
}

// mostEvents bounds those of one load, whatever it looks up: what there is one of,
// eight stages, and the lines that a module prints.
const mostEvents = 32

// testNoEventPerSymbol: the hooks inside a load run hundreds of times in it, and tell only once.
func testNoEventPerSymbol(t *testing.T, tr *tracer.Tracer) {
	queued(t, tr)
	loadXFS(t)
	loads, events := loadsSince(t, tr)
	unloadXFS(t)
	checkEvents(t, loads, events)
}

func checkEvents(t testing.TB, loads []tracer.Action, events map[tracer.ID]int) {
	t.Helper()
	if len(loads) == 0 || loads[len(loads)-1].Module != "xfs" {
		t.Fatalf("the last load is not of xfs: %v", loads)
	}
	if n := loads[len(loads)-1].Symbols; n < 10*mostEvents {
		t.Fatalf("xfs looked up %d symbols: too few to show anything", n)
	}
	for _, a := range loads {
		if n := events[a.ID]; n > mostEvents {
			t.Errorf("%s: %d events for %d symbols", brief(a), n, a.Symbols)
		}
	}
}

// xfs and what it depends on: among the modules that every kernel of the matrix
// has, the one with the most symbols.
func loadXFS(t testing.TB)   { modprobe(t, "xfs") }
func unloadXFS(t testing.TB) { modprobe(t, "-r", "xfs") }

func modprobe(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("/sbin/modprobe", args...).CombinedOutput(); err != nil {
		t.Fatalf("modprobe %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// costs are what the programs took, by name.
func costs(t testing.TB, tr *tracer.Tracer) map[string]tracer.Cost {
	t.Helper()
	all, err := tr.Costs()
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]tracer.Cost, len(all))
	for _, c := range all {
		byName[c.Program] = c
	}
	return byName
}

// BenchmarkLoadXFS tells what the hooks add to loading a large module and what it
// depends on, by the kernel's own statistics: the time in BPF programs against
// the time inside the system calls, and against what is left of that from the
// first symbol on, when file and signature are done with. The statistics add two
// readings of the clock to each run of a program, and count them in part. No
// threshold is asserted: an emulated processor makes some things dearer than
// others.
func BenchmarkLoadXFS(b *testing.B) {
	inLab(b)
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		b.Fatal(err)
	}
	defer stats.Close()
	for _, backend := range backends() {
		b.Run(backend.String(), func(b *testing.B) { benchmarkLoadXFS(b, backend) })
	}
}

func benchmarkLoadXFS(b *testing.B, backend tracer.Backend) {
	tr, err := tracer.Open(&tracer.Options{Backend: backend})
	if err != nil {
		b.Fatal(err)
	}
	defer tr.Close()
	sum := make(map[string]tracer.Cost)
	var bpf, took, linked time.Duration
	var events, symbols, runs uint64
	for b.Loop() {
		before := costs(b, tr)
		loadXFS(b)
		for name, after := range costs(b, tr) {
			c := sum[name]
			c.Runs += after.Runs - before[name].Runs
			c.Took += after.Took - before[name].Took
			bpf += after.Took - before[name].Took
			runs += after.Runs - before[name].Runs
			sum[name] = c
		}
		loads, each := loadsSince(b, tr)
		checkEvents(b, loads, each)
		for _, a := range loads {
			took += a.Took
			linked += a.Took - verified(a)
			symbols += uint64(a.Symbols)
			events += uint64(each[a.ID])
		}
		unloadXFS(b)
		loadsSince(b, tr)
	}
	n := float64(b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(bpf.Seconds()*1e3/n, "ms-in-BPF/load")
	b.ReportMetric(took.Seconds()*1e3/n, "ms/load")
	b.ReportMetric(100*bpf.Seconds()/took.Seconds(), "%-in-BPF")
	b.ReportMetric(100*bpf.Seconds()/linked.Seconds(), "%-of-linking")
	b.ReportMetric(float64(events)/n, "events/load")
	b.ReportMetric(float64(symbols)/n, "symbols/load")
	b.ReportMetric(float64(runs)/n, "runs/load")
	logCosts(b, sum)
}

// verified is the time until the load's first symbol was looked up.
func verified(a tracer.Action) time.Duration {
	for _, s := range a.Stages {
		if s.Stage == tracer.StageResolve {
			return s.After
		}
	}
	return 0
}

// logCosts lists the programs that took the most.
func logCosts(b *testing.B, sum map[string]tracer.Cost) {
	names := slices.SortedFunc(maps.Keys(sum), func(x, y string) int { return cmp.Compare(sum[y].Took, sum[x].Took) })
	for _, name := range names[:min(8, len(names))] {
		c := sum[name]
		b.Logf("%-38s %7.1f runs/load %8.1f µs/load %6.2f µs/run", name, float64(c.Runs)/float64(b.N),
			c.Took.Seconds()*1e6/float64(b.N), c.Took.Seconds()*1e6/float64(max(c.Runs, 1)))
	}
}
