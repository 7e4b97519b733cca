package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/lab"
)

// theShop is the disk that the tests of a process have copies of.
var theShop struct {
	sync.Mutex
	dir string
}

// shopDisk gives a copy of a disk of a workshop: a root directory with a compiler, the headers of
// the kernel that will run, and hello's sources.
func shopDisk(t *testing.T, arch, series string) string {
	t.Helper()
	theShop.Lock()
	defer theShop.Unlock()
	made := filepath.Join(theShop.dir, "disk")
	if theShop.dir == "" {
		dir, err := os.MkdirTemp("", "kmodtrace-shop-")
		if err != nil {
			t.Fatal(err)
		}
		made = filepath.Join(dir, "disk")
		if err := makeShop(t, arch, series, made); err != nil {
			os.RemoveAll(dir)
			t.Fatal(err)
		}
		theShop.dir = dir
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if out, err := exec.Command("cp", "--sparse=always", made, disk).CombinedOutput(); err != nil {
		t.Fatalf("copy the disk: %v: %s", err, out)
	}
	return disk
}

// removeShop removes that disk: its tests have ended.
func removeShop() {
	if theShop.dir != "" {
		os.RemoveAll(theShop.dir)
	}
}

func makeShop(t *testing.T, arch, series, disk string) error {
	t.Helper()
	cache, err := lab.CacheDir()
	if err != nil {
		return err
	}
	w, err := lab.OpenWorkshop(cache, series)
	if err != nil {
		return err
	}
	root := filepath.Join(t.TempDir(), "root")
	if err := w.Copy(t.Context(), root); err != nil {
		return err
	}
	modules := filepath.Join(root, "usr/lib/modules", w.Kernel.Release)
	for _, made := range []string{modules, filepath.Join(root, shopSources), filepath.Join(root, shopStore)} {
		if err := os.MkdirAll(made, 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("/usr/src/linux-headers-"+w.Kernel.Release, filepath.Join(modules, "build")); err != nil {
		return err
	}
	hello, err := os.ReadFile("../../examples/hello/hello.c")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, shopSources, "hello.c"), hello, 0o644); err != nil {
		return err
	}
	if err := compileInShop(t, w, root, string(hello)); err != nil {
		return err
	}
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-d", root, disk, "1200M").CombinedOutput(); err != nil {
		return fmt.Errorf("mke2fs: %w: %s", err, out)
	}
	return nil
}

// shopStore is where the disk has what its compiler has made.
const shopStore = "/build/shop"

// shopCompiler takes the compiler's place on the disk. What it is to compile was compiled
// before, with the same arguments, from the same text: then it gives what came of that. The compiler
// takes an emulated machine ten seconds for each file, and this none. What is new to it, it has
// compiled.
const shopCompiler = `#!/bin/sh
real=$0.real
case $0 in /*) ;; *) real=$(command -v "$0").real ;; esac
store=` + shopStore + `
words= before= out= deps= source=
for word; do
	if [ "$before" = -o ]; then
		out=$word word=OUT
	else
		case $word in
		-Wp,-MMD,*) deps=${word#-Wp,-MMD,} word=DEPS ;;
		- | /dev/null | *.[cS]) source=$word ;;
		esac
	fi
	before=$word words="$words $word"
done
new=$store/.new.$$
case $source in
"") exec "$real" "$@" ;;
-) cat >$new.stdin; text=$new.stdin ;;
*) text=$source ;;
esac
id=$(echo "$PWD $words" | sha256sum - "$text")
id=${id%% *}-${id##*
}
have=$store/${id%% *}
if [ ! -e "$have" ]; then
	mkdir "$new"
	if [ "$source" = - ]; then
		"$real" "$@" <"$text" >"$new/stdout" 2>"$new/stderr"
	else
		"$real" "$@" >"$new/stdout" 2>"$new/stderr"
	fi
	echo $? >"$new/status"
	[ ! -f "$out" ] || cp "$out" "$new/out"
	[ ! -f "$deps" ] || cp "$deps" "$new/deps"
	mv -T "$new" "$have" 2>/dev/null || rm -r "$new" # of another at the same time
fi
[ "$source" != - ] || rm "$new.stdin"
[ ! -s "$have/stdout" ] || cat "$have/stdout"
[ ! -s "$have/stderr" ] || cat "$have/stderr" >&2
[ ! -e "$have/out" ] || cp "$have/out" "$out"
[ ! -e "$have/deps" ] || cp "$have/deps" "$deps"
read -r status <"$have/status"
exit "$status"
`

// compileInShop compiles all that the tests will, in the same directories, and leaves of it only what
// the compiler made.
func compileInShop(t *testing.T, w *lab.Workshop, root, hello string) error {
	t.Helper()
	page, err := os.ReadFile(tutorialPage)
	if err != nil {
		return err
	}
	compilers, err := filepath.Glob(filepath.Join(root, "usr/bin/*-gcc-[0-9]*"))
	if err != nil {
		return err
	}
	for _, compiler := range compilers {
		if err := os.Rename(compiler, compiler+".real"); err != nil {
			return err
		}
		if err := os.WriteFile(compiler, []byte(shopCompiler), 0o755); err != nil {
			return err
		}
	}
	program, err := os.ReadFile("../../bin/kmodtrace")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "usr/bin/kmodtrace"), program, 0o755); err != nil {
		return err
	}
	var script strings.Builder
	build := func(what string) { fmt.Fprintf(&script, "kmodtrace build %s --kernel %s\n", what, w.Kernel.Release) }
	for _, e := range append([]shopEdit{{}}, shopEdits()...) {
		hello = strings.Replace(hello, e.from, e.to, 1)
		fmt.Fprintf(&script, "cat >%s/hello.c <<'END OF HELLO'\n%sEND OF HELLO\n", shopSources, hello)
		build(shopSources)
	}
	script.WriteString("cd /root\n")
	for _, c := range tutorialCommands(string(page)) {
		if what, ok := strings.CutPrefix(c, "kmodtrace build"); ok {
			build(strings.TrimSpace(what))
		} else if !strings.HasPrefix(c, "kmodtrace") {
			script.WriteString(c)
		}
	}
	kept := filepath.Join(t.TempDir(), "hello")
	if err := os.CopyFS(kept, os.DirFS(filepath.Join(root, shopSources))); err != nil {
		return err
	}
	var out bytes.Buffer
	shown := make(map[string]string)
	for _, dir := range []string{"root", "usr/bin", "usr/lib/modules", shopStore[1:]} {
		shown[dir] = filepath.Join(root, dir)
	}
	err = w.Run(t.Context(), shown, &out, "/bin/sh", "-c", `exec env HOME=/root LC_ALL=C.UTF-8 sh -c "$1"`, "sh", script.String())
	t.Logf("on the disk: %v\n%s", err, out.String()) // an edit of TestDev is not a C
	if err := os.RemoveAll(filepath.Join(root, "root")); err != nil {
		return err
	}
	return os.CopyFS(filepath.Join(root, shopSources), os.DirFS(kept))
}
