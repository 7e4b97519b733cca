package kernel

import (
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/kmod"
	"golang.org/x/time/rate"
)

// Options say which kernel. Nil is the same as its zero value.
type Options struct {
	Root     string // directory that holds boot, etc, lib, proc and sys; "" is /
	Release  string // as uname -r has it; "" is the running kernel
	Modprobe string // the modprobe to resolve aliases with; "" looks for it in PATH and /sbin
}

// Kernel is one kernel. It is safe for use by several goroutines.
type Kernel struct {
	root     string
	release  string
	modprobe string
	running  bool

	bootLine func() string
	kallsyms func() (*kallsyms, error)
	layout   func() (*layout, error)
	live     func() (*live, error)
	image    func() (*bootImage, error)
	config   func() (map[string]string, error)
	exports  func() (exports, error)

	modules atomic.Pointer[modules]
	answers *answers
	seed    maphash.Seed

	auditWaits *rate.Limiter // for records that the kernel has not written yet
}

// modules is what changes as modules are installed, loaded and unloaded.
type modules struct {
	exports   func() (exports, error) // of those that are loaded
	providers func() (map[string][]string, error)
	installed func() ([]installed, error)
}

// Open finds a kernel. It errs with [ErrNotInstalled] for a release that is neither
// running nor installed, and then names those that are.
func Open(opts *Options) (*Kernel, error) {
	if opts == nil {
		opts = &Options{}
	}
	k := &Kernel{root: opts.Root, release: opts.Release, modprobe: opts.Modprobe, answers: newAnswers(), seed: maphash.MakeSeed(), auditWaits: rate.NewLimiter(1, 3)}
	if k.root == "" {
		k.root = "/"
	}
	current := k.line("proc/sys/kernel/osrelease")
	switch {
	case k.release == "" && current == "":
		return nil, &Error{Op: "release", Release: "that runs", Err: unknown("%s is not there", k.path("proc/sys/kernel/osrelease"))}
	case k.release == "":
		k.release = current
	}
	k.running = k.release == current
	if err := k.check(); err != nil {
		return nil, k.fail("release", "", err)
	}
	k.bootLine = sync.OnceValue(k.readCmdline)
	k.kallsyms = sync.OnceValues(k.readKallsyms)
	k.layout = sync.OnceValues(k.readLayout)
	k.live = sync.OnceValues(k.readLive)
	k.image = sync.OnceValues(k.readBootImage)
	k.config = sync.OnceValues(k.readConfig)
	k.exports = sync.OnceValues(k.readExports)
	k.Refresh()
	return k, nil
}

// Refresh makes the next questions ask anew which modules are installed and loaded, and
// what these export. What a kernel is itself does not change.
func (k *Kernel) Refresh() {
	k.modules.Store(&modules{
		exports:   sync.OnceValues(k.readModuleExports),
		providers: sync.OnceValues(k.readProviders),
		installed: sync.OnceValues(k.readInstalled),
	})
}

func (k *Kernel) moduleExports() (exports, error)         { return k.modules.Load().exports() }
func (k *Kernel) providers() (map[string][]string, error) { return k.modules.Load().providers() }
func (k *Kernel) installed() ([]installed, error)         { return k.modules.Load().installed() }

// check errs for a release that does not exist, or cannot.
func (k *Kernel) check() error {
	if strings.ContainsAny(k.release, "/\x00") || k.release == "." || k.release == ".." {
		return fmt.Errorf("%w: %s cannot be a release", ErrNotInstalled, shorten(k.release))
	}
	if k.running {
		return nil
	}
	for _, path := range []string{"lib/modules/" + k.release, "boot/config-" + k.release, "boot/vmlinuz-" + k.release} {
		if _, err := os.Stat(k.path(path)); err == nil {
			return nil
		}
	}
	releases := Releases(k.root)
	if len(releases) == 0 {
		return fmt.Errorf("%w: there are none at all", ErrNotInstalled)
	}
	return fmt.Errorf("%w: there are %s", ErrNotInstalled, strings.Join(releases, ", "))
}

// Releases gives the releases of the kernels below root ("" is /): those that have a
// directory of modules, a configuration or an image in /boot, and the running one.
func Releases(root string) []string {
	if root == "" {
		root = "/"
	}
	releases := []string{}
	for _, prefix := range []string{"lib/modules/", "boot/config-", "boot/vmlinuz-"} {
		entries, err := os.ReadDir(filepath.Join(root, filepath.Dir(prefix+"x")))
		if err != nil {
			continue
		}
		for _, entry := range entries {
			release, ok := strings.CutPrefix(entry.Name(), strings.TrimPrefix(prefix, filepath.Dir(prefix+"x")+"/"))
			if ok && release != "" {
				releases = append(releases, release)
			}
		}
	}
	if running := procfs.FirstLine(filepath.Join(root, "proc/sys/kernel/osrelease")); running != "" {
		releases = append(releases, running)
	}
	slices.Sort(releases)
	return slices.Compact(releases)
}

// Release gives the kernel's release, as uname -r has it.
func (k *Kernel) Release() string { return k.release }

// Running tells whether it is the kernel that runs.
func (k *Kernel) Running() bool { return k.running }

// ModulesDir gives the directory where its modules are, and whether that is there: after an upgrade
// without a reboot it may be gone for the running kernel.
func (k *Kernel) ModulesDir() (path string, exists bool) {
	path = k.path("lib/modules/" + k.release)
	info, err := os.Stat(path)
	return path, err == nil && info.IsDir()
}

// Machine gives its architecture in the words of kmod.File.Machine, or nothing.
func (k *Kernel) Machine() string {
	if k.running {
		if machine := machineName(k.line("proc/sys/kernel/arch")); machine != "" { // from 6.1 on
			return machine
		}
	}
	if f, err := k.anyModule(); err == nil {
		return f.Machine
	}
	if k.running && k.root == "/" {
		return machineName(procfs.Uname().Machine)
	}
	if image, err := k.image(); err == nil {
		return image.machine
	}
	return ""
}

// Vermagic gives the text that a module must have in its vermagic field. It is read from
// the running kernel's memory, a module installed for it, or its boot image.
func (k *Kernel) Vermagic() (string, error) {
	var why reasons
	if k.running {
		live, err := k.live()
		if err == nil && live.vermagic != "" {
			return live.vermagic, nil
		}
		why = append(why, orElse(err, errors.New("the kernel's memory does not show it")))
	}
	f, err := k.anyModule()
	if err == nil {
		return f.Value("vermagic"), nil
	}
	why = append(why, err)
	image, err := k.image()
	if err == nil && image.vermagic != "" {
		return image.vermagic, nil
	}
	return "", k.fail("vermagic", "", unknown("%w", append(why, orElse(err, errors.New("the boot image does not show it")))))
}

// StructSize gives the size of the kernel's struct module, which modules that were built for it
// have too (kmod.File.StructSize). It is read from the kernel's types (BTF), or else
// from an installed module of the kernel's own.
func (k *Kernel) StructSize() (uint64, error) {
	var why reasons
	if k.running {
		types, err := k.layout()
		if err == nil {
			if structs := types.structs("module"); len(structs) == 1 {
				return uint64(structs[0].Size), nil
			}
			err = errors.New("the kernel's types do not have one struct module")
		}
		why = append(why, err)
	}
	f, err := k.anyModule()
	if err == nil {
		if f.StructSize != 0 {
			return f.StructSize, nil
		}
		err = fmt.Errorf("%s has no struct module", f.Path)
	}
	return 0, k.fail("size of struct module", "", unknown("%w", append(why, err)))
}

// AtLeast tells whether the kernel's version is that one or later. It is false for a release that
// does not begin with a version.
func (k *Kernel) AtLeast(major, minor int) bool {
	var have [2]int
	if n, _ := fmt.Sscanf(k.release, "%d.%d", &have[0], &have[1]); n != 2 {
		return false
	}
	return slices.Compare(have[:], []int{major, minor}) >= 0
}

// Loaded gives a module that the running kernel has in memory; nil where it has not,
// or the kernel does not run.
func (k *Kernel) Loaded(name string) (*kmod.Module, error) {
	if !k.running {
		return nil, nil
	}
	name, err := kmod.NormalName(name)
	if err != nil {
		return nil, k.fail("loaded module", name, err)
	}
	modules, err := k.list()
	if err != nil {
		return nil, k.fail("loaded module", name, err)
	}
	i := slices.IndexFunc(modules, func(m kmod.Module) bool { return m.Name == name })
	if i < 0 {
		return nil, nil
	}
	return &modules[i], nil
}

// list gives what is loaded now, not as of the first question.
func (k *Kernel) list() ([]kmod.Module, error) {
	modules, err := kmod.List(&kmod.ListOptions{Root: k.root})
	if errors.Is(err, kmod.ErrNoModules) || errors.Is(err, os.ErrPermission) {
		return nil, unknown("%w", err)
	}
	return modules, err
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// ForRelease gives the release where it is not that of the running kernel, and
// nothing otherwise: what those who ask the system's modprobe have to add.
func (k *Kernel) ForRelease() string {
	if k.running {
		return ""
	}
	return k.release
}
