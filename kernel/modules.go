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
		file, _, ok := strings.Cut(string(line), ":")
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

// Dependencies gives the modules that depmod found a module to need, those that need nothing last.
func (k *Kernel) Dependencies(name string) ([]string, error) {
	dir, _ := k.ModulesDir()
	name = modname.Normal(name)
	for line, err := range fileLines(filepath.Join(dir, "modules.dep")) {
		if err != nil {
			return nil, k.fail("dependencies of", name, unknown("%w", err))
		}
		file, rest, ok := strings.Cut(string(line), ":")
		if !ok || kmod.NameOfFile(file) != name {
			continue
		}
		names := strings.Fields(rest)
		for i := range names {
			names[i] = kmod.NameOfFile(names[i])
		}
		return names, nil
	}
	return nil, nil
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

// FileOf gives the file that depmod lists for a name; "" where it lists none. It may not be there.
func (k *Kernel) FileOf(name string) string {
	modules, err := k.installed()
	if err != nil {
		return ""
	}
	name = modname.Normal(name)
	if i := slices.IndexFunc(modules, func(m installed) bool { return m.name == name }); i >= 0 {
		return modules[i].path
	}
	return ""
}

// Outdated is a module that is loaded, and of another build than the file that is installed for it.
type Outdated struct {
	Loaded, Installed kmod.Identity
	File              *kmod.File // the installed one
}

// Outdated compares a loaded module with the file that is installed for it, by their build IDs, or else
// their srcversions. It gives nil where they are the same, and where one of them cannot be read.
func (k *Kernel) Outdated(name string) *Outdated {
	m, err := k.Loaded(name)
	if err != nil || m == nil {
		return nil
	}
	f, err := k.moduleFile(m.Name)
	if err != nil || modname.Normal(f.Name) != m.Name {
		return nil
	}
	o := &Outdated{Loaded: kmod.Identity{BuildID: m.BuildID, SrcVersion: m.SrcVersion}, Installed: f.Identity(), File: f}
	if !o.Loaded.Differs(o.Installed) {
		return nil
	}
	return o
}

// NameInFile gives the name of the module in the file that is installed under a name: the kernel goes
// by it, modprobe by the file's. It is empty where no such file can be read.
func (k *Kernel) NameInFile(name string) string {
	f, err := k.moduleFile(modname.Normal(name))
	if err != nil {
		return ""
	}
	return modname.Normal(f.Name)
}

// maxWalk bounds the search for files that depmod does not know: a distribution has some thousands.
const maxWalk = 100_000

// Depmod compares depmod's list (modules.dep) with the files of a module: it gives one that is listed
// and not there, or else those that are there, where the list has none of the name.
func (k *Kernel) Depmod(name string) (gone string, unlisted []string, err error) {
	name = modname.Normal(name)
	modules, err := k.installed()
	if err != nil {
		return "", nil, err
	}
	for _, m := range modules {
		if m.name != name {
			continue
		}
		if _, err := os.Stat(m.path); errors.Is(err, fs.ErrNotExist) {
			return m.path, nil, nil
		}
		return "", nil, nil
	}
	unlisted, err = k.filesNamed(name)
	return "", unlisted, err
}

// filesNamed looks for all files of a module's name, also those that depmod's list does not have.
func (k *Kernel) filesNamed(name string) (paths []string, err error) {
	_, err = k.walk(func(path, found string) {
		if found == name {
			paths = append(paths, path)
		}
	})
	return paths, err
}

// walk visits the files of modules in the kernel's directory, each with the name that depmod gives it.
// It is not whole where there are more than it visits.
func (k *Kernel) walk(visit func(path, name string)) (whole bool, err error) {
	dir, _ := k.ModulesDir()
	left := maxWalk
	// A walk does not begin at a link, unless a slash follows its name. depmod follows it.
	err = filepath.WalkDir(dir+string(filepath.Separator), func(path string, entry fs.DirEntry, err error) error {
		if left--; left < 0 {
			return filepath.SkipAll
		}
		if err != nil || entry.IsDir() {
			return nil // what cannot be read, depmod does not read either
		}
		if name, ok := modname.OfFile(path); ok {
			visit(path, name)
		}
		return nil
	})
	return left >= 0, err
}

// HiddenBy gives the other files of its name where a file is the one that modprobe takes.
func (k *Kernel) HiddenBy(f *kmod.File) []string {
	taken, hidden, err := k.Hidden(kmod.NameOfFile(f.Path))
	if err != nil || len(hidden) == 0 {
		return nil
	}
	this, err := os.Stat(f.Path)
	if listed, err2 := os.Stat(taken); err != nil || err2 != nil || !os.SameFile(this, listed) {
		return nil
	}
	return hidden
}

// Hidden gives the file that modprobe takes for a name, and the other files of that name, which it
// does not: of several depmod lists one, by the order in depmod.d. A link to a file counts as that file.
// Both are empty where no file of the name is listed.
func (k *Kernel) Hidden(name string) (taken string, hidden []string, err error) {
	name = modname.Normal(name)
	modules, err := k.installed()
	if err != nil {
		return "", nil, err
	}
	at := slices.IndexFunc(modules, func(m installed) bool { return m.name == name })
	if at < 0 {
		return "", nil, nil
	}
	taken = modules[at].path
	listed, err := os.Stat(taken)
	if err != nil {
		return "", nil, err
	}
	paths, err := k.filesNamed(name)
	for _, path := range paths {
		if other, err := os.Stat(path); err == nil && !os.SameFile(listed, other) {
			hidden = append(hidden, path)
		}
	}
	return taken, hidden, err
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
		fields := strings.Fields(string(line))
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
		if kmod.NameOfFile(string(line)) == name {
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
