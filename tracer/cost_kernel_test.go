package tracer_test

import (
	"slices"
	"testing"
	"time"

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
