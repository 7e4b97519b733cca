package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestDoctorLockdown: under lockdown=confidentiality the doctor says what the kernel
// really allows there, also where the mode cannot be read.
func TestDoctorLockdown(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("needs a kernel that was booted for it: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if mode, err := tracer.Lockdown(); err != nil || mode != "confidentiality" {
		t.Skipf("the kernel is locked down to %q (%v): needs lockdown=confidentiality on its command line (lab exec --append)", mode, err)
	}
	doctor := func() (have, notes map[string]string) {
		t.Helper()
		cmd := exec.Command("kmodtrace", "doctor", "--json")
		out, err := cmd.Output()
		if status := cmd.ProcessState.ExitCode(); status != exitNoTrace {
			t.Fatalf("status %d, %v: %s", status, err, out)
		}
		if err := validateText("doctor", out); err != nil {
			t.Error(err)
		}
		var report struct {
			Works  bool
			Checks []struct{ Name, Have, Note string }
		}
		if err := json.Unmarshal(out, &report); err != nil || report.Works {
			t.Fatalf("%v: %s", err, out)
		}
		have, notes = map[string]string{}, map[string]string{}
		for _, c := range report.Checks {
			have[c.Name], notes[c.Name] = c.Have, c.Note
		}
		return have, notes
	}
	have, notes := doctor()
	if have["kprobes"] != "no" || !strings.Contains(notes["kprobes"], "operation not permitted") || !strings.Contains(notes["kprobes"], "lockdown mode is confidentiality") {
		t.Errorf("kprobes: %s, %q", have["kprobes"], notes["kprobes"])
	}
	if have["memory reads"] != "no" || have["privilege"] != "yes" || have["modules"] != "yes" || have["BTF"] != "yes" {
		t.Errorf("%v", have)
	}
	if allowed := tracer.HaveFentry() == nil; allowed != (have["fentry"] == "yes") {
		t.Errorf("fentry: %s, %q, and an attachment worked: %t", have["fentry"], notes["fentry"], allowed)
	}
	defer covered(t, "/sys/kernel/security/lockdown", "no mode\n")()
	have, notes = doctor()
	if have["kprobes"] != "no" || have["memory reads"] != "no" {
		t.Errorf("beside a mode that cannot be read: %v, %v", have, notes)
	}
}
