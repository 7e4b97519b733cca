package doctor

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCapabilityCheck(t *testing.T) {
	for _, test := range []struct {
		name    string
		without []int
		k       confinement
		have    Have
		notes   []string
	}{
		{"all", nil, confinement{paranoid: 4, charged: true}, yes, nil},
		{"one", []int{unix.CAP_SYSLOG}, confinement{}, no, []string{"no CAP_SYSLOG (for the kernel's addresses and its log)"}},
		{"two", []int{unix.CAP_BPF, unix.CAP_SYS_PTRACE, unix.CAP_SYS_ADMIN}, confinement{}, no, []string{"no CAP_BPF (", "; no CAP_SYS_PTRACE ("}},
		{"another stands for it", []int{unix.CAP_BPF, unix.CAP_PERFMON}, confinement{paranoid: 3}, yes, nil},
		{"not asked for here", []int{unix.CAP_SYS_ADMIN, unix.CAP_SYS_RESOURCE}, confinement{paranoid: 2}, yes, nil},
		{"perf is restricted", []int{unix.CAP_SYS_ADMIN}, confinement{paranoid: 3}, no, []string{"no CAP_SYS_ADMIN (", "perf_event_paranoid"}},
		{"an old kernel", []int{unix.CAP_SYS_RESOURCE}, confinement{charged: true}, no, []string{"no CAP_SYS_RESOURCE ("}},
	} {
		c := capabilityCheck(func(number int) bool { return !slices.Contains(test.without, number) }, nil, test.k)
		if c.Have != test.have || (c.Note == "") != (test.notes == nil) {
			t.Errorf("%s: %+v", test.name, c)
		}
		for _, note := range test.notes {
			if !strings.Contains(c.Note, note) {
				t.Errorf("%s: %q has no %q", test.name, c.Note, note)
			}
		}
	}
	if c := capabilityCheck(nil, errors.New("two\nlines"), confinement{}); c.Have != Unknown || c.Note != "two lines" {
		t.Errorf("%+v", c)
	}
}

func TestMountCheck(t *testing.T) {
	for _, test := range []struct{ missing, note string }{
		{"", ""},
		{"/sys/kernel/tracing/kprobe_events", "no /sys/kernel/tracing (tracefs, to probe the returns of functions)"},
		{"/lib/modules", "no /lib/modules (the installed modules)"},
		{"/sys/", "no /sys (modules); no /sys/kernel/tracing ("},
	} {
		c := mountCheck(confinement{missing: func(path string) bool { return test.missing != "" && strings.HasPrefix(path, test.missing) }})
		if !strings.HasPrefix(c.Note, test.note) || (c.Note == "") != (c.Have == yes) || (test.note == "") != (c.Have == yes) {
			t.Errorf("without %q: %+v", test.missing, c)
		}
	}
}

func TestProcessesCheck(t *testing.T) {
	if c := processesCheck(confinement{host: true}); c.Have != yes || c.Note != "" {
		t.Errorf("%+v", c)
	}
	if c := processesCheck(confinement{}); c.Have != no || !strings.Contains(c.Note, "hostPID") {
		t.Errorf("%+v", c)
	}
}
