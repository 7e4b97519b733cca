package kernel

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/kmod"
	"golang.org/x/sys/unix"
)

// BrokenIndex is an index that modprobe looks names up in and can find nothing by, though the list that
// depmod made beside it, as text, is there.
type BrokenIndex struct {
	List  string // modules.dep or another
	Index string // modules.dep.bin
	Why   string // what is wrong with the index, in words that follow its name
}

// BrokenIndexes checks the indexes of the kernel's modules: modprobe reads these, and nothing else.
func (k *Kernel) BrokenIndexes() (broken []BrokenIndex) {
	dir, _ := k.ModulesDir()
	for _, name := range []string{"modules.dep", "modules.alias", "modules.symbols", "modules.builtin"} {
		list := filepath.Join(dir, name)
		if info, err := os.Stat(list); err != nil || !info.Mode().IsRegular() {
			continue
		}
		index := list + ".bin"
		if why := indexProblem(index); why != "" {
			broken = append(broken, BrokenIndex{List: list, Index: index, Why: why})
		}
	}
	return broken
}

// hasIndexes tells whether there are indexes at all.
func (k *Kernel) hasIndexes() bool {
	dir, _ := k.ModulesDir()
	found, err := filepath.Glob(filepath.Join(dir, "modules.*.bin"))
	return err == nil && len(found) > 0
}

// The header of an index: the same magic in all versions of kmod, the version, and where the root is,
// with flags in its upper bits (kmod's libkmod-index.c).
const (
	indexMagic  = 0xb007f457
	indexOffset = 0x0fffffff
)

// indexProblem says what is wrong with an index; "" where it begins as one and is as long as it says.
func indexProblem(name string) string {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is not there"
	case err != nil:
		return "cannot be read: " + errors.Unwrap(err).Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "is not a regular file"
	}
	header := make([]byte, 12)
	n, err := io.ReadFull(f, header)
	switch {
	case n == 0:
		return "is empty"
	case err != nil:
		return "is cut short"
	case binary.BigEndian.Uint32(header) != indexMagic:
		return "is not an index"
	case int64(binary.BigEndian.Uint32(header[8:])&indexOffset) >= info.Size(): // the root is written last
		return "is cut short"
	}
	return ""
}

// Lists tells which of depmod's lists (modules.dep, modules.alias) has a name or an alias; "" where none
// has.
func (k *Kernel) Lists(name string) (list string, err error) {
	dir, _ := k.ModulesDir()
	name = modname.Normal(name)
	for line, err := range fileLines(filepath.Join(dir, "modules.dep")) {
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return "", k.fail("lists of", name, unknown("%w", err))
		}
		if file, _, ok := strings.Cut(string(line), ":"); ok && kmod.NameOfFile(file) == name {
			return filepath.Join(dir, "modules.dep"), nil
		}
	}
	for line, err := range fileLines(filepath.Join(dir, "modules.alias")) {
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return "", k.fail("lists of", name, unknown("%w", err))
		}
		words := strings.Fields(string(line))
		if len(words) < 3 || words[0] != "alias" {
			continue
		}
		if matches(words[1], name) {
			return filepath.Join(dir, "modules.alias"), nil
		}
	}
	return "", nil
}
