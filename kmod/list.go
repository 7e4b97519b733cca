package kmod

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

//go:generate go tool stringer -type=State -linecomment -output=state_string.go

// State is where a module is in its life, as /proc/modules tells it.
type State uint8

const (
	StateUnknown   State = iota // unknown
	StateLive                   // live
	StateLoading                // loading
	StateUnloading              // unloading
)

// MarshalText gives the word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Address is a kernel address. Zero means hidden: the kernel shows addresses of
// modules only to CAP_SYSLOG, as kernel.kptr_restrict says.
type Address uint64

// String gives it in hexadecimal.
func (a Address) String() string { return fmt.Sprintf("%#016x", uint64(a)) }

// MarshalText gives it in hexadecimal: JSON numbers are not good for 64 bits.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Module is one module that the kernel has in memory. Modules built into the kernel
// are not among them.
type Module struct {
	Name  string `json:"name"`     // the kernel's spelling, with underscores
	Size  uint64 `json:"size"`     // bytes of memory it holds
	State State  `json:"state"`    // live, loading or unloading
	Refs  *int   `json:"refcount"` // nil where the kernel cannot unload and so does not count
	// RefsNegative tells that Refs is below zero, though the module is not on its way out: it
	// dropped a reference that it did not have. No unload of it ends well.
	RefsNegative bool     `json:"refcount_negative,omitempty"`
	Holders      []string `json:"holders"` // loaded modules that use it
	// Permanent tells that it cannot be unloaded: it has an init and no exit.
	Permanent bool    `json:"permanent"`
	Address   Address `json:"address,omitzero"` // where its code begins; zero when hidden
	Taints    []Taint `json:"taints"`
	// Unsigned tells that the kernel missed a valid signature (taint E). False also
	// where the kernel does not check: only a kernel with CONFIG_MODULE_SIG does.
	Unsigned bool `json:"unsigned"`

	// From /sys/module; zero values where the module does not say.
	Version    string  `json:"version,omitempty"`     // MODULE_VERSION
	SrcVersion string  `json:"src_version,omitempty"` // checksum of its sources
	InitState  string  `json:"init_state,omitempty"`  // sysfs's own word: live, coming, going
	CoreSize   *uint64 `json:"core_size,omitempty"`   // bytes, without what only init needs
	InitSize   *uint64 `json:"init_size,omitempty"`   // bytes that only init needs; freed after it
	BuildID    string  `json:"build_id,omitempty"`    // the linker's, hexadecimal: that of the file it came from
}

// ListOptions change what List reads. Nil is the same as its zero value.
type ListOptions struct {
	Root string // directory that holds proc and sys; "" is /
}

// List gives the modules that the kernel has in memory, in the kernel's order: the
// last loaded first. It joins /proc/modules with /sys/module; a module that goes
// while it reads keeps what was read.
//
// It errs with [ErrNoModules] on a kernel built without modules.
func List(opts *ListOptions) ([]Module, error) {
	root := "/"
	if opts != nil && opts.Root != "" {
		root = opts.Root
	}
	f, err := os.Open(filepath.Join(root, "proc/modules"))
	if errors.Is(err, fs.ErrNotExist) {
		err = because(ErrNoModules, err)
	}
	if err != nil {
		return nil, &Error{Op: "list", Err: err}
	}
	defer f.Close()
	modules, err := parseProcModules(f)
	if err != nil {
		return nil, &Error{Op: "list", Module: f.Name(), Err: err}
	}
	for i := range modules {
		modules[i].readSysfs(filepath.Join(root, "sys/module", modules[i].Name))
	}
	return modules, nil
}

// readSysfs adds what /sys/module knows. Each file may be missing: the module has
// no such fact, or has just gone.
func (m *Module) readSysfs(dir string) {
	m.Version = procfs.FirstLine(filepath.Join(dir, "version"))
	m.SrcVersion = procfs.FirstLine(filepath.Join(dir, "srcversion"))
	m.InitState = procfs.FirstLine(filepath.Join(dir, "initstate"))
	m.CoreSize = readUint(filepath.Join(dir, "coresize"))
	m.InitSize = readUint(filepath.Join(dir, "initsize"))
	if note, err := os.ReadFile(filepath.Join(dir, "notes/.note.gnu.build-id")); err == nil {
		m.BuildID = noteID(note, binary.NativeEndian)
	}
}

// parseProcModules reads the text of /proc/modules:
//
//	name size refcount holders state address (taints)
func parseProcModules(r io.Reader) ([]Module, error) {
	modules := []Module{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		m, err := parseProcModule(lines.Text())
		if err != nil {
			return nil, err
		}
		modules = append(modules, m)
	}
	return modules, lines.Err()
}

func parseProcModule(line string) (Module, error) {
	fields := strings.Fields(line)
	if len(fields) < 3 {
		return Module{}, fmt.Errorf("line %q: too few fields", shorten(line))
	}
	m := Module{Name: fields[0], Holders: []string{}, Taints: []Taint{}}
	var err error
	if m.Size, err = strconv.ParseUint(fields[1], 10, 64); err != nil {
		return m, fmt.Errorf("line %q: size: %w", shorten(line), err)
	}
	if fields[2] != "-" { // a kernel without CONFIG_MODULE_UNLOAD does not count
		refs, err := strconv.Atoi(fields[2])
		if err != nil {
			return m, fmt.Errorf("line %q: refcount: %w", shorten(line), err)
		}
		m.Refs = &refs
	}
	for i, field := range fields[3:] {
		m.setField(i, field)
	}
	m.RefsNegative = m.Refs != nil && isNegative(*m.Refs, m.passing())
	return m, nil
}

// passing tells whether it is on its way in or out.
func (m *Module) passing() bool { return m.State == StateLoading || m.State == StateUnloading }

// setField takes the fields after the refcount, which older and odder kernels lack.
func (m *Module) setField(i int, field string) {
	switch {
	case i == 0 && field != "-":
		for holder := range strings.SplitSeq(strings.TrimSuffix(field, ","), ",") {
			if holder == "[permanent]" {
				m.Permanent = true
			} else {
				m.Holders = append(m.Holders, holder)
			}
		}
	case i == 1:
		m.State = parseState(field)
	case i == 2:
		address, err := strconv.ParseUint(strings.TrimPrefix(field, "0x"), 16, 64)
		if err == nil {
			m.Address = Address(address)
		}
	case i >= 3 && strings.HasPrefix(field, "("):
		m.Taints = append(m.Taints, parseTaints(strings.Trim(field, "()"))...)
		m.Unsigned = strings.Contains(field, "E")
	}
}

func parseState(word string) State {
	switch word {
	case "Live":
		return StateLive
	case "Loading":
		return StateLoading
	case "Unloading":
		return StateUnloading
	}
	return StateUnknown
}

// readLine gives the first line of a small file, or nothing.
func readUint(path string) *uint64 {
	n, err := strconv.ParseUint(procfs.FirstLine(path), 10, 64)
	if err != nil {
		return nil
	}
	return &n
}
