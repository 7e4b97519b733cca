package tracer_test

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// BenchmarkKernelThreads tells what it costs to keep the creators of kernel threads: the same work
// beside a tracer with the hook on kthread_create_on_node and beside one without it, in turn. The
// least time of each counts: an emulated machine shares its processor.
func BenchmarkKernelThreads(b *testing.B) {
	inLab(b)
	if out, err := exec.Command("/sbin/insmod", specimen("threader")).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	defer mayUnload("threader")
	modprobe(b, "loop")
	modprobe(b, "vfat")
	works := []struct {
		name string
		do   string
	}{
		{"fork-exec", "for i in 1 2 3 4 5 6 7 8 9 10; do /bin/busybox true; done"},
		{"loop-mount", "busybox mount -o loop -t vfat /tmp/creator.img /mnt && busybox umount /mnt"},
		{"module", "insmod " + specimen("hello") + " && rmmod hello"},
		{"threads", "echo 200 >/sys/module/threader/parameters/make"},
	}
	prepare := "mkdir -p /mnt /tmp && busybox dd if=/dev/zero of=/tmp/creator.img bs=1M count=4 2>/dev/null && busybox mkdosfs /tmp/creator.img"
	for _, script := range append([]string{prepare}, works[0].do, works[1].do, works[2].do, works[3].do) {
		if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
			b.Fatalf("%s: %v: %s", script, err, out)
		}
	}
	defer os.Remove("/tmp/creator.img")
	const each = 10
	took := make(map[string][2][]time.Duration)
	for b.Loop() {
		for with, opts := range []*tracer.Options{new(tracer.Options).Without("kthread_create_on_node"), {}} {
			tr, err := tracer.Open(opts)
			if err != nil {
				b.Fatal(err)
			}
			for _, w := range works {
				for range each {
					start := time.Now()
					if err := exec.Command("sh", "-c", w.do).Run(); err != nil {
						b.Fatalf("%s: %v", w.name, err)
					}
					times := took[w.name]
					times[with] = append(times[with], time.Since(start))
					took[w.name] = times
				}
			}
			if err := tr.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, w := range works {
		without, with := slices.Min(took[w.name][0]), slices.Min(took[w.name][1])
		b.ReportMetric(without.Seconds()*1e3, "ms-"+w.name+"-without")
		b.ReportMetric(with.Seconds()*1e3, "ms-"+w.name+"-with")
		b.ReportMetric(median(took[w.name][1]).Seconds()/median(took[w.name][0]).Seconds(), "ratio-of-medians-"+w.name)
	}
}
