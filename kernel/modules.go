package kernel

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// installed is a module that depmod found.
type installed struct {
	name string
	path string
}

// readInstalled reads modules.dep, whose lines begin with a module's file.
func (k *Kernel) readInstalled() ([]installed, error) {
	dir, _ := k.ModulesDir()
	var modules []installed
	for line, err := range fileLines(filepath.Join(dir, "modules.dep")) {
		if err != nil {
			return nil, unknown("which modules are installed: %w", err)
		}
		file, _, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		path := file
		if !filepath.IsAbs(file) {
			path = filepath.Join(dir, file)
		}
		modules = append(modules, installed{kmod.NameOfFile(file), path})
	}
	return modules, nil
}

// moduleFile reads the file that is installed for a module.
func (k *Kernel) moduleFile(name string) (*kmod.File, error) {
	modules, err := k.installed()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(modules, func(m installed) bool { return m.name == name })
	if i < 0 {
		return nil, unknown("no file of module %s is installed", name)
	}
	f, err := kmod.Inspect(modules[i].path)
	if err != nil {
		return nil, unknown("%w", err)
	}
	return f, nil
}

// anyModule reads a module of the kernel's own, as against one that was added: a few
// are tried.
func (k *Kernel) anyModule() (*kmod.File, error) {
	modules, err := k.installed()
	if err != nil {
		return nil, err
	}
	const most = 8
	tried := 0
	for _, m := range modules {
		if !strings.Contains(m.path, "/kernel/") {
			continue
		}
		if f, err := kmod.Inspect(m.path); err == nil && isVermagic(f.Value("vermagic"), k.release) {
			return f, nil
		}
		if tried++; tried == most {
			break
		}
	}
	dir, _ := k.ModulesDir()
	return nil, unknown("no module of its own is in %s", dir)
}

// readProviders reads depmod's modules.symbols.
func (k *Kernel) readProviders() (map[string][]string, error) {
	dir, _ := k.ModulesDir()
	providers := make(map[string][]string)
	for line, err := range fileLines(filepath.Join(dir, "modules.symbols")) {
		if err != nil {
			return nil, unknown("which modules export what: %w", err)
		}
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "alias" {
			continue
		}
		if symbol, ok := strings.CutPrefix(fields[1], "symbol:"); ok {
			providers[symbol] = append(providers[symbol], modname.Normal(fields[2]))
		}
	}
	return providers, nil
}

// Providers gives the names of the installed modules that export a symbol, loaded or
// not. It errs with [ErrUnknown] where depmod's files are missing.
func (k *Kernel) Providers(symbol string) ([]string, error) {
	providers, err := k.providers()
	if err != nil {
		return nil, k.fail("providers of symbol", symbol, err)
	}
	return slices.Clone(providers[symbol]), nil
}

// Builtin tells whether a module is part of the kernel image, as far as the build's
// list (modules.builtin) or the running kernel's /sys/module shows it.
func (k *Kernel) Builtin(name string) bool {
	name = modname.Normal(name)
	dir, _ := k.ModulesDir()
	for line, err := range fileLines(filepath.Join(dir, "modules.builtin")) {
		if err != nil {
			break
		}
		if kmod.NameOfFile(line) == name {
			return true
		}
	}
	if !k.running || strings.ContainsAny(name, "/\x00") || name == "" || strings.HasPrefix(name, ".") {
		return false
	}
	_, err := os.Stat(k.path("sys/module/" + name))
	_, loadable := os.Stat(k.path("sys/module/" + name + "/initstate"))
	return err == nil && errors.Is(loadable, fs.ErrNotExist)
}
