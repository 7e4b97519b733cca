package lab

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ulikunitz/xz"
)

// variantSources are the program's own: the name of a directory of variants has their
// hash, so that a change in how variants are made makes them anew.
//
//go:embed variants.go variants_elf.go variants_bytes.go variants_sign.go
var variantSources embed.FS

// variantsCached gives the directory beside compiled that holds the modules in it and
// the variants of them.
func variantsCached(ctx context.Context, compiled string, k Kernel, progress io.Writer) (string, error) {
	key, err := variantsKey()
	if err != nil {
		return "", err
	}
	dir := compiled + "-" + key
	if exists(dir) {
		used(dir)
		return dir, nil
	}
	unlock, err := lockFile(ctx, dir+".lock", progress)
	if err != nil {
		return "", err
	}
	defer unlock()
	defer os.Remove(dir + ".lock")
	if exists(dir) {
		return dir, nil
	}
	// We hold dir's lock: what lies here from before is of a run that was killed.
	work := filepath.Join(filepath.Dir(dir), ".variants-"+filepath.Base(dir))
	defer os.RemoveAll(work)
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(work, 0o755)); err != nil {
		return "", fmt.Errorf("make variants: %w", err)
	}
	if err := writeVariants(compiled, work, k, progress); err != nil {
		return "", fmt.Errorf("make variants for %s: %w", k.Release, err)
	}
	if err := os.Rename(work, dir); err != nil {
		return "", fmt.Errorf("make variants for %s: %w", k.Release, err)
	}
	return dir, nil
}

func variantsKey() (string, error) {
	s := sources{}
	err := fs.WalkDir(variantSources, ".", func(p string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			s[p], err = fs.ReadFile(variantSources, p)
		}
		return err
	})
	return s.hash()[:8], err
}

// writeVariants writes the compiled modules and their variants to the directory out.
func writeVariants(compiled, out string, k Kernel, progress io.Writer) error {
	files, err := readModules(compiled)
	if err != nil {
		return err
	}
	has, err := conditions(k, files)
	if err != nil {
		return err
	}
	lacking, err := makeVariants(files, has)
	if err != nil {
		return err
	}
	delete(files, treeFile)
	for name, file := range files {
		if err := os.WriteFile(filepath.Join(out, name), file, 0o644); err != nil {
			return err
		}
	}
	for _, c := range slices.Sorted(maps.Keys(lacking)) {
		fmt.Fprintf(progress, "%s has no %v, so no %s\n", k.Release, c, strings.Join(lacking[c], ", "))
	}
	return nil
}

func readModules(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, entry := range entries {
		if files[entry.Name()], err = os.ReadFile(filepath.Join(dir, entry.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// conditions tells what a kernel has of what variants need, and adds the module of
// its tree to the files where that is signed.
func conditions(k Kernel, files map[string][]byte) ([]condition, error) {
	var has []condition
	if _, _, err := sectionOf(files["hello.ko"], "__versions"); err == nil {
		has = append(has, modversions)
	}
	module, err := readTreeModule(k)
	if err != nil {
		return nil, err
	}
	if bytes.HasSuffix(module, []byte(signatureMark)) {
		files[treeFile] = module
		has = append(has, signedTree)
	}
	return has, nil
}

// readTreeModule gives the distribution's module, unpacked; nil where it has none,
// or packs it in a way that none of the lab's kernels does.
func readTreeModule(k Kernel) ([]byte, error) {
	path := filepath.Join(k.Modules, treeModule)
	plain, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return plain, err
	}
	packed, err := os.ReadFile(path + ".xz")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := xz.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack %s.xz: %w", path, err)
	}
	return io.ReadAll(r)
}
