package tracer

import (
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

func TestHooksFor(t *testing.T) {
	has := func(v version, name string) bool {
		for _, h := range hooksFor(v) {
			if h.name == name {
				return true
			}
		}
		return false
	}
	for _, test := range []struct {
		v    version
		name string
		want bool
	}{
		{version{5, 10}, "console", false},
		{version{5, 10}, "prb_commit", true},
		{version{6, 0}, "prb_commit", true},
		{version{6, 1}, "prb_commit", false},
		{version{6, 1}, "console", true},
		{version{6, 4}, "idempotent_init_module", false},
		{version{7, 3}, "idempotent_init_module", true},
		{version{7, 3}, "finit_module", true},
	} {
		if got := has(test.v, test.name); got != test.want {
			t.Errorf("%v has %s: %t", test.v, test.name, got)
		}
	}
}

// Every hook has its programs, for both architectures' sake by the one that
// this test runs on; and every program has its hook, but those that serve many.
func TestProgramsAndHooks(t *testing.T) {
	spec, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{bpfProgSharedEntries: true, bpfProgSharedReturns: true, bpfProgFindSymbol: true}
	for _, h := range hooks() {
		found := false
		for _, b := range []Backend{Fentry, Kprobe} {
			for _, name := range h.programs(b) {
				found = found || spec.Programs[name] != nil
				used[name] = true
			}
		}
		if !found && h.need != WherePresent {
			t.Errorf("hook %s has no program", h.name)
		}
	}
	for name := range spec.Programs {
		if !used[name] {
			t.Errorf("program %s has no hook", name)
		}
	}
}

// Every function has its number where probes share events.
func TestFunctionsFitWhatIsShared(t *testing.T) {
	spec, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	functions := make(map[string]bool)
	for _, p := range spec.Programs {
		if p.AttachTo != "" && p.Type == ebpf.Kprobe {
			functions[p.AttachTo] = true
			if room := len(bpfSymbol{}.Name); len(p.AttachTo) >= room {
				t.Errorf("%s: want fewer than %d characters", p.AttachTo, room)
			}
		}
	}
	for _, name := range []string{bpfMapFunctions, bpfMapEntries, bpfMapReturns} {
		if room := spec.Maps[name].MaxEntries; len(functions) > int(room) {
			t.Errorf("%d functions, and %s has room for %d", len(functions), name, room)
		}
	}
}

// A machine that loads no modules pays nothing: nothing is hooked that every process
// runs into, also not to know who its ancestors are.
func TestNoHookForEveryProcess(t *testing.T) {
	spec, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	everyday := []string{"fork", "clone", "exec", "exit", "sched", "wake_up_new", "cred", "cgroup", "sys_enter", "sys_exit", "setuid"}
	for name, p := range spec.Programs {
		if strings.HasPrefix(p.AttachTo, "call_usermodehelper_exec") {
			continue // the kernel starts a helper
		}
		if slices.ContainsFunc(everyday, func(word string) bool { return strings.Contains(p.AttachTo, word) }) {
			t.Errorf("%s: %s is on a path of every process", name, p.AttachTo)
		}
	}
}
