package main

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/record"
)

func requestCases() []causeCase {
	request := []string{"request"}
	// A device of a kind that there is not makes the kernel ask for its module.
	ask := func(kind string) func(*world, *testing.T, string) seen {
		return func(w *world, t *testing.T, _ string) seen {
			actions := w.during(func() { command("ip", "link", "add", "case0", "type", kind) })
			var requests []record.Record
			for _, a := range actions {
				if a.Request != nil && a.Module == "rtnl-link-"+kind {
					requests = append(requests, a)
				}
			}
			return ofActions(requests)
		}
	}
	const conf = "/etc/modprobe.d/case.conf"
	line := func(text string) func(*world, *testing.T) func() {
		return func(w *world, t *testing.T) func() { return setting(t, conf, text+"\n") }
	}
	helper := func(path string) func(*world, *testing.T) func() {
		return func(w *world, t *testing.T) func() { return setting(t, "/proc/sys/kernel/modprobe", path) }
	}
	script := func(text string) func(*world, *testing.T) func() {
		return func(w *world, t *testing.T) func() {
			if err := os.WriteFile("/tmp/helper", []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			return helper("/tmp/helper")(w, t)
		}
	}
	return []causeCase{
		{code: cause.NothingProvides, boot: plainBoot, ways: request, check: unasked, do: ask("nosuchkind"), says: []string{"rtnl-link-nosuchkind"}},
		{code: cause.BlockedByConfig, name: "request, blacklist", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), setup: line("blacklist dummy"), says: []string{"rtnl-link-dummy", conf + ":1"}},
		{code: cause.BlockedByConfig, name: "request, install /bin/false", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), setup: line("install dummy /bin/false"), says: []string{"rtnl-link-dummy", conf + ":1"}},
		{code: cause.BlockedByConfig, name: "request, install of what it needs", boot: plainBoot, ways: request, check: unasked, do: ask("vlan"), setup: line("install garp /bin/false"), says: []string{"garp, which 8021q needs", "rtnl-link-vlan", conf + ":1"}},
		{code: cause.BlockedByConfig, name: "request, alias off", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), setup: line("alias rtnl-link-dummy off"), says: []string{"rtnl-link-dummy", conf + ":1"}},
		{code: cause.NothingProvides, name: "alias of nothing", boot: plainBoot, ways: request, check: unasked, do: ask("stands"), setup: line("alias rtnl-link-stands no-such"), says: []string{"rtnl-link-stands", "no_such", conf + ":1"}},
		{code: cause.FileUnreadable, name: "request, an empty file", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), says: []string{"which modprobe takes for dummy, is empty"},
			setup: func(w *world, t *testing.T) func() {
				dir, _ := w.kernel.ModulesDir()
				found, err := filepath.Glob(filepath.Join(dir, "kernel/drivers/net/dummy.ko*"))
				if err != nil || len(found) != 1 {
					t.Fatalf("%q, %v", found, err)
				}
				show := away(t, found[0])
				w.write(t, found[0], nil)
				return show
			}},
		{code: cause.BlockedByConfig, name: "request, install /bin/true", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), setup: line("install dummy /bin/true"), says: []string{"rtnl-link-dummy", conf + ":1"}},
		{code: cause.BlockedByConfig, name: "request, a command that refuses", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), setup: line("install dummy /bin/sh -c 'exit 1'"), says: []string{"rtnl-link-dummy", conf + ":1"}},
		{code: cause.HelperMissing, name: "no such program", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), setup: helper("/nowhere/modprobe"), says: []string{"/nowhere/modprobe"}},
		{code: cause.HelperMissing, name: "empty", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), setup: helper("\n"), says: []string{"kernel.modprobe is empty"}},
		{code: cause.HelperFailed, name: "killed", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), setup: script("kill -9 $$"), says: []string{"/tmp/helper, was killed by SIGKILL", "it is not the system's modprobe"}},
		{code: cause.HelperFailed, name: "another program", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), setup: script("exit 1"), says: []string{"/tmp/helper, exited with status 1", "it is not the system's modprobe"}},
		{code: cause.HelperFailed, name: "another program, its own status", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), setup: script("exit 7"), says: []string{"/tmp/helper, exited with status 7", "it is not the system's modprobe"}},
		{code: cause.HelperFailed, name: "another program that says 0", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), setup: script("exit 0"), says: []string{"/tmp/helper, exited with status 0", "it is not the system's modprobe"}},
		{code: cause.NothingProvides, name: "another program", boot: plainBoot, ways: request, check: unasked, do: ask("nosuchkind"), setup: script("exit 1"), says: []string{"rtnl-link-nosuchkind"}},
		{code: cause.DepmodStale, name: "request, an index that is gone", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), says: []string{"modules.alias lists rtnl-link-dummy", "modules.alias.bin is not there"},
			setup: func(w *world, t *testing.T) func() {
				dir, _ := w.kernel.ModulesDir()
				return away(t, filepath.Join(dir, "modules.alias.bin"))
			}},
		{code: cause.DepmodStale, name: "request", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), setup: withoutDummy, says: []string{"modules.dep names", "dummy"}},
		{code: cause.RequestDenied, boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), lacks: lacksLSM, says: []string{"rtnl-link-dummy"},
			setup: func(w *world, t *testing.T) func() { return deny(t, "kernel_module_request", unix.EPERM) }},
		{code: cause.LoadFailed, name: "options of the alias", boot: plainBoot, ways: request, check: unasked, do: ask("dummy"), setup: line("options rtnl-link-dummy numdummies=many"),
			says: []string{"rtnl-link-dummy", "parameter-invalid", "numdummies", conf + ":1"}},
		{code: cause.LoadFailed, boot: plainBoot, ways: request, check: unasked, do: ask("broken"), says: []string{"rtnl-link-broken", "refuse", "init-refused"},
			setup: func(w *world, t *testing.T) func() {
				return setting(t, conf, "alias rtnl-link-broken refuse\ninstall refuse /sbin/insmod "+w.specimen("refuse.ko")+"\n")
			}},
	}
}

// withoutDummy has modules.dep name a file that is gone.
func withoutDummy(w *world, t *testing.T) func() {
	t.Helper()
	dir, _ := w.kernel.ModulesDir()
	found, err := filepath.Glob(filepath.Join(dir, "kernel/drivers/net/dummy.ko*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	return away(t, found[0])
}

// away takes a file away for a while.
func away(t *testing.T, path string) (undo func()) {
	t.Helper()
	if err := os.Rename(path, path+".gone"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Rename(path+".gone", path); err != nil {
			t.Error(err)
		}
	}
}
