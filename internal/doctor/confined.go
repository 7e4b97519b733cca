package doctor

import (
	"fmt"
	"os"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"golang.org/x/sys/unix"
)

// What a container or a sandbox takes away is named, with what it was for: the errors of what then does not work name something
// else. TestContainer takes it away.

// A capability is one that kmodtrace uses.
type capability struct {
	number int
	name   string
	why    string
	// needed tells where this kernel asks for it; nil for everywhere.
	needed func(k confinement) bool
}

// confinement is what the needs depend on.
type confinement struct {
	admin    bool // CAP_SYS_ADMIN, which stands for what was split from it
	paranoid int  // kernel.perf_event_paranoid
	// charged tells a kernel that counts BPF's memory against a limit of the process.
	charged bool
	missing func(path string) bool
	host    bool // in the machine's first pid namespace
}

func capabilities() []capability {
	split := func(k confinement) bool { return !k.admin }
	return []capability{
		{unix.CAP_BPF, "CAP_BPF", "to load BPF programs", split},
		{unix.CAP_PERFMON, "CAP_PERFMON", "to attach them", split},
		{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "to attach probes, because kernel.perf_event_paranoid is above 2", func(k confinement) bool { return k.paranoid > 2 }},
		{unix.CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE", "for the memory of BPF maps", func(k confinement) bool { return k.charged }},
		{unix.CAP_SYSLOG, "CAP_SYSLOG", "for the kernel's addresses and its log", nil},
		{unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "to see what other processes are", nil},
		{unix.CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "to read the files of modules in directories of others", nil},
	}
}

// capabilityCheck names each capability that this process lacks and needs.
func capabilityCheck(effective func(number int) bool, err error, k confinement) check {
	c := check{Name: "capabilities", Have: yes}
	if err != nil {
		c.Have, c.Note = Unknown, cells.OneLine(err).Error()
		return c
	}
	k.admin = effective(unix.CAP_SYS_ADMIN)
	var lacks []string
	for _, use := range capabilities() {
		if !effective(use.number) && (use.needed == nil || use.needed(k)) {
			lacks = append(lacks, "no "+use.name+" ("+use.why+")")
		}
	}
	return lacking(c, lacks)
}

// mounts are what is read of the machine beside /proc, and for what.
var mounts = []struct{ path, mount, why string }{
	{"/proc/self/stat", "/proc", "processes and modules"},
	{"/sys/module", "/sys", "modules"},
	{"/sys/kernel/tracing/kprobe_events", "/sys/kernel/tracing", "tracefs, to probe the returns of functions"},
	{"/sys/kernel/security/lsm", "/sys/kernel/security", "securityfs: lockdown and the security modules"},
	{"/lib/modules", "/lib/modules", "the installed modules"},
}

// mountCheck names each place of the machine that is not there.
func mountCheck(k confinement) check {
	var lacks []string
	for _, m := range mounts {
		if k.missing(m.path) {
			lacks = append(lacks, "no "+m.mount+" ("+m.why+")")
		}
	}
	return lacking(check{Name: "mounts", Have: yes}, lacks)
}

// processesCheck tells whether the machine's processes can be seen, in a container those of its host.
func processesCheck(k confinement) check {
	c := check{Name: "host processes", Have: yes}
	if !k.host {
		c.Have, c.Note = no, "this is a pid namespace of its own: nobody outside of it is known by name (hostPID: true, --pid=host)"
	}
	return c
}

func lacking(c check, lacks []string) check {
	if len(lacks) > 0 {
		c.Have, c.Note = no, strings.Join(lacks, "; ")
	}
	return c
}

// confined asks what this process has.
func confined() confinement {
	k := confinement{
		paranoid: -1, host: procfs.InFirstPIDNamespace(),
		missing: func(path string) bool { _, err := os.Stat(path); return os.IsNotExist(err) },
	}
	if word, err := readWord("/proc/sys/kernel/perf_event_paranoid"); err == nil {
		_, _ = fmt.Sscan(word, &k.paranoid)
	}
	var major, minor int
	if n, _ := fmt.Sscanf(procfs.Uname().Release, "%d.%d", &major, &minor); n == 2 {
		k.charged = major < 5 || major == 5 && minor < 11
	}
	return k
}

// effectiveCapabilities gives what this process may use now.
func effectiveCapabilities() (has func(number int) bool, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return nil, fmt.Errorf("read capabilities: %w", err)
	}
	return func(number int) bool { return data[number/32].Effective&(1<<(number%32)) != 0 }, nil
}
