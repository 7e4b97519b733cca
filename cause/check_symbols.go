package cause

import (
	"errors"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// symbols looks each import up, in the file's order, as the kernel does.
func (c *checkup) symbols() *Cause {
	unknown := 0
	var why error
	var both proprietary
	for _, i := range c.file.Imports {
		if i.Weak {
			continue
		}
		symbol, err := c.lookup(i.Name)
		if errors.Is(err, kernel.ErrUnknown) {
			unknown, why = unknown+1, err
			continue
		}
		c.names["symbol"] = i.Name
		if cause := c.judge(i, symbol, err); cause != nil {
			if o := outdated(c.kernel, c.file, i.Name); o != nil && cause.Code != DependencyLeaving {
				return c.outdated(o)
			}
			return cause
		}
		if err == nil {
			if cause := c.together(&both, symbol); cause != nil {
				return cause
			}
		}
	}
	if unknown > 0 {
		c.leave("whether this kernel exports %s that it needs: %v", cells.Plural(unknown, "symbol"), why)
	}
	return nil
}

// outdated refuses what would fit to the installed build of a module that is loaded in another one.
func (c *checkup) outdated(o *kernel.Outdated) *Cause {
	c.name("owner", o.File.Name)
	c.name("loaded", o.Loaded.String())
	c.name("installed", o.File.Path)
	c.name("build", o.Installed.String())
	cause := c.refuse(DependencyOutdated, sayOutdated, "{owner} is loaded with {loaded}", "{installed} has {build}, and its {symbol} fits")
	cause.Next = sentence(nextOutdated, c.names)
	return cause
}

// proprietary is what a kernel keeps in mind about the symbols that a module uses.
type proprietary struct {
	gpl           string // one for GPL-compatible modules only
	symbol, owner string // one of a proprietary module
}

// together refuses what uses symbols for GPL-compatible modules only, and those of a proprietary
// module.
func (c *checkup) together(p *proprietary, symbol kernel.Symbol) *Cause {
	if !c.kernel.AtLeast(5, 9) || !gplCompatible(c.file.Value("license")) {
		return nil
	}
	if symbol.GPL != nil && *symbol.GPL {
		p.gpl = symbol.Name
	}
	if symbol.Owner != "" && c.proprietaryOwner(symbol.Owner) {
		p.symbol, p.owner = symbol.Name, symbol.Owner
	}
	if p.gpl == "" || p.symbol == "" {
		return nil
	}
	c.name("gpl", p.gpl)
	c.name("symbol", p.symbol)
	c.name("owner", p.owner)
	return c.refuse(SymbolProprietary, sayBoth, "{gpl} is for GPL-compatible modules only", "{owner} is proprietary")
}

// proprietaryOwner tells whether a module that is loaded, or will be before, is proprietary.
func (c *checkup) proprietaryOwner(owner string) bool {
	if m := c.loaded(owner); m != nil {
		return slices.ContainsFunc(m.Taints, func(t kmod.Taint) bool { return t.Letter == "P" })
	}
	return slices.ContainsFunc(c.opts.Given, func(f *kmod.File) bool { return f.Name == owner && !gplCompatible(f.Value("license")) })
}

// loaded gives a module that is loaded, or nil. Several imports have one owner: it is asked once.
func (c *checkup) loaded(owner string) *kmod.Module {
	m, known := c.owners[owner]
	if !known && owner != "" {
		m, _ = c.kernel.Loaded(owner) // what cannot be asked is not said
		c.owners[owner] = m
	}
	return m
}

// lookup asks the kernel, and then the modules that are loaded before.
func (c *checkup) lookup(name string) (kernel.Symbol, error) {
	symbol, err := c.kernel.Symbol(name)
	if err == nil {
		return symbol, nil
	}
	for _, f := range c.opts.Given {
		for _, e := range f.Exports {
			if e.Name == name {
				return kernel.Symbol{Name: name, Owner: f.Name, GPL: &e.GPL, Namespace: e.Namespace, NamespaceKnown: true, CRC: e.CRC, Source: f.Path}, nil
			}
		}
	}
	return symbol, err
}

// judge says why an import cannot be had, nil when it can.
func (c *checkup) judge(i kmod.Import, symbol kernel.Symbol, err error) *Cause {
	if err != nil {
		return c.missing(i)
	}
	c.names["owner"] = symbol.Owner
	if symbol.Owner == "" {
		c.names["owner"] = "the kernel"
	}
	c.names["source"] = symbol.Source
	licence := c.file.Value("license")
	if symbol.GPL == nil && !gplCompatible(licence) {
		c.leave("whether %s is for GPL-compatible modules only", i.Name)
	}
	if symbol.GPL != nil && *symbol.GPL && !gplCompatible(licence) {
		c.name("licence", orUnknown(licence))
		return c.refuse(SymbolGPLOnly, sayGPLOnly, "known from {source}")
	}
	if m := c.loaded(symbol.Owner); m != nil && m.State == kmod.StateUnloading {
		c.name("unloader", unloader(symbol.Owner))
		return c.refuse(DependencyLeaving, sayLeaving, "/proc/modules has {owner} as unloading")
	}
	if c.modversions() && i.CRC != nil && symbol.CRC != nil && *i.CRC != *symbol.CRC {
		c.name("theirs", i.CRC.String())
		c.name("ours", symbol.CRC.String())
		return c.refuse(SymbolVersion, saySymbolVersion, "known from {source}")
	}
	return c.namespace(symbol)
}

func (c *checkup) missing(i kmod.Import) *Cause {
	if providers, err := c.kernel.Providers(i.Name); err == nil {
		c.name("providers", strings.Join(providers, ", "))
	}
	return c.refuse(SymbolMissing, saySymbolMissing,
		"nothing in the kernel exports the symbol", "[installed, and exporting it: {providers}]")
}

// namespace wants symbols of one to be imported. From 6.16 a namespace may list the
// modules that alone may use a symbol.
func (c *checkup) namespace(symbol kernel.Symbol) *Cause {
	if symbol.Namespace == "" || slices.Contains(c.file.Values("import_ns"), symbol.Namespace) {
		return nil
	}
	if list, restricted := strings.CutPrefix(symbol.Namespace, "module:"); restricted {
		for pattern := range strings.SplitSeq(modname.Normal(list), ",") {
			start, begins := strings.CutSuffix(pattern, "*") // no other wildcard is one
			if c.names["module"] == pattern || begins && strings.HasPrefix(c.names["module"], start) {
				return nil
			}
		}
	}
	if value, err := c.kernel.Config("CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS"); err == nil && value == "y" {
		return nil
	}
	c.name("namespace", symbol.Namespace)
	return c.refuse(SymbolNamespace, sayNamespace, "known from {source}")
}

// exports must be new.
func (c *checkup) exports() *Cause {
	for _, e := range c.file.Exports {
		symbol, err := c.lookup(e.Name)
		if err != nil || c.opts.Replacing && symbol.Owner == c.names["module"] {
			continue
		}
		c.names["symbol"], c.names["owner"], c.names["source"] = e.Name, symbol.Owner, symbol.Source
		if symbol.Owner == "" {
			c.names["owner"] = "the kernel"
		}
		return c.refuse(SymbolDuplicate, saySymbolTwice, "known from {source}")
	}
	return nil
}
