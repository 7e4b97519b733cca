package cause

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// Judgement is what [Check] expects of a load.
type Judgement string

// The judgements.
const (
	Loads     Judgement = "loads"     // as far as can be known: see Verdict.Unknown
	Refused   Judgement = "refused"   // Cause says why
	Undecided Judgement = "undecided" // something that decides is not known here
)

// Verdict is what is to be expected when a kernel is asked to load a file.
type Verdict struct {
	File      string    `json:"file"`
	Module    string    `json:"module"`
	Kernel    string    `json:"kernel"` // its release
	Judgement Judgement `json:"judgement"`
	Cause     *Cause    `json:"cause,omitempty"`
	Warnings  []Cause   `json:"warnings,omitempty"`
	// Open are the questions that could not be answered here and may decide.
	Open []string `json:"open,omitempty"`
	// Later is what no look beforehand tells.
	Later []string `json:"later"`
}

// CheckOptions say how the file is to be loaded. Nil is the same as its zero value.
type CheckOptions struct {
	Params kmod.Params
	// Options are the lines of modprobe's configuration that some of Params are from: a cause names
	// the line.
	Options []kernel.OptionLine
	// Given are modules that will be loaded before, as a name's dependencies are:
	// what they export counts as there.
	Given []*kmod.File
	// Replacing: the loaded module of the file's name will be taken out first.
	Replacing bool
}

// Check says whether a kernel would load a file, and if not, why: by the causes of
// which the kernel would be the reason, in its own order. It asks no kernel to load
// anything and needs no privilege; with more of it, less stays open.
//
// It errs only when ctx is done.
func Check(ctx context.Context, path string, k *kernel.Kernel, opts *CheckOptions) (*Verdict, error) {
	if opts == nil {
		opts = &CheckOptions{}
	}
	k.Refresh()
	c := &checkup{path: path, kernel: k, opts: opts, owners: make(map[string]*kmod.Module), names: map[string]string{"file": path, "module": kmod.NameOfFile(path)}}
	v := &Verdict{File: path, Kernel: k.Release(), Judgement: Loads, Later: later()}
	for _, step := range checks() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if v.Cause = step(c); v.Cause != nil || c.unseen {
			break
		}
	}
	v.Module, v.Warnings, v.Open = c.names["module"], c.warnings, c.open
	switch {
	case v.Cause != nil:
		v.Judgement = Refused
	case len(c.open) > 0:
		v.Judgement = Undecided
	}
	return v, nil
}

// later is what only the load shows.
func later() []string {
	return []string{
		"what the module's own init returns",
		"what its own parameter functions accept",
		"whether there is memory, and what security modules say",
		"whether the caller has CAP_SYS_MODULE",
	}
}

// checkup is one file under examination.
type checkup struct {
	path   string
	kernel *kernel.Kernel
	opts   *CheckOptions

	file      *kmod.File
	content   []byte // of the image, without its signature
	signature *kmod.Signature
	image     []byte
	unseen    bool                    // the file is more than is looked at here
	owners    map[string]*kmod.Module // those of symbols, as they are loaded now
	names     map[string]string
	warnings  []Cause
	open      []string
}

// checks are in the order in which a kernel asks.
func checks() []func(*checkup) *Cause {
	return []func(*checkup) *Cause{
		(*checkup).disabled, (*checkup).readable, (*checkup).signed, (*checkup).wellFormed, (*checkup).machine,
		(*checkup).structSize, (*checkup).blacklisted, (*checkup).layout, (*checkup).vermagic, (*checkup).livepatch, (*checkup).present, (*checkup).room, (*checkup).perCPU,
		(*checkup).symbols, (*checkup).exports, (*checkup).types, (*checkup).parameters,
	}
}

// refuse makes a cause. Sentence and evidence are templates, and only the names in
// them are the cause's.
func (c *checkup) refuse(code Code, say string, evidence ...string) *Cause {
	cause := &Cause{Code: code, Text: sentence(say, c.names), Names: make(map[string]string), Next: nextOf(code), Evidence: []string{}}
	for _, key := range placeholder.FindAllStringSubmatch("{file}{module}"+say+strings.Join(evidence, ""), -1) {
		if value, known := c.names[key[1]]; known {
			cause.Names[key[1]] = value
		}
	}
	for _, line := range evidence {
		if line = sentence(line, c.names); line != "" {
			cause.Evidence = append(cause.Evidence, line)
		}
	}
	return cause
}

// leave notes a question that could not be answered.
func (c *checkup) leave(format string, args ...any) {
	c.open = append(c.open, fmt.Sprintf(format, args...))
}

func (c *checkup) name(key, value string) {
	if value != "" {
		c.names[key] = value
	}
}

func (c *checkup) disabled() *Cause {
	if disabled, err := c.kernel.ModulesDisabled(); err == nil && disabled {
		return c.refuse(ModulesDisabled, sayModulesDisabled, "kernel.modules_disabled is 1")
	}
	return nil
}

// broken is refuse where an error says what is wrong.
func (c *checkup) broken(code Code, say string, err error) *Cause {
	c.name("problem", strings.TrimPrefix(bare(err), kmod.ErrNotModule.Error()+": "))
	return c.refuse(code, say, "{problem}")
}

// readable reads the file, and undoes its compression as those who load it do.
func (c *checkup) readable() *Cause {
	image, err := kmod.ReadImage(c.path)
	switch {
	case errors.Is(err, kmod.ErrTooBig):
		c.unseen = true
		c.leave("everything about the file: %s", bare(err))
		return nil
	case err == nil:
		c.image = image
		c.content, c.signature = kmod.CutSignature(image)
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return c.broken(NotFound, sayNoSuchFile, err)
	case errors.Is(err, kmod.ErrNotELF):
		return c.broken(NotELF, sayNotELF, err)
	case errors.Is(err, kmod.ErrCompression):
		return c.broken(CompressionUnsupported, sayCompressionDamaged, err)
	}
	if info, statErr := os.Stat(c.path); statErr == nil && info.Mode().IsRegular() && info.Size() == 0 {
		return c.refuse(NotELF, sayEmpty, "it has 0 bytes")
	}
	return c.broken(FileUnreadable, sayNotModule, err)
}

// wellFormed reads the module as kmod does.
func (c *checkup) wellFormed() *Cause {
	f, err := kmod.Parse(c.image)
	switch {
	case err == nil && f.Compression != kmod.Plain:
		return c.broken(NotELF, sayNotELF, errors.New("it was compressed twice"))
	case err == nil:
	case errors.Is(err, kmod.ErrNotELF):
		return c.broken(NotELF, sayNotELF, err)
	default:
		return c.broken(ELFDamaged, sayDamaged, err)
	}
	c.file = f
	if f.Name != "" {
		c.names["module"] = f.Name
	}
	if err := f.Complete(); err != nil {
		return c.broken(ELFDamaged, sayDamaged, err)
	}
	return nil
}

func (c *checkup) machine() *Cause {
	want := c.kernel.Machine()
	if want == "" {
		c.leave("for which architecture kernel %s is", c.kernel.Release())
		return nil
	}
	c.name("machine", c.file.Machine)
	c.name("wanted", want)
	if c.file.Machine != want {
		return c.refuse(WrongArchitecture, sayWrongMachine, "its ELF header says {machine}")
	}
	return nil
}

func (c *checkup) blacklisted() *Cause {
	if c.kernel.CmdlineBlacklist(c.names["module"]) {
		return c.refuse(Blacklisted, sayBlacklisted, "/proc/cmdline has it")
	}
	return nil
}

// present: a module of that name is there.
func (c *checkup) present() *Cause {
	if c.opts.Replacing {
		return nil
	}
	if m, err := c.kernel.Loaded(c.names["module"]); err == nil && m != nil {
		return c.refuse(AlreadyLoaded, sayAlreadyLoaded, "/proc/modules has it")
	}
	return nil
}

// modulesSpace is what x86-64 kernels have for modules at most: 1.5 GiB, or 1 GiB
// where they place themselves at random.
const modulesSpace = 3 << 29

func (c *checkup) room() *Cause {
	if c.file.MemorySize > modulesSpace {
		c.name("bytes", fmt.Sprint(c.file.MemorySize))
		return c.refuse(NoModuleSpace, sayNoAddresses, "its sections take {bytes} bytes; a kernel has 1.5 GiB for all modules at most")
	}
	return nil
}

// perCPU compares per-CPU data with the reserve: by itself, and together with what the modules that are
// loaded have of it. That is a warning, because the sizes are those of the installed files.
func (c *checkup) perCPU() *Cause {
	size := c.file.PerCPUSize()
	if size == 0 {
		return nil
	}
	reserve, err := c.kernel.PerCPUReserve()
	if err != nil {
		c.leave("whether %d bytes of per-CPU data have room: %v", size, err)
		return nil
	}
	c.name("percpu", fmt.Sprint(size))
	c.name("reserve", fmt.Sprint(reserve))
	if size > reserve {
		return c.refuse(NoModuleSpace, sayNoPerCPU, "its file has {percpu} bytes of per-CPU data")
	}
	if used, err := c.kernel.PerCPUUsed(); err == nil && used+size > reserve && !c.opts.Replacing {
		c.name("used", fmt.Sprint(used))
		c.warnings = append(c.warnings, *c.refuse(NoModuleSpace, sayNoPerCPU, "its file has {percpu} bytes of per-CPU data", "the files of the modules that are loaded have {used} bytes"))
	}
	return nil
}
