package kmod

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// moduleTrees gives the folders of kernels that are in the lab's cache.
func moduleTrees(t *testing.T) []string {
	t.Helper()
	cache := os.Getenv("KMODTRACE_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Skipf("no real modules: %v", err)
		}
		cache = filepath.Join(user, "kmodtrace")
	}
	trees, err := filepath.Glob(filepath.Join(cache, "kernels", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var whole []string
	for _, tree := range trees {
		if !strings.HasSuffix(tree, ".partial") {
			whole = append(whole, tree)
		}
	}
	if len(whole) == 0 {
		t.Skip("no real modules: no kernel in the lab's cache (`kmodtrace lab kernels` tells how to get one)")
	}
	return whole
}

// modulesUnder gives the module files of a kernel.
func modulesUnder(t *testing.T, tree string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && IsFile(entry.Name()) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestInspectLikeModinfo compares every field of every module of the cached kernels
// with the modinfo of the kmod package.
func TestInspectLikeModinfo(t *testing.T) {
	if _, err := exec.LookPath("modinfo"); err != nil {
		t.Skipf("nothing to compare with: %v", err)
	}
	for _, tree := range moduleTrees(t) {
		t.Run(filepath.Base(tree), func(t *testing.T) {
			t.Parallel()
			files := modulesUnder(t, tree)
			if testing.Short() && len(files) > 200 {
				files = files[:200]
			}
			for len(files) > 0 {
				n := min(len(files), 100)
				compareModinfo(t, files[:n])
				files = files[n:]
			}
		})
	}
}

func compareModinfo(t *testing.T, files []string) {
	t.Helper()
	out, err := exec.Command("modinfo", append([]string{"-0"}, files...)...).Output()
	if err != nil {
		t.Fatalf("modinfo: %v", err)
	}
	records := splitModinfo(string(out))
	if len(records) != len(files) {
		t.Fatalf("modinfo gave %d records for %d files", len(records), len(files))
	}
	for i, file := range files {
		f, err := Inspect(file)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if diff := cmp.Diff(records[i], modinfoOf(f)); diff != "" {
			t.Errorf("%s: modinfo -, we +:\n%s", file, diff)
		}
	}
}

// splitModinfo splits the output of `modinfo -0`: `key: value` ended by NULs, one
// "filename" for each file.
func splitModinfo(out string) []map[string][]string {
	var records []map[string][]string
	for line := range strings.SplitSeq(out, "\x00") {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		if key == "filename" {
			records = append(records, make(map[string][]string))
		}
		record := records[len(records)-1]
		record[key] = append(record[key], strings.TrimLeft(value, " "))
	}
	return records
}

// modinfoOf writes what we read in modinfo's way.
func modinfoOf(f *File) map[string][]string {
	record := map[string][]string{"filename": {f.Path}}
	for _, field := range f.Fields {
		if field.Key != "parm" && field.Key != "parmtype" {
			record[field.Key] = append(record[field.Key], strings.TrimLeft(field.Value, " "))
		}
	}
	for _, p := range f.Parameters {
		text := p.Name + ":" + p.Description
		if p.Type != "" {
			text += fmt.Sprintf(" (%s)", p.Type)
		}
		if p.Description == "" && p.Type != "" {
			text = p.Name + ":" + p.Type
		}
		record["parm"] = append(record["parm"], text)
	}
	if s := f.Signature; s != nil {
		record["sig_id"] = []string{s.Kind}
		record["signer"] = []string{s.Signer}
		record["sig_key"] = []string{s.KeyID}
		record["sig_hashalgo"] = []string{s.Hash}
		record["signature"] = []string{colons(s.Value)}
	}
	return record
}
