package kernel

import (
	"errors"
	"slices"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// Symbol is one that modules can use.
type Symbol struct {
	Name  string `json:"name"`
	Owner string `json:"owner,omitempty"` // the module that exports it; nothing for the kernel itself
	// GPL: only for modules with a GPL-compatible license; nil where that is not known.
	GPL *bool `json:"gpl"`
	// Namespace is what a user must import (MODULE_IMPORT_NS); nothing for none, or where
	// NamespaceKnown is false. "module:a,b" is one for these modules alone.
	Namespace      string `json:"namespace,omitempty"`
	NamespaceKnown bool   `json:"namespace_known"`
	// CRC is the symbol's version; nil where it is not known, or the kernel has none
	// (Config("CONFIG_MODVERSIONS") tells).
	CRC *kmod.CRC `json:"crc,omitempty"`
	// Source tells in words where it is known from.
	Source string `json:"source"`
}

// Symbol tells about a symbol that the kernel or a module exports. Of the running
// kernel only the modules that are loaded count; of another, all that are installed.
//
// It errs with [ErrNoSymbol] where it is surely not exported, and [ErrUnknown] where
// that cannot be told.
func (k *Kernel) Symbol(name string) (Symbol, error) {
	image, imageErr := k.exports()
	if symbol, ok := image[name]; ok {
		return symbol, nil
	}
	symbol, err := k.moduleSymbol(name)
	if err == nil {
		return symbol, nil
	}
	if errors.Is(err, ErrNoSymbol) && imageErr != nil {
		err = imageErr
	}
	return Symbol{}, k.fail("symbol", name, err)
}

// readExports gives what the kernel itself exports, from the first source that has all.
func (k *Kernel) readExports() (exports, error) {
	var why reasons
	for _, read := range []func() (exports, error){k.liveExports, k.imageExports, k.symversExports, k.listedExports} {
		found, err := read()
		if err == nil {
			return found, nil
		}
		why = append(why, err)
	}
	return nil, unknown("%w", why)
}

func (k *Kernel) liveExports() (exports, error) {
	live, err := k.live()
	if err != nil {
		return nil, err
	}
	return live.image, live.imageErr
}

func (k *Kernel) imageExports() (exports, error) {
	image, err := k.image()
	if err != nil {
		return nil, err
	}
	return image.exports, image.exportsErr
}

// listedExports knows only that they exist: the list has a name for each entry of the
// export tables, where the kernel was built with CONFIG_KALLSYMS_ALL.
func (k *Kernel) listedExports() (exports, error) {
	symbols, err := k.kallsyms()
	if err != nil {
		return nil, err
	}
	source := "the kernel's list of symbols"
	found := make(exports)
	for name, module := range symbols.exported {
		if module == "" {
			found[name] = Symbol{Name: name, Source: source}
		}
	}
	if len(found) == 0 {
		return nil, unknown("%s does not tell what is exported", source)
	}
	return found, nil
}

// moduleSymbol looks for a symbol among modules.
func (k *Kernel) moduleSymbol(name string) (Symbol, error) {
	if !k.running {
		return k.installedSymbol(name)
	}
	loaded, err := k.moduleExports()
	if err == nil {
		if symbol, ok := loaded[name]; ok {
			return symbol, nil
		}
		return Symbol{}, ErrNoSymbol
	}
	symbols, err := k.kallsyms()
	if err != nil || len(symbols.exported) == 0 {
		return k.loadedProvider(name)
	}
	if owner := symbols.exported[name]; owner != "" {
		return k.loadedSymbol(name, owner), nil
	}
	return Symbol{}, k.allListed(symbols)
}

// allListed gives ErrNoSymbol, unless a loaded module has exports that the list lacks: their
// names go when a module is stripped, while its sections stay.
func (k *Kernel) allListed(symbols *kallsyms) error {
	listed := make(map[string]bool)
	for _, owner := range symbols.exported {
		listed[owner] = true
	}
	modules, err := k.list()
	if err != nil {
		return err
	}
	for _, m := range modules {
		sections := "sys/module/" + m.Name + "/sections/"
		if !listed[m.Name] && (k.exists(sections+"__ksymtab") || k.exists(sections+"__ksymtab_gpl")) {
			return unknown("what module %s exports", m.Name)
		}
	}
	return ErrNoSymbol
}

// installedSymbol asks depmod's files which module has it, and that module's file what it is.
func (k *Kernel) installedSymbol(name string) (Symbol, error) {
	providers, err := k.providers()
	if err != nil {
		return Symbol{}, err
	}
	if len(providers[name]) == 0 {
		return Symbol{}, ErrNoSymbol
	}
	owner := providers[name][0]
	if symbol, ok := k.fileSymbol(name, owner); ok {
		return symbol, nil
	}
	return Symbol{Name: name, Owner: owner, Source: "depmod's modules.symbols"}, nil
}

// loadedSymbol describes what a loaded module is known to export. Its file tells more, if
// it is of the same source.
func (k *Kernel) loadedSymbol(name, owner string) Symbol {
	if symbol, ok := k.fileSymbol(name, owner); ok && k.sameSource(owner) {
		return symbol
	}
	return Symbol{Name: name, Owner: owner, Source: "the kernel's list of symbols"}
}

// fileSymbol reads what a module's installed file says about a symbol.
func (k *Kernel) fileSymbol(name, owner string) (Symbol, bool) {
	f, err := k.moduleFile(owner)
	if err != nil {
		return Symbol{}, false
	}
	i := slices.IndexFunc(f.Exports, func(e kmod.Export) bool { return e.Name == name })
	if i < 0 {
		return Symbol{}, false
	}
	e := f.Exports[i]
	return Symbol{
		Name: name, Owner: owner, GPL: &e.GPL, Namespace: e.Namespace, NamespaceKnown: true, CRC: e.CRC,
		Source: f.Path,
	}, true
}

// sameSource tells whether the installed file has the checksum of sources that the
// loaded module has. Many modules have none, which is no difference.
func (k *Kernel) sameSource(module string) bool {
	f, err := k.moduleFile(module)
	return err == nil && k.line("sys/module/"+module+"/srcversion") == f.Value("srcversion")
}

// loadedProvider is for kernels that list no exports: a loaded module that is
// installed and said to have the symbol has it. That none has it is known only when all that
// are loaded are installed.
func (k *Kernel) loadedProvider(name string) (Symbol, error) {
	providers, err := k.providers()
	if err != nil {
		return Symbol{}, err
	}
	modules, err := k.list()
	if err != nil {
		return Symbol{}, err
	}
	files, err := k.installed()
	if err != nil {
		return Symbol{}, err
	}
	for _, m := range modules {
		if slices.Contains(providers[name], m.Name) && k.sameSource(m.Name) {
			if symbol, ok := k.fileSymbol(name, m.Name); ok {
				return symbol, nil
			}
		}
	}
	for _, m := range modules {
		if !slices.ContainsFunc(files, func(f installed) bool { return f.name == m.Name }) {
			return Symbol{}, unknown("what module %s exports", m.Name)
		}
	}
	return Symbol{}, ErrNoSymbol
}
