package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// ChooseAccel says what to run a kernel's guest with. $KMODTRACE_LAB_ACCEL,
// "kvm", "tcg" or "counted", decides when it is set. Otherwise it is KVM where a guest has really
// reached its first process with it: that /dev/kvm exists, and even that QEMU
// starts, proves nothing. The question is asked once of each kernel, QEMU and host.
func ChooseAccel(ctx context.Context, cache string, k Kernel) (Accel, error) {
	switch forced := Accel(os.Getenv("KMODTRACE_LAB_ACCEL")); forced {
	case KVM, TCG, Counted:
		return forced, nil
	case "":
	default:
		return "", fmt.Errorf("KMODTRACE_LAB_ACCEL=%.20s: must be kvm, tcg or counted", forced)
	}
	q, err := findQEMU(ctx, k.Arch)
	if err != nil {
		return "", err
	}
	if !q.canKVM() || !openKVM() {
		return TCG, nil
	}
	v, err := askKVM(ctx, cache, q, k)
	if err != nil {
		return "", err
	}
	if v.Works {
		return KVM, nil
	}
	return TCG, nil
}

// openKVM says whether this user may use KVM at all.
func openKVM() bool {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// kvmVerdict is the answer to whether a guest boots with KVM here.
type kvmVerdict struct {
	Works   bool
	Reason  string    `json:",omitempty"` // why it does not
	Expires time.Time `json:",omitzero"`  // for an answer that may be different another time
}

// probeTime is far more than a kernel takes to boot with a working KVM. A host that
// is too busy for that is asked again after probeAgain.
const (
	probeTime  = 20 * time.Second
	probeAgain = 24 * time.Hour
)

// askKVM gives the known verdict, or boots the kernel with KVM to find out.
func askKVM(ctx context.Context, cache string, q qemu, k Kernel) (kvmVerdict, error) {
	name := filepath.Join(cache, "kvm", verdictName(k.Release, q.full, procfs.Uname().Release))
	if v, ok := readVerdict(name, time.Now()); ok {
		return v, nil
	}
	m := Machine{Kernel: k, Accel: KVM, Bare: true, Timeout: probeTime, Cache: cache}
	_, err := Run(ctx, m, []string{kmodtracePath, "--help"}, io.Discard, io.Discard)
	v, conclusive := judgeKVM(err, time.Now())
	if ctx.Err() != nil {
		return v, ctx.Err()
	}
	if conclusive {
		// One that cannot be kept is asked for again.
		_ = writeVerdict(name, v)
	}
	return v, nil
}

// judgeKVM reads the probe's error. A command that failed in the guest is a
// guest that booted; an image that could not be made says nothing of KVM.
func judgeKVM(err error, now time.Time) (v kvmVerdict, conclusive bool) {
	crash := (*CrashError)(nil)
	switch {
	case err == nil:
		return kvmVerdict{Works: true}, true
	case !errors.As(err, &crash):
		return kvmVerdict{Reason: err.Error()}, false
	case errors.Is(err, context.DeadlineExceeded):
		return kvmVerdict{Reason: crash.Reason, Expires: now.Add(probeAgain)}, true
	default:
		return kvmVerdict{Reason: crash.Reason}, true
	}
}

// verdictName makes a file name of what the verdict is about.
func verdictName(parts ...string) string {
	name := ""
	for _, part := range parts {
		name += regexp.MustCompile(`[^0-9A-Za-z.+-]+`).ReplaceAllString(part, "_") + "__"
	}
	return name[:min(len(name), 240)] + ".json"
}

func readVerdict(name string, now time.Time) (v kvmVerdict, ok bool) {
	data, err := os.ReadFile(name)
	if err != nil || json.Unmarshal(data, &v) != nil {
		return kvmVerdict{}, false
	}
	return v, v.Expires.IsZero() || now.Before(v.Expires)
}

// writeVerdict keeps a verdict, whole or not at all.
func writeVerdict(name string, v kvmVerdict) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return replaceFile(name, data)
}
