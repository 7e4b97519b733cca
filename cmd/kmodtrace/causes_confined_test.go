package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/cause"
)

// confinedCases are of a caller that AppArmor confines: it has CAP_SYS_MODULE, and its profile does not
// allow the use.
func confinedCases() []causeCase {
	const says = `AppArmor refused kmodtrace.test[`
	return []causeCase{
		{
			code: cause.LSMDenied, name: "AppArmor", boot: plainBoot, ways: []string{"syscall"}, check: unasked, lacks: lacksAppArmor,
			says: []string{says, "the use of CAP_SYS_MODULE", `operation="capable"`},
			do: func(w *world, t *testing.T, _ string) seen {
				f, err := os.Open(w.specimen("hello.ko"))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				return w.seenDuring(func() {
					confined(t, "kmodtrace_load", func() error { return unix.FinitModule(int(f.Fd()), "", 0) })
				})
			},
		},
		{
			code: cause.LSMDenied, name: "AppArmor, unload", boot: plainBoot, ways: []string{"syscall"}, check: unasked, lacks: lacksAppArmor,
			says:  []string{says, "the use of CAP_SYS_MODULE", `operation="capable"`},
			setup: func(w *world, t *testing.T) func() { return w.loaded(t, "hello.ko") },
			do: func(w *world, t *testing.T, _ string) seen {
				return w.seenDuring(func() {
					confined(t, "kmodtrace_unload", func() error { return unix.DeleteModule("hello", unix.O_NONBLOCK) })
				})
			},
		},
	}
}

func lacksAppArmor(w *world) string {
	if lsms := w.kernel.LSMs(); !strings.Contains(lsms, "apparmor") {
		return "AppArmor is not among its security modules: " + lsms
	}
	return ""
}

// confined makes a call in a thread with a profile that allows every capability but CAP_SYS_MODULE, and no
// file: the call must be refused.
func confined(t *testing.T, profile string, call func() error) {
	t.Helper()
	if err := os.WriteFile("/sys/kernel/security/apparmor/.replace", profileWithoutModules(profile), 0); err != nil {
		t.Fatal(err)
	}
	refused := make(chan error)
	go func() {
		runtime.LockOSThread() // and it ends with the goroutine
		if err := os.WriteFile("/proc/thread-self/attr/current", []byte("changeprofile "+profile), 0); err != nil {
			t.Errorf("change to %s: %v", profile, err)
		}
		refused <- call()
	}()
	if err := <-refused; err != unix.EPERM {
		t.Errorf("under %s: %v", profile, err)
	}
}

// Elements of AppArmor's binary policy, version 5 (security/apparmor/policy_unpack.c).
const (
	policyU32       = 2
	policyName      = 4
	policyString    = 5
	policyStruct    = 7
	policyStructEnd = 8
)

func profileWithoutModules(name string) []byte {
	var p bytes.Buffer
	text := func(kind byte, s string) {
		p.WriteByte(kind)
		_ = binary.Write(&p, binary.LittleEndian, uint16(len(s)+1))
		p.WriteString(s + "\x00")
	}
	numbers := func(all ...uint32) {
		for _, n := range all {
			p.WriteByte(policyU32)
			_ = binary.Write(&p, binary.LittleEndian, n)
		}
	}
	text(policyName, "version")
	numbers(5)
	text(policyName, "profile")
	p.WriteByte(policyStruct)
	text(policyString, name)
	text(policyName, "flags")
	p.WriteByte(policyStruct)
	numbers(0, 0, 0) // not a hat; enforced; not all is audited
	p.WriteByte(policyStructEnd)
	numbers(^uint32(1<<unix.CAP_SYS_MODULE), 0, 0, 0) // capabilities: allowed, audited, quiet, and one that is not read
	text(policyName, "caps64")
	p.WriteByte(policyStruct)
	numbers(^uint32(0), 0, 0, 0) // the upper halves
	p.WriteByte(policyStructEnd)
	p.WriteByte(policyStructEnd)
	return p.Bytes()
}
