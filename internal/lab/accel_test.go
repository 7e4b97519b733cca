package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestJudgeKVM(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name              string
		err               error
		works, conclusive bool
		expires           bool
	}{
		{"booted", nil, true, true, false},
		{"QEMU failed", &CrashError{Reason: "qemu: MSR"}, false, true, false},
		{"panicked", &CrashError{Reason: "kernel panic: x"}, false, true, false},
		{"too slow to tell", &CrashError{Reason: "no end", Err: context.DeadlineExceeded}, false, true, true},
		{"no image", errors.New("no space left on device"), false, false, false},
	} {
		v, conclusive := judgeKVM(c.err, now)
		if v.Works != c.works || conclusive != c.conclusive || v.Expires.IsZero() == c.expires {
			t.Errorf("%s: got %+v, conclusive %v", c.name, v, conclusive)
		}
		if !v.Works && v.Reason == "" {
			t.Errorf("%s: no reason", c.name)
		}
	}
}

func TestVerdictIsKept(t *testing.T) {
	name := filepath.Join(t.TempDir(), "kvm", verdictName("6.1.0-56", "7.2.22 (Debian 1:7.2)", "../../x"))
	if strings.ContainsAny(filepath.Base(name), "/ ():") {
		t.Errorf("file name %q", filepath.Base(name))
	}
	now := time.Now()
	if _, ok := readVerdict(name, now); ok {
		t.Error("a verdict before there was one")
	}
	if err := writeVerdict(name, kvmVerdict{Reason: "r", Expires: now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if v, ok := readVerdict(name, now); !ok || v.Works || v.Reason != "r" {
		t.Errorf("got %+v, %v", v, ok)
	}
	if _, ok := readVerdict(name, now.Add(2*time.Hour)); ok {
		t.Error("an expired verdict still counts")
	}
	for _, broken := range []string{"", "{", `{"Works":"yes"}`, "null garbage"} {
		if err := os.WriteFile(name, []byte(broken), 0o644); err != nil {
			t.Fatal(err)
		}
		if v, ok := readVerdict(name, now); ok {
			t.Errorf("%q counts as %+v", broken, v)
		}
	}
}

func TestForcedAccel(t *testing.T) {
	for _, c := range []struct {
		value string
		want  Accel
		ok    bool
	}{{"tcg", TCG, true}, {"kvm", KVM, true}, {"counted", Counted, true}, {"KVM", "", false}, {"hvf", "", false}, {strings.Repeat("x", 5000), "", false}} {
		t.Setenv("KMODTRACE_LAB_ACCEL", c.value)
		got, err := ChooseAccel(context.Background(), t.TempDir(), Kernel{Arch: "amd64"})
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%.10s: got %q, %.80v", c.value, got, err)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("error of %d bytes", len(err.Error()))
		}
	}
}
