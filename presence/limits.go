package presence

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"slices"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/internal/taint"
)

// Limits are settings of a running kernel that become only stricter until its end. What takes one of them back wrote to the
// kernel's memory.
type Limits struct {
	// Tainted is the mask of the kernel's taints: none of them is ever taken away.
	Tainted uint64
	// Disabled tells that no module can be loaded any more (kernel.modules_disabled).
	Disabled bool
	// Lockdown is the mode of lockdown; empty where there is none.
	Lockdown string
}

// ReadLimits reads them below the directory that holds proc and sys.
func ReadLimits(root string) (l Limits, err error) {
	if l.Tainted, err = procfs.Tainted(root); err != nil {
		return l, err
	}
	l.Disabled = procfs.FirstLine(filepath.Join(root, "proc/sys/kernel/modules_disabled")) == "1"
	text, err := os.ReadFile(filepath.Join(root, "sys/kernel/security/lockdown"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l, err
	}
	l.Lockdown, _ = procfs.LockdownMode(string(text))
	return l, nil
}

// lockdownModes are those of the kernel, the least strict first.
var lockdownModes = []string{"none", "integrity", "confidentiality"}

// Eased says what the kernel took back of its limits; nothing where all of them hold.
func (l Limits) Eased(now Limits) (eased []string) {
	for gone := l.Tainted &^ now.Tainted; gone != 0; gone &= gone - 1 {
		eased = append(eased, fmt.Sprintf("the kernel's taint %s is gone", taint.Word(bits.TrailingZeros64(gone))))
	}
	if l.Disabled && !now.Disabled {
		eased = append(eased, "kernel.modules_disabled was set, and is not any more")
	}
	if slices.Index(lockdownModes, now.Lockdown) < slices.Index(lockdownModes, l.Lockdown) {
		eased = append(eased, fmt.Sprintf("lockdown was %s, and is %s", l.Lockdown, cmp.Or(now.Lockdown, "gone")))
	}
	return eased
}

// Both gives the stricter of each.
func (l Limits) Both(other Limits) Limits {
	l.Tainted |= other.Tainted
	l.Disabled = l.Disabled || other.Disabled
	if slices.Index(lockdownModes, other.Lockdown) > slices.Index(lockdownModes, l.Lockdown) {
		l.Lockdown = other.Lockdown
	}
	return l
}
