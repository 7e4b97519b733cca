package kernel

import (
	"errors"
	"fmt"

	"github.com/kmodtrace/kmodtrace/internal/modname"
)

// live is what was read in the running kernel's memory, once. Each part has its own
// error: a kernel may show one and not another.
type live struct {
	image    exports // of the kernel itself
	imageErr error
	keys     []trustedKey
	keysErr  error
	vermagic string
}

const liveSource = "the running kernel's memory"

// readLive errs where the memory cannot be read at all.
func (k *Kernel) readLive() (*live, error) {
	if !k.running {
		return nil, unknown("it is not running")
	}
	m, file, err := k.openMemory()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	symbols, err := k.addresses()
	if err != nil {
		return nil, err
	}
	l := &live{}
	l.image, l.imageErr = readImageExports(m, symbols, k.configured("CONFIG_MODULE_REL_CRCS"))
	l.vermagic = readVermagic(m, symbols, k.release)
	types, err := k.layout()
	if err != nil {
		l.keysErr = err
		return l, nil
	}
	l.keys, l.keysErr = readKeys(m, symbols, types)
	return l, nil
}

// addresses gives the list of symbols, if it shows where things are.
func (k *Kernel) addresses() (*kallsyms, error) {
	symbols, err := k.kallsyms()
	if err != nil {
		return nil, err
	}
	if symbols.addresses["modules"] == 0 && symbols.addresses["__start___ksymtab"] == 0 {
		return nil, unknown("%s shows no addresses (kernel.kptr_restrict, no privilege, or no CONFIG_KALLSYMS_ALL)", k.path("proc/kallsyms"))
	}
	return symbols, nil
}

// readModuleExports reads what the modules export that the kernel holds now.
func (k *Kernel) readModuleExports() (exports, error) {
	if !k.running {
		return nil, unknown("it is not running")
	}
	m, file, err := k.openMemory()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	symbols, err := k.addresses()
	if err != nil {
		return nil, err
	}
	types, err := k.layout()
	if err != nil {
		return nil, err
	}
	return readModuleExports(m, symbols, types, k.configured("CONFIG_MODULE_REL_CRCS"))
}

// readVermagic gives nothing for what does not begin with the kernel's own release.
func readVermagic(m *memory, symbols *kallsyms, release string) string {
	address := symbols.addresses["vermagic"]
	if address == 0 {
		return ""
	}
	text, err := m.text(address, maxSymbolName)
	if err != nil || !isVermagic(text, release) {
		return ""
	}
	return text
}

// readImageExports reads what the kernel itself exports: two tables until 7.0 or so,
// one with flags after it.
func readImageExports(m *memory, symbols *kallsyms, relative bool) (exports, error) {
	found := make(exports)
	main, ok := symbols.span("__start___ksymtab", "__stop___ksymtab")
	if !ok || main.size == 0 {
		return nil, unknown("the kernel lists no addresses of its export tables")
	}
	t := exportTable{entries: main, crcsRelative: relative}
	t.crcs, _ = symbols.span("__start___kcrctab", "__stop___kcrctab")
	t.flags, _ = symbols.span("__start___kflagstab", "__stop___kflagstab")
	gpl, two := symbols.span("__start___ksymtab_gpl", "__stop___ksymtab_gpl")
	if two == (t.flags.size != 0) {
		return nil, unknown("the kernel's export tables are of a kind that is not understood")
	}
	if err := t.read(m, "", liveSource, found); err != nil {
		return nil, unknown("the kernel's export table: %w", err)
	}
	if !two {
		return found, nil
	}
	t = exportTable{entries: gpl, gpl: true, crcsRelative: relative}
	t.crcs, _ = symbols.span("__start___kcrctab_gpl", "__stop___kcrctab_gpl")
	if err := t.read(m, "", liveSource, found); err != nil {
		return nil, unknown("the kernel's export table of GPL symbols: %w", err)
	}
	return found, nil
}

// maxModules bounds the walk over a list that changes while it is walked.
const maxModules = 10000

// readModuleExports walks the kernel's list of modules.
func readModuleExports(m *memory, symbols *kallsyms, types *layout, relative bool) (exports, error) {
	head := symbols.addresses["modules"]
	if head == 0 {
		return nil, unknown("the kernel lists no address of its list of modules")
	}
	r := moduleReader{memory: m, types: types, relative: relative}
	var err error
	if r.at, err = types.offsets("module", "list", "name", "syms", "num_syms"); err != nil {
		return nil, unknown("%w", err)
	}
	found := make(exports)
	next, err := m.pointer(head)
	for range maxModules {
		if err != nil {
			return nil, unknown("the kernel's list of modules: %w", err)
		}
		if next == head {
			return found, nil
		}
		if err := r.read(next-r.at["list"], found); err != nil {
			return nil, unknown("exports of a module: %w", err)
		}
		next, err = m.pointer(next)
	}
	return nil, unknown("the kernel's list of modules does not end")
}

// moduleReader reads struct module.
type moduleReader struct {
	*memory
	types    *layout
	at       map[string]uint64
	relative bool
}

// read adds one module's exports.
func (r *moduleReader) read(module uint64, into exports) error {
	name, err := r.text(module+r.at["name"], 64)
	if err != nil {
		return err
	}
	if !isIdentifier(modname.Normal(name)) {
		return fmt.Errorf("%w: a module named %q", errMemory, shorten(name))
	}
	main, err := r.table(module, "syms", "num_syms", "crcs", "flagstab")
	if err != nil {
		return err
	}
	if err := main.read(r.memory, name, liveSource, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, ok := r.types.offset("module", "gpl_syms"); !ok {
		return nil
	}
	gpl, err := r.table(module, "gpl_syms", "num_gpl_syms", "gpl_crcs", "")
	if err != nil {
		return err
	}
	gpl.gpl = true
	if err := gpl.read(r.memory, name, liveSource, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// table finds one table of a module; its versions and flags may be missing.
func (r *moduleReader) table(module uint64, entries, number, crcs, flags string) (*exportTable, error) {
	counter, ok := r.types.offset("module", number)
	if !ok {
		return nil, errors.New("the kernel's types have no " + number + " of struct module")
	}
	count, err := r.number(module+counter, 4)
	if err != nil {
		return nil, err
	}
	if count > maxTable/entrySize {
		return nil, fmt.Errorf("%w: a module with %d exports", errMemory, count)
	}
	t := &exportTable{crcsRelative: r.relative}
	for _, part := range []struct {
		member string
		size   int
		span   *span
	}{{entries, entrySize, &t.entries}, {crcs, 4, &t.crcs}, {flags, 1, &t.flags}} {
		offset, ok := r.types.offset("module", part.member)
		if !ok {
			continue
		}
		address, err := r.pointer(module + offset)
		if err != nil {
			return nil, err
		}
		if address != 0 {
			*part.span = span{address, part.size * int(count)}
		}
	}
	return t, nil
}
