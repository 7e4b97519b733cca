// Package doctor asks what a kernel, and this user, let kmodtrace see.
package doctor

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Report is what doctor found.
type Report struct {
	Kernel system  `json:"kernel"`
	Checks []check `json:"checks"`
	// Works tells whether tracing works, Reason why not.
	Works  bool   `json:"works"`
	Reason string `json:"reason,omitempty"`
	// Attach and Detach are how long that took; zero where it came to none.
	Attach time.Duration `json:"attach_ns,omitempty"`
	Detach time.Duration `json:"detach_ns,omitempty"`
	// Coverage is nil where no hook was tried.
	Coverage *tracer.Coverage `json:"coverage,omitempty"`
}

type system struct {
	Release string `json:"release"`
	Arch    string `json:"arch"` // as uname -m has it
}

// check is one question to the kernel.
type check struct {
	Name string `json:"name"`
	Have Have   `json:"have"`
	// Required: tracing cannot do without.
	Required bool   `json:"required"`
	Note     string `json:"note,omitempty"`
}

// Have is the answer to a check.
type Have string

const (
	yes     Have = "yes"
	no      Have = "no"
	Unknown Have = "unknown"
)

// Examine asks and attaches. The error is that of a kernel that cannot be traced.
func Examine(backend tracer.Backend) (*Report, error) {
	r := &Report{Kernel: runningKernel(), Checks: checks()}
	start := time.Now()
	t, err := tracer.Open(&tracer.Options{Backend: backend})
	if err != nil {
		var partial *tracer.CoverageError
		if errors.As(err, &partial) {
			r.Coverage = &partial.Coverage
		}
		r.Reason = "cannot trace here: " + cells.OneLine(err).Error()
		return r, err
	}
	coverage := t.Coverage()
	r.Works, r.Attach, r.Coverage = true, time.Since(start), &coverage
	start = time.Now()
	err = t.Close()
	r.Detach = time.Since(start)
	return r, err
}

func runningKernel() system {
	u := procfs.Uname()
	return system{Release: u.Release, Arch: u.Machine}
}

// checks asks for what tracing needs, then for what makes it better, then for
// what keeps modules out.
func checks() []check {
	privilege := required("privilege", tracer.HavePrivilege())
	mode, modeErr := tracer.Lockdown()
	has, capErr := effectiveCapabilities()
	k := confined()
	return []check{
		required("modules", tracer.HaveModules()),
		required("kprobes", tracer.HaveKprobes()),
		required("BTF", tracer.HaveBTF()),
		privilege,
		capabilityCheck(has, capErr, k),
		mountCheck(k),
		processesCheck(k),
		lockdownCheck(tracer.HaveNoLockdown(), mode, modeErr, privilege.Have == yes),
		optional("fentry", tracer.HaveFentry(), privilege.Have == yes),
		optional("BPF LSM", tracer.HaveBPFLSM(), true),
		loadingCheck(),
		helperCheck(requestHelper()),
		refcountCheck(kmod.List(nil)),
		taintCheck(procfs.Tainted("/")),
		listCheck(moduleTree()),
		configurationCheck(ineffective()),
		signatureCheck(),
		loginCheck(kernel.LoginUIDImmutable()),
	}
}

func required(name string, err error) check {
	c := optional(name, err, true)
	c.Required = true
	return c
}

// optional takes an error for a no only where the question could be asked.
func optional(name string, err error, askable bool) check {
	switch {
	case err == nil:
		return check{Name: name, Have: yes}
	case !askable:
		return check{Name: name, Have: Unknown, Note: "cannot be asked without privilege"}
	case errors.Is(err, tracer.ErrKprobesRefused): // the kernel answered
	case errors.Is(err, os.ErrPermission) && !errors.Is(err, tracer.ErrPrivilege), errors.Is(err, os.ErrNotExist):
		return check{Name: name, Have: Unknown, Note: cells.OneLine(err).Error()}
	}
	return check{Name: name, Have: no, Note: strings.TrimPrefix(cells.OneLine(err).Error(), "no "+name+": ")}
}

// lockdownCheck: lockdown, in its mode confidentiality, keeps BPF from reading the kernel.
// asked tells whether the kernel was asked for more than the mode.
func lockdownCheck(have error, mode string, err error, asked bool) check {
	c := required("memory reads", have)
	switch {
	case c.Have == no:
	case errors.Is(err, os.ErrNotExist) && !asked:
		c.Have, c.Note = Unknown, "securityfs is not mounted, or this kernel has no lockdown; cannot be asked without privilege"
	case errors.Is(err, os.ErrNotExist):
		c.Note = "no lockdown in this kernel, or securityfs is not mounted"
	case err != nil && asked:
		c.Note = cells.OneLine(err).Error()
	case err != nil:
		c.Have, c.Note = Unknown, cells.OneLine(err).Error()
	case c.Have == yes && mode == "integrity":
		c.Note = "lockdown mode integrity: unsigned modules are refused"
	case c.Have == yes:
		c.Note = "lockdown mode " + mode
	}
	return c
}

// loadingCheck tells whether modules can be loaded now; tracing sees the refusals
// all the same.
func loadingCheck() check {
	c := check{Name: "loading", Have: yes}
	switch value, err := readWord("/proc/sys/kernel/modules_disabled"); {
	case err != nil && tracer.HaveModules() != nil:
		c.Have, c.Note = no, "this kernel has no modules"
	case err != nil:
		c.Have, c.Note = Unknown, cells.OneLine(err).Error()
	case value != "0":
		c.Have, c.Note = no, "kernel.modules_disabled is set: no module can be loaded or unloaded until reboot"
	}
	return c
}

func requestHelper() (helper, system string, other bool, err error) {
	k, err := kernel.Open(nil)
	if err != nil {
		return "", "", false, err
	}
	return k.OtherModprobe()
}

// helperCheck tells whether the kernel, when it needs a module, starts the system's modprobe.
func helperCheck(helper, system string, other bool, err error) check {
	c := check{Name: "request helper", Have: yes, Note: helper}
	switch {
	case err != nil:
		c.Have, c.Note = Unknown, cells.OneLine(err).Error()
	case helper == "":
		c.Have, c.Note = no, "kernel.modprobe is empty: the kernel asks for no modules"
	case other:
		c.Have, c.Note = no, fmt.Sprintf("kernel.modprobe is %s, and not the system's modprobe (%s); the kernel runs it as root (kmodtrace explain helper-failed)", helper, system)
	}
	return c
}

// refcountCheck tells whether there is a module that no tool may unload: the kernel would
// keep its lock for modules, and load and unload nothing until reboot.
func refcountCheck(modules []kmod.Module, err error) check {
	c := check{Name: "sound refcounts", Have: yes}
	var broken []string
	for i := range modules {
		if m := &modules[i]; m.RefsNegative {
			broken = append(broken, fmt.Sprintf("%s (%d)", m.Name, *m.Refs))
		}
	}
	switch {
	case errors.Is(err, kmod.ErrNoModules):
		c.Note = "this kernel has no modules"
	case err != nil:
		c.Have, c.Note = Unknown, cells.OneLine(err).Error()
	case len(broken) > 0:
		c.Have = no
		c.Note = strings.Join(broken, ", ") + ": an unload would be a BUG in the kernel, and kmodtrace refuses it; reboot (kmodtrace explain refcount-negative)"
	}
	return c
}

// damaged are the taints of a kernel in which something has gone wrong since it booted, and whose
// structures may be damaged: bad-page, died, soft-lockup.
const damaged tracer.Taints = 1<<5 | 1<<7 | 1<<14

// taintCheck tells whether the kernel has noticed that it is damaged. After an oops in a module's init
// the module stays as it is, and from 6.5 on other loads may hang (docs/kernel-facts.md).
func taintCheck(mask uint64, err error) check {
	c := check{Name: "sound kernel", Have: yes, Note: "no taints"}
	taints := tracer.Taints(mask)
	switch names := strings.Join(taints.Names(), ", "); {
	case err != nil:
		c.Have, c.Note = Unknown, cells.OneLine(err).Error()
	case taints&damaged != 0:
		c.Have, c.Note = no, "taints: "+names+": it is damaged since an earlier error (journalctl -k), and a load or unload may hang; reboot"
	case taints != 0:
		c.Note = "taints: " + names
	}
	return c
}

// signatureCheck tells whether unsigned modules are taken. The parameter can be
// set at boot, and lockdown has the same effect.
func signatureCheck() check {
	c := check{Name: "unsigned modules", Have: yes}
	mode, _ := tracer.Lockdown()
	switch value, err := readWord("/sys/module/module/parameters/sig_enforce"); {
	case mode == "integrity" || mode == "confidentiality":
		c.Have, c.Note = no, "lockdown refuses them"
	case errors.Is(err, os.ErrNotExist) && tracer.HaveModules() != nil:
		c.Have, c.Note = no, "this kernel has no modules"
	case errors.Is(err, os.ErrNotExist):
		c.Note = "this kernel checks no signatures"
	case err != nil:
		c.Have, c.Note = Unknown, cells.OneLine(err).Error()
	case value == "Y" || value == "1":
		c.Have, c.Note = no, "module.sig_enforce is set"
	default:
		c.Note = "they taint the kernel"
	}
	return c
}

// loginCheck tells whether root can change a login uid that is set. Whoever has none can
// set it in any case.
func loginCheck(immutable bool, err error) check {
	c := check{Name: "fixed login uid"}
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.Have, c.Note = no, "this kernel has no login uids: nobody is known by a login"
	case err != nil:
		c.Have, c.Note = Unknown, cells.OneLine(err).Error()
	case immutable:
		c.Have, c.Note = yes, "nobody can change one that is set; a process without one can set it once"
	default:
		c.Have, c.Note = no, "root can change one that is set (auditctl --loginuid-immutable), and a process without one can set it once"
	}
	return c
}

func readWord(path string) (string, error) {
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}
