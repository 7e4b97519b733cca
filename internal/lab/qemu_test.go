package lab

import (
	"context"
	"slices"
	"strings"
	"testing"
)

func TestParseQEMUVersion(t *testing.T) {
	for _, c := range []struct {
		out, full string
		major     int
	}{
		{"QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright (c) 2003", "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", 7},
		{"QEMU emulator version 10.0.2", "10.0.2", 10},
		{"QEMU emulator version 9.2.50 (v9.2.0-rc1-dirty)", "9.2.50 (v9.2.0-rc1-dirty)", 9},
	} {
		full, major, err := parseQEMUVersion(c.out)
		if full != c.full || major != c.major || err != nil {
			t.Errorf("%q: got %q, %d, %v", c.out, full, major, err)
		}
	}
	for _, out := range []string{"", "\n", "QEMU", "version x.y", "version 99999999999999999999.1", strings.Repeat("x", 1<<16)} {
		if _, major, err := parseQEMUVersion(out); err == nil {
			t.Errorf("%.40q: major %d and no error", out, major)
		}
	}
}

func TestQEMUArguments(t *testing.T) {
	h := hardware{kernel: 3, image: 4, console: 5, memory: 700, cpus: 2, accel: TCG}
	for _, c := range []struct {
		name   string
		q      qemu
		change func(*hardware)
		want   []string // pairs
	}{
		{"emulated", qemu{arch: "amd64", major: 7}, nil, []string{
			"-accel tcg,thread=single", "-machine q35", "-cpu max,-erms,-fsrm", "-smp 2", "-m 700", "-kernel /dev/fd/3",
			"-initrd /dev/fd/4", "-append console=ttyS0 quiet panic=-1 rcupdate.rcu_expedited=1 no_timer_check clocksource=hpet tsc=unstable", "-serial chardev:console", "-serial chardev:results"}},
		{"threads are safe from 10 on", qemu{arch: "amd64", major: 10}, nil, []string{"-accel tcg"}},
		{"KVM", qemu{arch: "amd64", major: 7}, func(h *hardware) { h.accel = KVM }, []string{"-accel kvm", "-cpu host"}},
		{"counted", qemu{arch: "amd64", major: 7}, func(h *hardware) { h.accel = Counted }, []string{"-accel tcg", "-icount shift=1,sleep=on", "-cpu max,-erms,-fsrm"}},
		{"arm64", qemu{arch: "arm64", major: 7}, nil, []string{
			"-machine virt", "-cpu cortex-a72", "-append console=ttyAMA0 quiet panic=-1 rcupdate.rcu_expedited=1", "-device pci-serial,chardev=results"}},
		{"sandbox", qemu{arch: "amd64", sandbox: true}, nil, []string{
			"-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"}},
		{"disk", qemu{arch: "amd64"}, func(h *hardware) { h.disk = 6 }, []string{
			"-add-fd fd=6,set=2", "-drive file=/dev/fdset/2,format=raw,if=none,id=disk,cache=writeback"}},
		{"more of a command line", qemu{arch: "amd64"}, func(h *hardware) { h.append = "lsm=bpf x=\"a b\"" },
			[]string{"-append console=ttyS0 quiet panic=-1 rcupdate.rcu_expedited=1 no_timer_check clocksource=hpet tsc=unstable lsm=bpf x=\"a b\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := h
			if c.change != nil {
				c.change(&h)
			}
			args := c.q.args(h)
			for _, want := range c.want {
				flag, value, _ := strings.Cut(want, " ")
				found := false
				for i := range args[:len(args)-1] {
					found = found || args[i] == flag && args[i+1] == value
				}
				if !found {
					t.Errorf("no %q in %q", want, args)
				}
			}
			if !slices.Contains(args, "-no-reboot") {
				t.Error("a guest that restarts would never end")
			}
			for _, want := range []string{"-no-user-config", "-nodefaults"} {
				if !slices.Contains(args, want) {
					t.Errorf("no %s: QEMU adds a network device and more", want)
				}
			}
			for _, arg := range args {
				if strings.HasPrefix(arg, "-net") || arg == "-nic" || strings.Contains(arg, "virtio-net") {
					t.Errorf("%s: nobody asked for a network", arg)
				}
			}
		})
	}
}

func TestFindQEMU(t *testing.T) {
	if _, err := findQEMU(context.Background(), "riscv64"); err == nil {
		t.Error("riscv64: no error")
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := findQEMU(context.Background(), "amd64"); err == nil || !strings.Contains(err.Error(), "install") {
		t.Errorf("without QEMU: %v", err)
	}
}
