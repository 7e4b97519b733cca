package kmod

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Identity tells builds of a module from each other. It is what both a file and the
// module in the kernel have of themselves: the kernel keeps no other trace of the file.
type Identity struct {
	// BuildID is the linker's checksum of all that it linked, in hexadecimal; empty where
	// built without.
	BuildID string `json:"build_id,omitempty"`
	// SrcVersion is a checksum of the sources alone; empty where built without.
	SrcVersion string `json:"src_version,omitempty"`
}

// Same tells whether two are of the same build, for certain. The build ID decides. Where
// neither has one the sources do, which is weaker: the same sources may be built by
// other options.
func (id Identity) Same(other Identity) bool {
	if id.BuildID != "" || other.BuildID != "" {
		return id == other
	}
	return id.SrcVersion != "" && id.SrcVersion == other.SrcVersion
}

// Differs tells whether two are of different builds, for certain: both have what tells builds apart.
func (id Identity) Differs(other Identity) bool {
	if id.BuildID != "" && other.BuildID != "" {
		return id.BuildID != other.BuildID
	}
	return id.SrcVersion != "" && other.SrcVersion != "" && id.SrcVersion != other.SrcVersion
}

// String names what tells the build apart.
func (id Identity) String() string {
	switch {
	case id.BuildID != "":
		return "build ID " + id.BuildID
	case id.SrcVersion != "":
		return "srcversion " + id.SrcVersion
	}
	return "neither build ID nor srcversion"
}

// Identity gives the file's.
func (f *File) Identity() Identity { return Identity{f.BuildID, f.Value("srcversion")} }

// Loaded is a module that is in the kernel, as sysfs shows it.
type Loaded struct {
	Identity
	// Instance tells this load of the module from every other one of this boot, also of
	// the same file: it is the number of its directory in sysfs, which the kernel counts up.
	Instance uint64
	State    string // sysfs's own word: live, coming, going
}

// Look gives the module that is in the kernel by this name. It errs with [ErrNotLoaded].
// Not everybody may read build IDs: without privilege there is none.
func Look(module string, opts *ListOptions) (*Loaded, error) {
	dir, err := loadedDir(module, opts)
	if err != nil {
		return nil, err
	}
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		return nil, &Error{Op: "look at", Module: module, Err: because(ErrNotLoaded, err)}
	}
	var m Module
	m.readSysfs(dir)
	return &Loaded{Identity{m.BuildID, m.SrcVersion}, stat.Ino, m.InitState}, nil
}

// Setting is a parameter of a module that is in the kernel.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"` // as the module shows it
}

// LoadedParams gives the parameters of the module that is in the kernel by this name, in
// the order of their names, and the names of those that are listed and cannot be read. A
// parameter that its module hides is in neither. It errs with [ErrNotLoaded].
func LoadedParams(module string, opts *ListOptions) (shown []Setting, unreadable []string, err error) {
	dir, err := loadedDir(module, opts)
	if err != nil {
		return nil, nil, err
	}
	dir = filepath.Join(dir, "parameters")
	entries, _ := os.ReadDir(dir) // a module without any has no directory
	for _, entry := range entries {
		value, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			unreadable = append(unreadable, entry.Name())
			continue
		}
		shown = append(shown, Setting{entry.Name(), strings.TrimSuffix(string(value), "\n")})
	}
	return shown, unreadable, nil
}

// loadedDir gives the directory of a module that is in the kernel and not a part of it.
func loadedDir(module string, opts *ListOptions) (string, error) {
	root := ""
	if opts != nil {
		root = opts.Root
	}
	if initState(root, module) == "" {
		return "", &Error{Op: "look at", Module: module, Err: ErrNotLoaded}
	}
	return filepath.Join(rooted(root), "sys/module", module), nil
}
