package lab

import (
	"context"
	"fmt"
	"os"
)

// ChooseAccel says what to run a kernel's guest with. $KMODTRACE_LAB_ACCEL, "kvm" or
// "tcg", decides when it is set.
func ChooseAccel(ctx context.Context, cache string, k Kernel) (Accel, error) {
	switch forced := Accel(os.Getenv("KMODTRACE_LAB_ACCEL")); forced {
	case KVM, TCG:
		return forced, nil
	case "":
		return TCG, nil
	default:
		return "", fmt.Errorf("KMODTRACE_LAB_ACCEL=%s: want kvm or tcg", forced)
	}
}
