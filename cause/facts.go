package cause

import (
	"debug/elf"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// compressedFile is the flag of finit_module that asks the kernel to decompress
// (MODULE_INIT_COMPRESSED_FILE, 5.17).
const compressedFile = 4

func factOf(says string, holds func(*scene) answer) *fact { return &fact{says, holds} }

// ---- about the caller ----

func notCapable(s *scene) answer {
	if s.action.Call == nil {
		return unsure
	}
	return answerOf(!s.action.Call.Capable)
}

// modulesDisabled needs the capability to be there: it is asked for first.
func modulesDisabled(s *scene) answer {
	if notCapable(s) == yes {
		return no
	}
	disabled, err := s.ask("whether loading is turned off").ModulesDisabled()
	if err != nil {
		return unsure
	}
	return answerOf(disabled)
}

// ---- about the bytes ----

func emptyFile(s *scene) answer {
	a := s.action
	switch {
	case a.Image != nil:
		return answerOf(a.Image.Size == 0)
	case a.File != nil:
		return answerOf(a.File.Size == 0 && regularFile(s) != no)
	case a.Call != nil && a.Call.Call == tracer.InitModule:
		return answerOf(a.Call.Size == 0)
	}
	return unsure
}

// tooShort: init_module refuses what is shorter than an ELF header before it looks.
func tooShort(s *scene) answer {
	if c := s.action.Call; c != nil && c.Call == tracer.InitModule {
		return answerOf(c.Size < 64)
	}
	return no
}

// The magic numbers of file systems whose files have no path.
const pipeFS, sockFS, anonFS = 0x50495045, 0x534f434b, 0x09041934

// descriptorOfNoFile tells whether the descriptor is of what no path leads to, by the kernel's
// own inode.
func descriptorOfNoFile(s *scene) answer {
	f := s.action.File
	if f == nil {
		return unsure
	}
	kind := map[uint64]string{pipeFS: "a pipe", sockFS: "a socket", anonFS: "an anonymous file (as eventfd and epoll have)"}[f.FSMagic]
	s.name("kind", kind)
	return answerOf(kind != "")
}

// flagsOfFinit are those that some kernel has: to ignore modversions, to ignore the vermagic,
// and to decompress.
const flagsOfFinit = 1 | 2 | compressedFile

func unknownFlags(s *scene) answer {
	c := s.action.Call
	if c == nil {
		return unsure
	}
	extra := c.Flags &^ flagsOfFinit
	s.name("flags", fmt.Sprintf("%#x", c.Flags))
	s.name("unknown", fmt.Sprintf("%#x", extra))
	return answerOf(c.Call == tracer.FinitModule && extra != 0)
}

func imageNotCopied(s *scene) answer {
	c := s.action.Call
	if c == nil {
		return unsure
	}
	s.name("bytes", cells.Plural(c.Size, "byte"))
	return answerOf(c.Call == tracer.InitModule && s.action.Image == nil)
}

// textUnreadable: the kernel side could not read the caller's text, as the kernel could not.
func textUnreadable(s *scene) answer {
	c := s.action.Call
	if c == nil {
		return unsure
	}
	return answerOf(c.TextUnreadable && s.action.Params == nil)
}

// regularFile asks what the kernel had, or else what is there now.
func regularFile(s *scene) answer {
	f := s.action.File
	if f == nil {
		return unsure
	}
	if f.FSMagic == pipeFS || f.FSMagic == sockFS {
		return no
	}
	mode, err := s.fileMode()
	if err != nil {
		return unsure
	}
	return answerOf(mode.IsRegular())
}

func notRegular(s *scene) answer {
	switch regularFile(s) {
	case yes:
		return no
	case no:
		return yes
	}
	return unsure
}

func noELF(s *scene) answer {
	if i := s.action.Image; i != nil {
		return answerOf(i.Format == tracer.FormatUnknown || i.Format == tracer.FormatELF && i.Size < 64)
	}
	return unsure
}

// compressed: the kernel saw the bytes of a compressed file.
func compressed(s *scene) answer {
	i := s.action.Image
	if i == nil {
		return unsure
	}
	s.name("method", string(i.Format))
	return answerOf(i.Format.Compressed())
}

// toldCompressed: the kernel was to decompress, and came to no image.
func toldCompressed(s *scene) answer {
	a := s.action
	if a.Call == nil {
		return unsure
	}
	return answerOf(a.Call.Call == tracer.FinitModule && a.Call.Flags&compressedFile != 0 && a.Image == nil)
}

func foreignMachine(s *scene) answer {
	i := s.action.Image
	if i == nil {
		return unsure
	}
	if i.Format != tracer.FormatELF {
		return no
	}
	want := s.ask("the kernel's architecture").Machine()
	got := kmod.MachineName(elf.Machine(i.Machine))
	s.name("machine", got)
	s.name("wanted", want)
	if want == "" {
		return unsure
	}
	return answerOf(got != want || i.Bits != 0 && i.Bits != wordSize(want))
}

func wordSize(machine string) uint8 {
	if machine == "x86" || machine == "arm" {
		return 32
	}
	return 64
}

// damaged asks our own reader, which checks what the kernel checks.
func damaged(s *scene) answer {
	i := s.action.Image
	if i != nil && i.Format != tracer.FormatELF {
		return no
	}
	if i != nil && i.Type != uint16(elf.ET_REL) {
		s.name("problem", "it is an ELF file of another kind than a module")
		return yes
	}
	file, err := s.inspect()
	if err == nil {
		err = file.Complete()
	}
	switch {
	case errors.Is(err, kmod.ErrNotModule):
		s.name("problem", strings.TrimPrefix(bare(err), kmod.ErrNotModule.Error()+": "))
		return yes
	case err == nil && s.heardAll(): // then something else is the matter
		return no
	default:
		return unsure
	}
}

// bare is what an error of kmod says without its operation and file.
func bare(err error) string {
	var e *kmod.Error
	if errors.As(err, &e) {
		return e.Err.Error()
	}
	return err.Error()
}

func isSigned(s *scene) answer {
	if i := s.action.Image; i != nil {
		return answerOf(i.Signed)
	}
	return unsure
}

// ---- about policy ----

func lockedDown(s *scene) answer {
	mode, err := s.ask("lockdown").Lockdown()
	if err != nil {
		return unsure
	}
	s.name("mode", mode)
	return answerOf((mode == "integrity" || mode == "confidentiality") && blacklisted(s) != yes)
}

func blacklisted(s *scene) answer {
	return answerOf(s.ask("the kernel's command line").CmdlineBlacklist(s.action.Module))
}

func denied(s *scene) answer {
	d := s.action.Denial
	if d == nil {
		return no
	}
	s.name("hook", d.Door.String())
	return yes
}

// ---- about symbols ----

// gplOnly: the symbol is exported, for GPL-compatible modules, and this is none.
func gplOnly(s *scene) answer {
	if !s.find(unknownSymbol) {
		return unsure
	}
	proprietary := proprietaryModule(s)
	symbol, err := s.ask("the symbols of the kernel").Symbol(s.names["symbol"])
	switch {
	case proprietary == no:
		return no
	case errors.Is(err, kernel.ErrNoSymbol):
		return no
	case err != nil || symbol.GPL == nil || proprietary == unsure:
		return unsure
	}
	s.name("owner", symbol.Owner)
	s.name("source", symbol.Source)
	return answerOf(*symbol.GPL)
}

// missing is the same question's other answer.
func missing(s *scene) answer {
	if !s.find(unknownSymbol) {
		return unsure
	}
	if ownerLeaves(s) == yes || inheritedTaint(s) == yes {
		return no
	}
	switch gplOnly(s) {
	case yes:
		return no
	case no:
		return yes
	}
	return unsure
}

// inheritedTaint: a symbol of a proprietary module came first, after which the kernel hides those
// for GPL-compatible modules, and finds one of them no more.
func inheritedTaint(s *scene) answer {
	if !s.find(unknownSymbol) {
		return unsure
	}
	gpl := s.names["symbol"]
	if !s.find(inheritText) {
		if s.heardAll() {
			return no
		}
		return unsure
	}
	symbol, err := s.ask("the symbols of the kernel").Symbol(gpl)
	switch {
	case errors.Is(err, kernel.ErrNoSymbol):
		return no
	case err != nil || symbol.GPL == nil:
		return unsure
	}
	s.name("gpl", gpl)
	if s.names["symbol"] == "" {
		s.name("symbol", s.firstOf(s.names["owner"]))
	}
	return answerOf(*symbol.GPL)
}

// firstOf gives the first symbol of a module that the file wants; empty where that cannot be told.
func (s *scene) firstOf(owner string) string {
	file, _ := s.inspect()
	if file == nil {
		return ""
	}
	k := s.ask("the symbols of the kernel")
	for _, i := range file.Imports {
		if symbol, err := k.Symbol(i.Name); err == nil && symbol.Owner == owner {
			return i.Name
		}
	}
	return ""
}

// ownerLeaves: the symbol is exported, by a module whose exit runs. What is loaded now says
// nothing about the past.
func ownerLeaves(s *scene) answer {
	if !s.find(unknownSymbol) {
		return unsure
	}
	if !s.live || gplOnly(s) == yes {
		return no
	}
	k := s.ask("the symbols of the kernel")
	symbol, err := k.Symbol(s.names["symbol"])
	switch {
	case errors.Is(err, kernel.ErrNoSymbol):
		return no
	case err != nil:
		return unsure
	case symbol.Owner == "":
		return no
	}
	m, err := k.Loaded(symbol.Owner)
	if err != nil {
		return unsure
	}
	if m == nil || m.State != kmod.StateUnloading {
		return no
	}
	s.name("owner", symbol.Owner)
	return yes
}

// outdatedOwner: the module would fit to the installed build of a module that is loaded in another
// one. What is loaded now says nothing about the past.
func outdatedOwner(s *scene) answer {
	if !s.live {
		return no
	}
	if !s.find(versionText) && !s.find(namespaceText) && !s.find(unknownSymbol) {
		if s.heardAll() {
			return no
		}
		return unsure
	}
	file, err := s.inspect()
	if err != nil {
		return no // what the module wants of the symbol is not known
	}
	o := outdated(s.ask("the symbols of the kernel"), file, s.names["symbol"])
	if o == nil {
		return no
	}
	s.name("owner", o.File.Name)
	s.name("loaded", o.Loaded.String())
	s.name("installed", o.File.Path)
	s.name("build", o.Installed.String())
	return yes
}

// outdated gives the loaded module of another build than the installed one whose installed file would give
// a file the symbol; nil where there is none.
func outdated(k *kernel.Kernel, file *kmod.File, name string) *kernel.Outdated {
	at := slices.IndexFunc(file.Imports, func(i kmod.Import) bool { return i.Name == name })
	if at < 0 {
		return nil
	}
	owners, _ := k.Providers(name) // where depmod was run since
	owners = append(owners, file.Depends()...)
	if symbol, err := k.Symbol(name); err == nil {
		owners = append(owners, symbol.Owner)
	}
	for _, owner := range owners {
		if owner == "" {
			continue
		}
		if o := k.Outdated(owner); o != nil && slices.ContainsFunc(o.File.Exports, func(e kmod.Export) bool { return gives(&e, file, &file.Imports[at]) }) {
			return o
		}
	}
	return nil
}

// gives tells whether an export is what a module's import asks for.
func gives(e *kmod.Export, file *kmod.File, i *kmod.Import) bool {
	return e.Name == i.Name && (e.CRC == nil || i.CRC == nil || *e.CRC == *i.CRC) &&
		(!e.GPL || gplCompatible(file.Value("license"))) &&
		(e.Namespace == "" || slices.Contains(file.Values("import_ns"), e.Namespace))
}

// proprietaryModule asks the file for its licence, or the kernel's own complaint
// about it.
func proprietaryModule(s *scene) answer {
	if s.find(badLicence) {
		return yes
	}
	file, err := s.inspect()
	if err != nil {
		return unsure
	}
	licence := file.Value("license")
	s.name("licence", licence)
	if licence == "" {
		s.name("licence", "unspecified")
	}
	return answerOf(!gplCompatible(licence))
}

// gplCompatible is the kernel's own list (include/linux/license.h, unchanged from
// 5.10 to 7.3).
func gplCompatible(licence string) bool {
	return slices.Contains([]string{
		"GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL",
	}, licence)
}

// ---- about other loads ----

// hasRival: another load was seen, or the kernel found one that was not done.
func hasRival(s *scene) answer {
	l := s.action.Lookup
	switch {
	case s.action.Rival != 0, l != nil && l.Found && (l.State == tracer.StateComing || l.State == tracer.StateUnformed):
		return yes
	case l == nil && !s.heardAll():
		return unsure // its events may be among those that were lost
	}
	return no
}

func foundLive(s *scene) answer {
	if hasRival(s) == yes {
		return no
	}
	l := s.action.Lookup
	if l == nil {
		return unsure
	}
	return answerOf(l.Found)
}

func initResult(s *scene) answer {
	if s.action.InitResult == nil && !s.heardAll() {
		return unsure
	}
	if r := s.action.InitResult; r == nil || *r >= 0 || *r < -4095 {
		return no
	}
	returned := unix.Errno(-*s.action.InitResult)
	s.name("returned", tracer.ErrnoName(returned))
	if returned != s.action.Errno {
		s.name("turned", s.action.ErrnoName)
	}
	return yes
}

func noInitResult(s *scene) answer {
	if s.action.InitResult == nil && s.action.Stage == tracer.StageInit && !s.heardAll() {
		return unsure
	}
	return answerOf(s.action.InitResult == nil)
}

// beyondReserve: the file has more per-CPU data than any module can have.
func beyondReserve(s *scene) answer {
	file, err := s.inspect()
	if err != nil {
		return noUnlessLost(s)
	}
	size := file.PerCPUSize()
	reserve, err := s.ask("the reserve for per-CPU data").PerCPUReserve()
	if err != nil || size <= reserve {
		return noUnlessLost(s) // others may have the rest
	}
	s.name("percpu", fmt.Sprint(size))
	s.name("reserve", fmt.Sprint(reserve))
	return yes
}

// beyondAddresses: the file's sections take more addresses than there are for modules.
func beyondAddresses(s *scene) answer {
	file, err := s.inspect()
	if err != nil || file.MemorySize <= modulesSpace {
		return noUnlessLost(s)
	}
	s.name("bytes", fmt.Sprint(file.MemorySize))
	return yes
}

// noUnlessLost: the kernel would have said it, unless its messages were lost.
func noUnlessLost(s *scene) answer {
	if s.heardAll() {
		return no
	}
	return unsure
}

func crashed(s *scene) answer { return answerOf(s.action.Crashed) }

// crashedInside: code of the module itself ran when its thread died, whether the instruction
// that failed is its own or that of a function which it called.
func crashedInside(s *scene) answer {
	if !s.action.Crashed {
		return no
	}
	return s.ran()
}

// crashedOutside: none did. What a module's code breaks and others trip over is not seen.
func crashedOutside(s *scene) answer {
	if !s.action.Crashed {
		return no
	}
	switch s.ran() {
	case yes:
		return no
	case no:
		return yes
	}
	return unsure
}

// ran tells whether code of the module ran when the thread died, and names the place.
func (s *scene) ran() answer {
	at := placeOf(s.action.Messages, s.action.Module)
	s.name("place", at.function)
	switch {
	case at.own:
		return yes
	case at.function != "" && (at.ended || s.heardAll()):
		return no
	}
	return unsure
}

// silentlyRejected: the kernel names a reason for each rejection that it makes
// only because signatures are enforced. A signature that does not fit is the rest.
func silentlyRejected(s *scene) answer {
	if !s.heardAll() || isSigned(s) == unsure {
		return unsure
	}
	said := s.find(unsignedText) || s.find(noKeyText) || s.find(cryptoText)
	return answerOf(!said && isSigned(s) == yes)
}

// dependencyWait is how long a kernel waits for another module's init
// (resolve_symbol_wait, unchanged from 5.10 to 7.3), less what clocks may differ.
const dependencyWait = 29 * time.Second

// waitCutShort: a signal ends the wait with the words of one that was in vain.
func waitCutShort(s *scene) answer {
	short := s.action.Took != 0 && s.action.Took < dependencyWait
	if short && !s.find(waitingText) && !s.heardAll() {
		return unsure
	}
	return answerOf(short && s.find(waitingText))
}
