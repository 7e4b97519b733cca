package presence

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// Source is one way of asking which modules there are.
type Source string

// The sources.
const (
	// List is the kernel's list of modules, /proc/modules: what lsmod prints.
	List Source = "/proc/modules"
	// Sysfs is /sys/module, without what is built into the kernel.
	Sysfs Source = "/sys/module"
	// Symbols is /proc/kallsyms. The kernel goes through the list of modules for it.
	Symbols Source = "/proc/kallsyms"
	// Functions is the list of the functions that can be traced, available_filter_functions of tracefs. A module
	// without any is not there.
	Functions Source = "available_filter_functions"
	// Types is /sys/kernel/btf, since 5.11: the types of modules that are built with them.
	Types Source = "/sys/kernel/btf"
	// Memory is /proc/vmallocinfo: how much memory was allocated for modules, without their names. It is asked up to
	// 6.12 and on amd64: later kernels allocate it in large blocks.
	Memory Source = "/proc/vmallocinfo"
	// History is what was seen to be loaded and never unloaded. [Look.Add] has it.
	History Source = "history"
)

// Sources gives those that [Ask] can ask, the cheapest first.
func Sources() []Source { return []Source{List, Sysfs, Types, Memory, Functions, Symbols} }

// Look is what sources showed at one moment.
type Look struct {
	shown   map[Source]map[string]bool
	live    map[string]bool // in the list, and neither on its way in nor out
	listed  uint64          // bytes, by the list
	used    uint64          // bytes, by Memory
	failure map[Source]error
}

// Ask asks sources, below the directory that holds proc and sys; empty is /. Without any it asks all.
//
// A source that cannot be asked has its error in the look ([Look.Failure]). Ask itself errs only where the list of modules
// cannot be read.
func Ask(root string, sources ...Source) (*Look, error) {
	if root == "" {
		root = "/"
	}
	if len(sources) == 0 {
		sources = Sources()
	}
	l := &Look{shown: make(map[Source]map[string]bool), live: make(map[string]bool), failure: make(map[Source]error)}
	if err := l.askList(root); err != nil {
		return nil, err
	}
	for _, s := range sources {
		ask, ok := asked[s]
		if !ok {
			continue
		}
		names, err := ask(l, root)
		if err != nil {
			l.failure[s] = err
			continue
		}
		l.shown[s] = names
	}
	return l, nil
}

var asked = map[Source]func(*Look, string) (map[string]bool, error){
	Sysfs: askSysfs, Symbols: askSymbols, Functions: askFunctions, Types: askTypes, Memory: askMemory,
}

// Add takes over which modules another source shows.
func (l *Look) Add(s Source, modules map[string]bool) { l.shown[s] = modules }

// Asked gives the sources that answered, in the order of [Sources].
func (l *Look) Asked() (all []Source) {
	for _, s := range append(Sources(), History) {
		if _, ok := l.shown[s]; ok {
			all = append(all, s)
		}
	}
	return all
}

// Count tells how many modules a source shows. Memory shows none by name.
func (l *Look) Count(s Source) int { return len(l.shown[s]) }

// Failure says why a source could not be asked; nil for one that answered or was not asked.
func (l *Look) Failure(s Source) error { return l.failure[s] }

// errUnsupported is why a source is not asked on this kernel.
var errUnsupported = errors.New("this kernel does not say it in this way")

func (l *Look) askList(root string) error {
	modules, err := kmod.List(&kmod.ListOptions{Root: root})
	if err != nil {
		return err
	}
	names := make(map[string]bool, len(modules))
	for i := range modules {
		m := &modules[i]
		names[m.Name] = true
		l.live[m.Name] = m.State == kmod.StateLive
		l.listed += m.Size
	}
	l.shown[List] = names
	return nil
}

// askSysfs lists what has the file that only modules have which were loaded.
func askSysfs(_ *Look, root string) (map[string]bool, error) {
	dir := filepath.Join(root, "sys/module")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool)
	for _, e := range entries {
		if _, err := os.Lstat(filepath.Join(dir, e.Name(), "initstate")); err == nil {
			names[e.Name()] = true
		}
	}
	return names, nil
}

func askTypes(_ *Look, root string) (map[string]bool, error) {
	entries, err := os.ReadDir(filepath.Join(root, "sys/kernel/btf"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errUnsupported
	}
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool)
	for _, e := range entries {
		if e.Name() != "vmlinux" {
			names[e.Name()] = true
		}
	}
	return names, nil
}

func askSymbols(_ *Look, root string) (map[string]bool, error) {
	return bracketed(filepath.Join(root, "proc/kallsyms"))
}

// askFunctions looks where tracefs is mounted, and where debugfs mounts it.
func askFunctions(_ *Look, root string) (names map[string]bool, err error) {
	for _, dir := range []string{"sys/kernel/tracing", "sys/kernel/debug/tracing"} {
		if names, err = bracketed(filepath.Join(root, dir, "available_filter_functions")); err == nil {
			return names, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errUnsupported
	}
	return nil, err
}

// bracketed gives the names that stand in brackets at the ends of a file's lines. It leaves out bpf and __builtin__…, by which the
// kernel names code that it compiles itself.
func bracketed(path string) (map[string]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names := make(map[string]bool)
	lines := bufio.NewReaderSize(f, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if name := inBrackets(line); name != nil && !names[string(name)] && string(name) != "bpf" && !bytes.HasPrefix(name, []byte("__builtin__")) {
			names[string(name)] = true
		}
		switch {
		case errors.Is(err, io.EOF):
			return names, nil
		case errors.Is(err, bufio.ErrBufferFull): // a symbol is never that long
		case err != nil:
			return nil, err
		}
	}
}

func inBrackets(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	if !bytes.HasSuffix(line, []byte("]")) {
		return nil
	}
	i := bytes.LastIndexByte(line, '[')
	if i < 0 || i+1 >= len(line)-1 {
		return nil
	}
	return line[i+1 : len(line)-1]
}

// The last kernel whose Memory is asked.
const lastMajor, lastMinor = 6, 12

// guardPage lies behind each allocation, and is counted in it.
const guardPage = 4096

// askMemory adds up what load_module allocated. 7.3 allocates memory for several modules in one block, and says nothing by it
// (docs/kernel-facts.md, "Hidden modules").
func askMemory(l *Look, root string) (map[string]bool, error) {
	major, minor := release(root)
	if runtime.GOARCH != "amd64" || major > lastMajor || major == lastMajor && minor > lastMinor || major == 0 {
		return nil, errUnsupported
	}
	text, err := procfs.ReadFile(filepath.Join(root, "proc/vmallocinfo"), 64<<20)
	if err != nil {
		return nil, err
	}
	l.used = 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !strings.HasPrefix(fields[2], "load_module+") {
			continue
		}
		size, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil || size < guardPage {
			return nil, fmt.Errorf("line %.60q", line)
		}
		l.used += size - guardPage
	}
	return map[string]bool{}, nil
}

func release(root string) (major, minor int) {
	text := procfs.FirstLine(filepath.Join(root, "proc/sys/kernel/osrelease"))
	if n, _ := fmt.Sscanf(text, "%d.%d", &major, &minor); n != 2 {
		return 0, 0
	}
	return major, minor
}

// Hidden is a module of which sources disagree.
type Hidden struct {
	Module string `json:"module"`
	// Shown are the sources that show it, and NotShown those that must show a module that is loaded, and do not.
	Shown    []Source `json:"shown_by"`
	NotShown []Source `json:"not_shown_by"`
}

// must show each module that is there; the others show most. A module without symbols is not in Symbols, which
// for that says nothing by itself.
var must = []Source{List, Sysfs}

// Hidden gives the modules of which the sources disagree. One that is being loaded or unloaded is not among them where
// the list shows it. A single look can be wrong: something was loaded or unloaded while it was taken. What two looks in
// a row have, between which nothing was, is so ([Agreed]).
func (l *Look) Hidden() (all []Hidden) {
	names := make(map[string]bool)
	for _, shown := range l.shown {
		for name := range shown {
			names[name] = true
		}
	}
	for name := range names {
		h := Hidden{Module: name}
		for _, s := range l.Asked() {
			switch {
			case s == Memory:
			case l.shown[s][name]:
				h.Shown = append(h.Shown, s)
			case slices.Contains(must, s):
				h.NotShown = append(h.NotShown, s)
			}
		}
		if len(h.NotShown) == 0 || l.shown[List][name] && !l.live[name] {
			continue
		}
		if symbols, ok := l.shown[Symbols]; ok && !symbols[name] {
			h.NotShown = append(h.NotShown, Symbols)
		}
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b Hidden) int { return strings.Compare(a.Module, b.Module) })
	return all
}

// Unlisted gives how many bytes of memory were allocated for modules that the list does not have; 0 where that is not
// known.
func (l *Look) Unlisted() uint64 {
	if _, ok := l.shown[Memory]; !ok || l.used <= l.listed {
		return 0
	}
	return l.used - l.listed
}

// Agreed gives what two looks both have: the modules that are hidden in both, and the memory that no module of the list
// has, where that is the same.
func Agreed(a, b *Look) (hidden []Hidden, unlisted uint64) {
	before := a.Hidden()
	for _, h := range b.Hidden() {
		if slices.ContainsFunc(before, func(o Hidden) bool { return o.Module == h.Module }) {
			hidden = append(hidden, h)
		}
	}
	if n := b.Unlisted(); n == a.Unlisted() {
		unlisted = n
	}
	return hidden, unlisted
}

// Report is what a scan found.
type Report struct {
	Look *Look // the last one
	// Hidden are the modules of which the sources disagree.
	Hidden []Hidden
	// Unlisted is how many bytes of memory were allocated for modules that the list does not have.
	Unlisted uint64
	// Unsettled says that modules came and went all the while: what is hidden then is not known.
	Unsettled bool
}

// The looks of a scan: at most so many, so far apart.
const (
	looks = 10
	pause = time.Second
)

// Scan asks all sources below a directory, and again until two looks in a row agree, or one has nothing that needs
// another.
func Scan(ctx context.Context, root string) (*Report, error) {
	var before *Look
	for range looks {
		l, err := Ask(root)
		if err != nil {
			return nil, err
		}
		if len(l.Hidden()) == 0 && l.Unlisted() == 0 {
			return &Report{Look: l}, nil
		}
		if before != nil && maps.Equal(before.shown[List], l.shown[List]) {
			r := &Report{Look: l}
			r.Hidden, r.Unlisted = Agreed(before, l)
			return r, nil
		}
		before = l
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
	return &Report{Look: before, Unsettled: true}, nil
}
