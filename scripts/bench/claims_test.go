package main

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Lines as the contenders really write them.
var said = map[string]struct {
	claims func([]byte) deeds
	text   string
	want   deeds
}{
	"kmodtrace": {kmodtraceClaims, `{"schema":1,"id":"1","action":"load","module":"hello","module_from":"kernel","outcome":"live","end_boottime_ns":"5"}
{"schema":1,"id":"2","action":"load","module":"refuse","module_from":"kernel","outcome":"failed","errno":5}
{"schema":1,"id":"3","action":"request","module":"x","outcome":"failed"}
{"schema":1,"id":"4","action":"unload","module":"hello","outcome":"unloaded"}
{"schema":1,"id":"5","action":"load","module":"nap","outcome":"pending"}
{"schema":1,"id":"6","action":"lo`, deeds{{load, "hello", false}: 1, {load, "refuse", true}: 1, {unload, "hello", false}: 1}},
	"bpftrace": {bpftraceClaims, `load hello by bench[77]
__x64_sys_finit_module by bench[77]
__x64_sys_finit_module gave 0 at 123456
__x64_sys_finit_module gave -8 at 123457
__x64_sys_delete_module gave 0 at 123458
do_init_module gave 0
Lost 5 events
`, deeds{{load, "", false}: 1, {load, "", true}: 1, {unload, "", false}: 1}},
	"perf": {tracepointClaims, `        module:module_load: hello OE
         module:module_get: hello call_site=do_init_module refcnt=2
        module:module_free: hello
`, deeds{{load, "hello", false}: 1, {unload, "hello", false}: 1}},
	"trace-cmd": {tracepointClaims, `cpus=2
           bench-77    [001]    12.345678: module_load:          hello OE
           bench-77    [001]    12.345679: module_free:          hello
`, deeds{{load, "hello", false}: 1, {unload, "hello", false}: 1}},
	"auditd": {auditClaims, `type=CONFIG_CHANGE msg=audit(1790000000.100:3): op=add_rule key="modules" list=4 res=1
type=SYSCALL msg=audit(1790000000.123:10): arch=c000003e syscall=313 success=yes exit=0 a0=3 key="modules"
type=KERN_MODULE msg=audit(1790000000.123:10): name="hello"
type=PROCTITLE msg=audit(1790000000.123:10): proctitle="bench"
type=SYSCALL msg=audit(1790000000.124:11): arch=c000003e syscall=313 success=no exit=-8 a0=3 key="modules"
type=KERN_MODULE msg=audit(1790000000.125:12): name="hello"
type=SYSCALL msg=audit(1790000000.125:12): arch=c000003e syscall=176 success=yes exit=0 key="modules"
type=SYSCALL msg=audit(1790000000.126:13): arch=c000003e syscall=59 success=yes exit=0 key="other"
`, deeds{{load, "hello", false}: 1, {load, "", true}: 1, {unload, "hello", false}: 1}},
}

func TestClaims(t *testing.T) {
	for name, s := range said {
		if diff := cmp.Diff(s.want, s.claims([]byte(s.text)), cmp.AllowUnexported(deed{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if got := s.claims([]byte("\x00\xff{}\n{\"action\":5}\ntype=SYSCALL\n")); len(got) != 0 {
			t.Errorf("%s reads %v from what says nothing", name, got)
		}
	}
}

func TestEvents(t *testing.T) {
	if at, ok := kmodtraceEvent([]byte(`{"action":"load","end_boottime_ns":"5"}`)); !ok || at != 5 {
		t.Errorf("kmodtrace: %v, %t", at, ok)
	}
	if at, ok := kmodtraceEvent([]byte(`{"action":"load","end_boottime_ns":5}`)); !ok || at != 5 {
		t.Errorf("kmodtrace of an earlier revision: %v, %t", at, ok)
	}
	if at, ok := bpftraceEvent([]byte("__x64_sys_finit_module gave -8 at 123457")); !ok || at != 123457 {
		t.Errorf("bpftrace: %v, %t", at, ok)
	}
	if _, ok := bpftraceEvent([]byte("__x64_sys_delete_module gave 0 at 1")); ok {
		t.Error("bpftrace: an unload is a load")
	}
	now := bootNow()
	line := fmt.Sprintf("type=SYSCALL msg=audit(%d.500:1): syscall=313 success=yes", time.Now().Unix()-10)
	if at, ok := auditEvent([]byte(line)); !ok || now-at < 8*time.Second || now-at > 12*time.Second {
		t.Errorf("auditd: %v, %t at %v", at, ok, now)
	}
	if _, ok := auditEvent([]byte("type=SYSCALL msg=audit(1.000:1): syscall=176 success=yes")); ok {
		t.Error("auditd: an unload is a load")
	}
}

func TestJudge(t *testing.T) {
	did := deeds{{load, "hello", false}: 10, {unload, "hello", false}: 10, {load, "", true}: 5}
	for name, c := range map[string]struct {
		claimed deeds
		want    verdict
	}{
		"all":              {deeds{{load, "hello", false}: 10, {unload, "hello", false}: 10, {load, "", true}: 5}, verdict{done: 25}},
		"nothing":          {nil, verdict{done: 25, lost: 25}},
		"no names":         {deeds{{load, "", false}: 10, {unload, "", false}: 10, {load, "", true}: 5}, verdict{done: 25}},
		"names for all":    {deeds{{load, "hello", false}: 10, {unload, "hello", false}: 10, {load, "junk123", true}: 5}, verdict{done: 25}},
		"one lost":         {deeds{{load, "hello", false}: 9, {unload, "hello", false}: 10, {load, "", true}: 5}, verdict{done: 25, lost: 1}},
		"one invented":     {deeds{{load, "hello", false}: 10, {unload, "hello", false}: 10, {load, "", true}: 6}, verdict{done: 25, invented: 1}},
		"another's name":   {deeds{{load, "hello", false}: 9, {unload, "hello", false}: 10, {load, "", true}: 5, {load, "other", false}: 1}, verdict{done: 25, lost: 1, invented: 1}},
		"wrong outcome":    {deeds{{load, "hello", true}: 1, {load, "hello", false}: 9, {unload, "hello", false}: 10, {load, "", true}: 5}, verdict{done: 25, wrong: 1}},
		"lost and another": {deeds{{load, "hello", false}: 10, {load, "", true}: 5, {unload, "", false}: 10}, verdict{done: 25, lost: 10, invented: 10}},
	} {
		if got := judge(did, c.claimed); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestDeedsAsJSON(t *testing.T) {
	want := deeds{{load, "hello", false}: 3, {unload, "", true}: 1}
	text, err := json.Marshal(stormResult{Did: want})
	if err != nil {
		t.Fatal(err)
	}
	var got stormResult
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Did, cmp.AllowUnexported(deed{})); diff != "" {
		t.Error(diff)
	}
}

func TestStamper(t *testing.T) {
	var s stamper
	before := bootNow()
	for _, p := range []string{"5\nhalf ", "a line\n", "", "no end"} {
		if n, err := s.Write([]byte(p)); n != len(p) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	var lines []string
	s.delays(func(line []byte) (kernelTime, bool) {
		lines = append(lines, string(line))
		return before, true
	})
	if diff := cmp.Diff([]string{"5", "half a line"}, lines); diff != "" {
		t.Error(diff)
	}
	for _, d := range s.delays(func([]byte) (kernelTime, bool) { return before, true }) {
		if d < 0 || d > 60 {
			t.Errorf("%v seconds", d)
		}
	}
}

func TestQuantile(t *testing.T) {
	v := make([]float64, 200)
	for i := range v {
		v[i] = float64(i + 1)
	}
	for q, want := range map[float64]float64{0: 1, 0.5: 100, 0.99: 198, 1: 200} {
		if got := quantile(v, q); got != want {
			t.Errorf("%v: %v, want %v", q, got, want)
		}
	}
	if got := quantile([]float64{7}, 0.99); got != 7 {
		t.Errorf("of one: %v", got)
	}
}
