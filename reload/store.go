package reload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// DefaultStore is the directory of the files that kmodtrace itself loads. Not below /run: a
// module with its debugging information is too large for memory, and systemd removes the
// service's directory there.
const DefaultStore = "/var/lib/kmodtrace/loaded"

// Store keeps, by content, the files of modules that are in the kernel: the kernel has
// no copy that could be loaded again, and by the time that one is needed the file is
// what the next build has made of it. NAME.ko is the file, NAME.json what is known of it.
type Store struct {
	dir  string
	boot string
	root *kmod.ListOptions // where the modules are looked at
	lock *os.File          // the directory, locked against others who forget
}

// kept is a file that is kept, and the load that it is of.
type kept struct {
	Boot   string `json:"boot"`
	Module string `json:"module"`
	kmod.Identity
	SHA256 string `json:"sha256"`
	File   string `json:"file"` // from where it was loaded
	// Instance is the load that all below is about.
	Instance uint64 `json:"instance"`
	// Params are what it was loaded with; nil where nobody knows. Not a string: JSON would
	// change one that is not UTF-8.
	Params []byte `json:"params"`
	// Values are what the module showed just after.
	Values []kmod.Setting `json:"values"`

	path string
}

// keep keeps the image of a module that is in the kernel, and forgets what is not there
// any more. It errs when the image is not what is in the kernel, for certain.
func (s *Store) keep(module string, image []byte, file string, params []byte) (*kept, error) {
	if _, err := kmod.NormalName(module); err != nil { // it becomes a file's name
		return nil, err
	}
	l, err := kmod.Look(module, s.root)
	if err != nil {
		return nil, err
	}
	f, err := kmod.Parse(image)
	if err != nil {
		return nil, err
	}
	if !f.Identity().Same(l.Identity) {
		return nil, fmt.Errorf("%s is not what is loaded as %s", file, module)
	}
	c := &kept{
		Boot: s.boot, Module: module, Identity: l.Identity, Instance: l.Instance,
		SHA256: sha256Of(image), File: file, Params: params, path: s.path(module, ".ko"),
	}
	if c.Values, _, err = kmod.LoadedParams(module, s.root); err != nil {
		return nil, err
	}
	record, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	s.prune()
	// In this order: a record that is not of the file beside it is not believed.
	if err := writeWhole(c.path, image); err != nil {
		return nil, err
	}
	return c, writeWhole(s.path(module, ".json"), record)
}

// Keep keeps the file of a module that was loaded from a path with these parameters, and is
// in the kernel. It errs when the file is not what is there.
func (s *Store) Keep(module, path, params string) error {
	return s.keepFile(module, path, absolute(path), params)
}

// keepFile is keep of what is in a path, after it was loaded from there with these
// parameters. The file is what it is known as.
func (s *Store) keepFile(module, path, file, params string) error {
	image, err := kmod.ReadImage(path)
	if err != nil {
		return err
	}
	_, err = s.keep(module, image, file, append([]byte{}, params...))
	return err
}

// find gives what is kept of the module, if it is the build of that identity, undamaged.
func (s *Store) find(module string, id kmod.Identity) (*kept, error) {
	text, err := os.ReadFile(s.path(module, ".json"))
	if err != nil {
		return nil, err
	}
	c := &kept{path: s.path(module, ".ko")}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("%s: %w", s.path(module, ".json"), err)
	}
	if c.Boot != s.boot || c.Module != module || !c.Identity.Same(id) {
		return nil, fmt.Errorf("what is kept of %s is of another load: %w", module, fs.ErrNotExist)
	}
	image, err := os.ReadFile(c.path)
	if err == nil && sha256Of(image) != c.SHA256 {
		err = errors.New(c.path + " was changed")
	}
	return c, err
}

func (s *Store) path(module, end string) string { return filepath.Join(s.dir, module+end) }

func sha256Of(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// File gives the path of the file of a module that is in the kernel, where that is kept.
func (s *Store) File(module string) (string, error) {
	l, err := kmod.Look(module, s.root)
	if err != nil {
		return "", err
	}
	c, err := s.find(module, l.Identity)
	if err != nil {
		return "", err
	}
	return c.path, nil
}
