package tracer

import (
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
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
		{version{7, 3}, "prb_commit", true},
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
	used := map[string]bool{bpfProgSharedEntries: true, bpfProgSharedReturns: true, bpfProgFindSymbol: true, bpfProgTellDue: true, bpfProgPutFence: true}
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

// TestBuildsAreAlike: what a kernel's verifier can follow decides which build it gets, and
// nothing else does.
func TestBuildsAreAlike(t *testing.T) {
	old, err := programsFor(version{5, 16})
	if err != nil {
		t.Fatal(err)
	}
	looping, err := programsFor(version{5, 17})
	if err != nil {
		t.Fatal(err)
	}
	if calls := callbacks(old); len(calls) > 0 {
		t.Errorf("before 5.17 no program can have a callback: %q have", calls)
	}
	if calls := callbacks(looping); len(calls) == 0 {
		t.Error("from 5.17 on no program has a callback: the builds are the same")
	}
	for name, p := range old.Programs {
		other := looping.Programs[name]
		if other == nil || other.SectionName != p.SectionName || other.Type != p.Type {
			t.Errorf("program %s is %v before 5.17, and %v then", name, p, other)
		}
	}
	for name, m := range old.Maps {
		other := looping.Maps[name]
		if other == nil || other.Type != m.Type || other.KeySize != m.KeySize || other.ValueSize != m.ValueSize || other.MaxEntries != m.MaxEntries {
			t.Errorf("map %s is %v before 5.17, and %v then", name, m, other)
		}
	}
	if len(looping.Programs) != len(old.Programs) || len(looping.Maps) != len(old.Maps) {
		t.Errorf("%d programs and %d maps before 5.17, and %d and %d then",
			len(old.Programs), len(old.Maps), len(looping.Programs), len(looping.Maps))
	}
}

// callbacks lists the programs that hand a function to the kernel.
func callbacks(spec *ebpf.CollectionSpec) (names []string) {
	for name, p := range spec.Programs {
		if slices.ContainsFunc(p.Instructions, func(i asm.Instruction) bool { return i.IsLoadOfFunctionPointer() }) {
			names = append(names, name)
		}
	}
	return names
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
