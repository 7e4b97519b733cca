package kmod

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rootOf makes a directory with these files in it.
func rootOf(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func number[T any](n T) *T { return &n }

func TestList(t *testing.T) {
	root := rootOf(t, map[string]string{
		"proc/modules": `hello 16384 0 - Live 0xffffffffc0801000 (OE)
xfs 2097152 1 - Live 0x0000000000000000
libcrc32c 12288 2 xfs,nf_conntrack, Live 0x0000000000000000
stuck 4096 1 [permanent], Live 0x0000000000000000
coming 4096 1 - Loading 0x0000000000000000 (POE+)
going 4096 -1 - Unloading 0x0000000000000000 (-)
odd 4096 - -
broken 4096 -1 - Live 0x0000000000000000
`,
		"sys/module/hello/version":    "1.0\n",
		"sys/module/hello/srcversion": "533BB7E5866E52F63B9ACCB\n",
		"sys/module/hello/initstate":  "live\n",
		"sys/module/hello/coresize":   "16384\n",
		"sys/module/hello/initsize":   "0\n",
		"sys/module/hello/refcnt":     "0\n",
		"sys/module/xfs/coresize":     "not a number\n",
	})
	got, err := List(&ListOptions{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	none := []string{}
	want := []Module{
		{
			Name: "hello", Size: 16384, State: StateLive, Refs: number(0), Holders: none, Address: 0xffffffffc0801000,
			Taints: []Taint{{"O", "out-of-tree"}, {"E", "unsigned"}}, Unsigned: true, Version: "1.0",
			SrcVersion: "533BB7E5866E52F63B9ACCB", InitState: "live", CoreSize: number(uint64(16384)), InitSize: number(uint64(0)),
		},
		{Name: "xfs", Size: 2097152, State: StateLive, Refs: number(1), Holders: none, Taints: []Taint{}},
		{Name: "libcrc32c", Size: 12288, State: StateLive, Refs: number(2), Holders: []string{"xfs", "nf_conntrack"}, Taints: []Taint{}},
		{Name: "stuck", Size: 4096, State: StateLive, Refs: number(1), Holders: none, Permanent: true, Taints: []Taint{}},
		{
			Name: "coming", Size: 4096, State: StateLoading, Refs: number(1), Holders: none,
			Taints: []Taint{{"P", "proprietary"}, {"O", "out-of-tree"}, {"E", "unsigned"}}, Unsigned: true,
		},
		{Name: "going", Size: 4096, State: StateUnloading, Refs: number(-1), Holders: none, Taints: []Taint{}},
		{Name: "odd", Size: 4096, Holders: none, Taints: []Taint{}},
		{Name: "broken", Size: 4096, State: StateLive, Refs: number(-1), RefsNegative: true, Holders: none, Taints: []Taint{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestListWithoutModules(t *testing.T) {
	_, err := List(&ListOptions{Root: t.TempDir()})
	if !errors.Is(err, ErrNoModules) || !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	got, err := List(&ListOptions{Root: rootOf(t, map[string]string{"proc/modules": ""})})
	if err != nil || got == nil || len(got) != 0 {
		t.Errorf("no modules loaded: %v, %v", got, err)
	}
}

func TestListDamaged(t *testing.T) {
	for _, text := range []string{
		"hello\n", "hello x 0 - Live 0x0\n", "hello 1 x - Live 0x0\n", "\n", "hello -1 0 - Live 0x0\n",
		strings.Repeat("x", 100_000) + "\n",
	} {
		if got, err := List(&ListOptions{Root: rootOf(t, map[string]string{"proc/modules": text})}); err == nil {
			t.Errorf("%.40q: %v", text, got)
		}
	}
}

func TestHaveModules(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  error
	}{
		"yes":      {map[string]string{"proc/modules": "", "proc/sys/kernel/modules_disabled": "0\n"}, nil},
		"never":    {nil, ErrNoModules},
		"disabled": {map[string]string{"proc/modules": "", "proc/sys/kernel/modules_disabled": "1\n"}, ErrNoModules},
	} {
		if err := haveModules(rootOf(t, c.files)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHaveDecompression(t *testing.T) {
	for word, want := range map[string]Compression{"xz\n": Xz, "zstd\n": Zstd, "gzip\n": Gzip} {
		got, err := haveDecompression(rootOf(t, map[string]string{"sys/module/compression": word}))
		if err != nil || got != want {
			t.Errorf("%q: %v, %v", word, got, err)
		}
	}
	for _, files := range []map[string]string{nil, {"sys/module/compression": "lzma\n"}} {
		if got, err := haveDecompression(rootOf(t, files)); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v: %v, %v", files, got, err)
		}
	}
}
