//go:build !race

package kmod

import (
	"encoding/json"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/internal/modinfo"
)

// moduleTrees gives the directories of kernels that are in the lab's cache.
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
		if strings.HasPrefix(filepath.Base(tree), ".") {
			continue // a fetch under way
		}
		info, err := os.Stat(tree)
		if err == nil && info.IsDir() && !strings.HasSuffix(tree, ".partial") {
			whole = append(whole, tree)
		}
	}
	if len(whole) == 0 {
		t.Skip("no real modules: no kernel in the lab's cache (`kmodtrace lab kernels` tells how to get one)")
	}
	return whole
}

// every is of how many compressed modules one is read: to decompress them takes several times as long as
// the rest. It is another one each time. KMODTRACE_EVERY=1 has all read.
func every(t *testing.T) int {
	t.Helper()
	text := os.Getenv("KMODTRACE_EVERY")
	if text == "" {
		text = "4"
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("KMODTRACE_EVERY: want a number from 1 on: %v", err)
	}
	return n
}

// modulesUnder gives the module files of a kernel, of compressed ones some.
func modulesUnder(t *testing.T, tree string) []string {
	t.Helper()
	var files []string
	n := every(t)
	chance := rand.IntN(n)
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && IsFile(entry.Name()) {
			if chance++; filepath.Ext(path) == ".ko" || chance%n == 0 {
				files = append(files, path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestInspectLikeModinfo compares every field of the modules of the cached kernels with the
// modinfo of the kmod package.
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
			if len(files) == 0 {
				t.Fatalf("%s holds no modules", tree)
			}
			t.Logf("%d modules", len(files))
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
	records := modinfo.Split(string(out))
	if len(records) != len(files) {
		t.Fatalf("modinfo gave %d records for %d files", len(records), len(files))
	}
	for i, file := range files {
		f, err := Inspect(file)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if diff := cmp.Diff(records[i], modinfoOf(t, f)); diff != "" {
			t.Errorf("%s: modinfo -, we +:\n%s", file, diff)
		}
	}
}

// modinfoOf writes what we read in modinfo's way.
func modinfoOf(t *testing.T, f *File) modinfo.Record {
	t.Helper()
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	record, err := modinfo.Of(text)
	if err != nil {
		t.Fatal(err)
	}
	if f.Signature != nil {
		record[modinfo.SignatureKey] = []string{colons(f.Signature.Value)}
	}
	return record
}

// TestExportsLikeDepmod compares the exports of a kernel's modules with the index that depmod
// made when the kernel was packaged or fetched.
func TestExportsLikeDepmod(t *testing.T) {
	trees := moduleTrees(t)
	if testing.Short() {
		trees = trees[:1]
	}
	for _, tree := range trees {
		t.Run(filepath.Base(tree), func(t *testing.T) {
			t.Parallel()
			want := depmodSymbols(t, tree)
			got := make(map[string]string)
			namespaces, read := make(map[string]bool), make(map[string]bool)
			for _, file := range modulesUnder(t, tree) {
				f, err := Inspect(file)
				if err != nil {
					t.Fatal(err)
				}
				read[f.Name] = true
				for _, e := range f.Exports {
					got[e.Name] = f.Name
					namespaces[e.Namespace] = true
				}
			}
			// Without modversions depmod reads a table of texts that has them too.
			maps.DeleteFunc(want, func(name, module string) bool { return !read[module] || namespaces[name] && got[name] == "" })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("depmod -, we +:\n%s", diff)
			}
		})
	}
}

// depmodSymbols reads modules.symbols: `alias symbol:NAME MODULE`.
func depmodSymbols(t *testing.T, tree string) map[string]string {
	t.Helper()
	var index []string
	for _, pattern := range []string{"lib/modules/*/modules.symbols", "usr/lib/modules/*/modules.symbols"} {
		found, _ := filepath.Glob(filepath.Join(tree, pattern))
		index = append(index, found...)
	}
	if len(index) == 0 {
		t.Skip("nothing to compare with: the kernel's directory has no modules.symbols")
	}
	text, err := os.ReadFile(index[0])
	if err != nil {
		t.Fatal(err)
	}
	symbols := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 3 && words[0] == "alias" {
			symbols[strings.TrimPrefix(words[1], "symbol:")] = words[2]
		}
	}
	return symbols
}
