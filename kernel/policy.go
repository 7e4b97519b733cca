package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// SignatureEnforced tells whether modules without a valid signature are refused whoever
// loads them. Lockdown is another reason for the same; [Kernel.Lockdown] tells that.
// Of a kernel that is not running only the configuration is known: its command line may
// add module.sig_enforce.
func (k *Kernel) SignatureEnforced() (bool, error) {
	if k.running {
		switch word := k.line("sys/module/module/parameters/sig_enforce"); {
		case word != "":
			return word == "Y" || word == "1", nil
		case k.exists("sys/module"):
			return false, nil // built without CONFIG_MODULE_SIG
		}
		return false, k.fail("enforcing of signatures", "", unknown("%s is not there", k.path("sys/module")))
	}
	value, err := k.Config("CONFIG_MODULE_SIG_FORCE")
	return value == "y", err
}

// Lockdown gives the level: none, integrity or confidentiality; nothing where the kernel has
// no lockdown. For a kernel that is not running it is the level that it will boot with, as far as
// its configuration and this machine's firmware decide that.
func (k *Kernel) Lockdown() (string, error) {
	if !k.running {
		return k.lockdownAtBoot()
	}
	line := k.line("sys/kernel/security/lockdown")
	if level, ok := procfs.LockdownMode(line); ok {
		return level, nil
	}
	if line == "" && k.line("sys/kernel/security/lsm") != "" && !k.exists("sys/kernel/security/lockdown") {
		return "", nil
	}
	return "", k.fail("lockdown", "", unknown("%s cannot be read (securityfs not mounted, or no privilege)", k.path("sys/kernel/security/lockdown")))
}

func (k *Kernel) lockdownAtBoot() (string, error) {
	config, err := k.config()
	switch {
	case err != nil:
		return "", k.fail("lockdown", "", err)
	case config["CONFIG_SECURITY_LOCKDOWN_LSM"] != "y":
		return "", nil
	case config["CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY"] == "y":
		return "confidentiality", nil
	case config["CONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY"] == "y":
		return "integrity", nil
	case config["CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT"] != "y" || !k.exists("sys/firmware/efi"):
		return "none", nil
	}
	// An option of distributions: the firmware's word decides. Four bytes of attributes come first.
	const variable = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	value, err := procfs.ReadFile(k.path(variable), procfs.MaxLine)
	if err != nil || len(value) < 5 {
		return "", k.fail("lockdown", "", unknown("it locks itself down with secure boot, and whether that is on cannot be read"))
	}
	if value[4] == 1 {
		return "integrity", nil
	}
	return "none", nil
}

// ModulesDisabled tells whether loading was turned off until the next boot. It errs with
// [kmod.ErrNoModules] for a kernel built without modules.
func (k *Kernel) ModulesDisabled() (bool, error) {
	const name = "proc/sys/kernel/modules_disabled"
	if !k.running {
		if value, err := k.Config("CONFIG_MODULES"); err == nil && value == "n" {
			return false, k.fail("modules_disabled", "", kmod.ErrNoModules)
		}
		return false, nil
	}
	switch word := k.line(name); {
	case word != "":
		return word != "0", nil
	case !k.exists(name) && k.exists("proc/sys/kernel/osrelease"):
		return false, k.fail("modules_disabled", "", kmod.ErrNoModules)
	}
	return false, k.fail("modules_disabled", "", unknown("%s cannot be read", k.path(name)))
}

// Modprobe gives the program that the kernel starts to load a module by itself; an
// empty one turns that off.
func (k *Kernel) Modprobe() (string, error) {
	const name = "proc/sys/kernel/modprobe"
	if k.running {
		text, err := procfs.ReadFile(k.path(name), procfs.MaxLine)
		if err != nil {
			return "", k.fail("modprobe", "", unknown("%w", err))
		}
		return strings.TrimRight(string(text), "\n"), nil
	}
	config, err := k.config()
	if err != nil {
		return "", k.fail("modprobe", "", err)
	}
	if path, ok := config["CONFIG_MODPROBE_PATH"]; ok { // from 5.15 or so
		return path, nil
	}
	return "/sbin/modprobe", nil
}

// OtherModprobe compares the program that the kernel starts with the system's modprobe, and
// gives the path of both; other tells whether they are different programs. It errs with
// [ErrUnknown] where one of them cannot be found, as in a container.
func (k *Kernel) OtherModprobe() (helper, system string, other bool, err error) {
	helper, err = k.Modprobe()
	system = k.modprobePath()
	if err != nil || helper == "" {
		return helper, system, false, err
	}
	set, err := os.Stat(k.path(helper))
	if err != nil {
		return helper, system, false, k.fail("modprobe", "", unknown("%w", err))
	}
	usual, err := os.Stat(system)
	if err != nil {
		return helper, system, false, k.fail("modprobe", "", unknown("%w", err))
	}
	// kmod is one file with several names, and goes by that which it was started by.
	return helper, system, !os.SameFile(set, usual) || filepath.Base(helper) != filepath.Base(system), nil
}

// Decompression tells which compressed files the kernel takes as they are. It errs with
// [errors.ErrUnsupported] where it takes none.
func (k *Kernel) Decompression() (kmod.Compression, error) {
	word := ""
	if k.running {
		if !k.exists("sys/module") {
			return kmod.Plain, k.fail("decompression", "", unknown("%s is not there", k.path("sys/module")))
		}
		word = k.line("sys/module/compression")
	} else {
		config, err := k.config()
		if err != nil {
			return kmod.Plain, k.fail("decompression", "", err)
		}
		if config["CONFIG_MODULE_DECOMPRESS"] == "y" {
			word = compressionWord(config)
		}
	}
	for _, c := range []kmod.Compression{kmod.Gzip, kmod.Xz, kmod.Zstd} {
		if word == c.String() {
			return c, nil
		}
	}
	return kmod.Plain, k.fail("decompression", "", fmt.Errorf("in the kernel: %w", errors.ErrUnsupported))
}

func compressionWord(config map[string]string) string {
	for _, c := range []kmod.Compression{kmod.Gzip, kmod.Xz, kmod.Zstd} {
		if config["CONFIG_MODULE_COMPRESS_"+strings.ToUpper(c.String())] == "y" {
			return c.String()
		}
	}
	return ""
}

// LSMs gives the active security modules as the running kernel lists them, separated by commas;
// nothing where that cannot be read.
func (k *Kernel) LSMs() string {
	if !k.running {
		return ""
	}
	return k.line("sys/kernel/security/lsm")
}

// HasLSMPrograms tells whether BPF programs for the hooks of security modules are loaded, attached or
// not. It errs with [ErrUnknown] where the kernel does not list its programs (no CAP_SYS_ADMIN).
func (k *Kernel) HasLSMPrograms() (bool, error) {
	if !k.running || k.root != "/" {
		return false, k.fail("BPF programs", "", ErrUnknown)
	}
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, k.fail("BPF programs", "", unknown("%w", err))
		}
		id = next
		p, err := ebpf.NewProgramFromID(id)
		if errors.Is(err, fs.ErrNotExist) { // it is gone by now
			continue
		}
		if err != nil {
			return false, k.fail("BPF programs", "", unknown("%w", err))
		}
		kind := p.Type()
		if err := p.Close(); err != nil {
			return false, k.fail("BPF programs", "", unknown("%w", err))
		}
		if kind == ebpf.LSM {
			return true, nil
		}
	}
}
