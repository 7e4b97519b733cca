package journal

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// process is one as the service's bodies have them.
func process(pid int, long int) map[string]any {
	return map[string]any{
		"pid": pid, "start_boottime_ns": 1000000 * pid, "comm": fmt.Sprint("comm-", pid%7), "execs": 1,
		"exe": map[string]any{"path": "/" + strings.Repeat("e", long) + fmt.Sprint(pid%5), "device": 77, "inode": 4711},
		"uid": 1000, "user": "alice", "euid": 1000, "effective_user": "alice",
		"cgroup":     map[string]any{"id": 4242, "path": "/user.slice/" + strings.Repeat("c", long)},
		"namespaces": map[string]any{"pid": map[string]any{"id": 4026531836, "initial": true}, "mount": map[string]any{"id": 4026531841, "initial": true}, "user": map[string]any{"id": 4026531837, "initial": true}},
	}
}

// deepActor has 32 ancestors, whose paths have some length.
func deepActor(pid, long int) map[string]any {
	actor := process(pid, long)
	actor["args"] = []string{"insmod", strings.Repeat("a", long)}
	actor["capabilities"] = "0x0"
	var ancestors []any
	for i := range 32 {
		ancestors = append(ancestors, process(100+i, long))
	}
	actor["ancestors"] = ancestors
	return actor
}

// deep is a refused load by one of many processes with the same 32 ancestors.
func deep(n, pid, long int) Record {
	body, err := json.Marshal(map[string]any{
		"id": fmt.Sprint(n), "action": "load", "module": "hello", "outcome": "failed", "errno": 1, "errno_name": "EPERM", "start_boottime_ns": n,
		"thread": map[string]any{"tid": pid, "pid": pid, "comm": "insmod"}, "actor": deepActor(pid, long), "call": map[string]any{"name": "finit_module", "flags": 0},
		"cause": map[string]any{"code": "permission", "text": "the process may not load modules: it lacks CAP_SYS_MODULE"}, "seen": []string{"enter", "exit"},
	})
	if err != nil {
		panic(err)
	}
	r := load(n, "hello")
	r.Outcome, r.Cause, r.User, r.Body = "failed", "permission", "alice", body
	return r
}

// BenchmarkAppendDeep appends actions of a hundred processes that share 32 ancestors,
// with paths of some length, ten at once.
func BenchmarkAppendDeep(b *testing.B) {
	for _, long := range []int{40, 4000} {
		b.Run(fmt.Sprint(long), func(b *testing.B) {
			j := make1(b)
			n, bytes := 0, 0
			var batch []Record
			for b.Loop() {
				b.StopTimer()
				batch = batch[:0]
				for range 10 {
					n++
					batch = append(batch, deep(n, 1000+n%100, long))
					bytes += len(batch[len(batch)-1].Body)
				}
				b.StartTimer()
				add(b, j, batch...)
			}
			b.StopTimer()
			size, err := j.Size(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
			b.ReportMetric(float64(bytes)/float64(n), "body-B/record")
			b.ReportMetric(float64(size.Bytes)/float64(n), "file-B/record")
		})
	}
}
