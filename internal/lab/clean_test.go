package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// fakeCache makes a cache of files of 8 KiB; a name with " -> " is a link.
func fakeCache(t *testing.T, names ...string) string {
	t.Helper()
	cache := t.TempDir()
	for _, name := range names {
		name, target, link := strings.Cut(name, " -> ")
		path := filepath.Join(cache, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if link {
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		writeFile(t, path, strings.Repeat("x", 8<<10))
	}
	return cache
}

// fakeKernel makes a complete kernel of 6.12 or another series.
func fakeKernel(t *testing.T, cache, arch, release string) {
	t.Helper()
	dir := kernelDir(cache, arch, release)
	series, _ := seriesOf(release)
	writeFile(t, filepath.Join(dir, "lib/modules", release, "modules.dep"), "x")
	writeFile(t, filepath.Join(dir, kernelRecord), fmt.Sprintf(`{"release":%q,"series":%q,"arch":%q,"modules":"lib/modules/%s"}`, release, series, arch, release))
}

// usedAt says when a directory was last used.
func usedAt(t *testing.T, dir string, ago time.Duration) {
	t.Helper()
	at := time.Now().Add(-ago)
	writeFile(t, dir+useSuffix, "")
	if err := os.Chtimes(dir+useSuffix, at, at); err != nil {
		t.Fatal(err)
	}
}

// under lists the files, links and empty directories in a directory, but for locks.
func under(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, at)
		inside := []os.DirEntry{nil}
		if entry.IsDir() {
			inside, _ = os.ReadDir(at)
		}
		if (!entry.IsDir() || len(inside) == 0) && !strings.HasSuffix(at, lockSuffix) && !strings.HasSuffix(at, useSuffix) {
			names = append(names, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func removedNames(removed []Removed) []string {
	names := []string{}
	for _, r := range removed {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return names
}

func current(pattern string) string { return currentRecipes()[pattern][0] }

func TestCleanRemovesWhatIsSuperseded(t *testing.T) {
	toolchain, guestTools, system := current("toolchain/*"), current("guest/*/*"), current("userland/*/*")
	stay := []string{
		"toolchain/" + toolchain + "/packages", "guest/amd64/" + guestTools + "/a", "guest/arm64/" + guestTools + "/a",
		"userland/amd64/" + system + "/a", "packages/any/a", "apt/index.json", "notes",
		"built/amd64/6.12.9-cloud-amd64/key/hello.ko", "specimens/amd64/6.12.9-cloud-amd64 -> ../../built/amd64/6.12.9-cloud-amd64/key",
		"kvm/6.12.9-cloud-amd64__7.2__6.1__.json",
	}
	cache := fakeCache(t, append(stay,
		"toolchain/old/packages", "guest/amd64/old/a", "userland/arm64/old/a",
		"built/amd64/6.12.8-cloud-amd64/key/hello.ko", "specimens/amd64/6.12.8-cloud-amd64 -> ../../built/amd64/6.12.8-cloud-amd64/key",
		"built/amd64/5.4.1-gone-amd64/key/hello.ko", "kvm/6.12.8-cloud-amd64__7.2__6.1__.json",
		"kernels/amd64/.fetch-6.12.10-cloud-amd64/root/a", "kernels/amd64/6.12.9-cloud-amd64/.fetch-headers/debs/a",
		"built/amd64/6.12.9-cloud-amd64/.build-other/a", "built/amd64/6.12.9-cloud-amd64/.variants-key-1/a", "toolchain/.gone-AAAA/usr/bin/gcc",
	)...)
	for _, k := range [][2]string{
		{"amd64", "6.12.8-cloud-amd64"}, {"amd64", "6.12.9-cloud-amd64"}, {"amd64", "6.12.8-amd64"}, {"amd64", "6.1.8-cloud-amd64"},
		{"arm64", "6.12.8-cloud-arm64"},
	} {
		fakeKernel(t, cache, k[0], k[1])
	}
	done, err := Clean(cache, CleanOptions{Most: CacheMost})
	if err != nil || len(done.Kept) > 0 {
		t.Errorf("kept %v, %v", done.Kept, err)
	}
	want := []string{
		"built/amd64/5.4.1-gone-amd64/key", "built/amd64/6.12.8-cloud-amd64/key", "built/amd64/6.12.9-cloud-amd64/.build-other",
		"built/amd64/6.12.9-cloud-amd64/.variants-key-1", "guest/amd64/old", "kernels/amd64/.fetch-6.12.10-cloud-amd64",
		"kernels/amd64/6.12.8-cloud-amd64", "kernels/amd64/6.12.9-cloud-amd64/.fetch-headers", "kvm/6.12.8-cloud-amd64__7.2__6.1__.json",
		"specimens/amd64/6.12.8-cloud-amd64", "toolchain/.gone-AAAA", "toolchain/old", "userland/arm64/old",
	}
	if diff := cmp.Diff(want, removedNames(done.Removed)); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	for _, name := range stay {
		name, _, _ = strings.Cut(name, " -> ")
		if !exists(filepath.Join(cache, name)) {
			t.Errorf("%s is gone", name)
		}
	}
	for _, name := range under(t, cache) {
		if strings.Contains(name, "6.12.8-cloud-amd64") || strings.Contains(name, "old") {
			t.Errorf("left: %s", name)
		}
	}
	if again, err := Clean(cache, CleanOptions{Most: CacheMost}); err != nil || len(again.Removed) > 0 || again.Left <= 0 || again.Left > 1<<20 {
		t.Errorf("the second time: %+v, %v", again, err)
	}
}

// TestFetchLeavesWhatWasJustUsed: another version of the program may still want it.
func TestFetchLeavesWhatWasJustUsed(t *testing.T) {
	cache := fakeCache(t, "toolchain/recent/a", "toolchain/older/a", "apt/x")
	usedAt(t, filepath.Join(cache, "toolchain/recent"), time.Hour)
	usedAt(t, filepath.Join(cache, "toolchain/older"), 25*time.Hour)
	var progress bytes.Buffer
	(&archive{dir: filepath.Join(cache, "apt"), progress: &progress}).cleanCache()
	if got := under(t, cache); !slices.Equal(got, []string{"apt/x", "toolchain/recent/a"}) {
		t.Errorf("left %q", got)
	}
	if got := progress.String(); !strings.Contains(got, "removed toolchain/older (") || strings.Count(got, "\n") != 1 {
		t.Errorf("said %q", got)
	}
}

func TestCleanAll(t *testing.T) {
	cache := fakeCache(t, "packages/any/a", "snapshots/amd64/a/state", "apt/index.json", "apt/lock", "kbuild/key/a", "kvm/a.json", "notes")
	fakeKernel(t, cache, "amd64", "6.12.9-cloud-amd64")
	inUse, err := use(kernelDir(cache, "amd64", "6.12.9-cloud-amd64"))
	if err != nil {
		t.Fatal(err)
	}
	done, err := Clean(cache, CleanOptions{All: true})
	if err != nil || len(done.Kept) != 1 || done.Kept[0].Why != "in use" {
		t.Errorf("kept %v, %v", done.Kept, err)
	}
	inUse()
	if done, err = Clean(cache, CleanOptions{All: true}); err != nil || len(done.Removed) != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	if got := under(t, cache); !slices.Contains(got, "notes") || slices.ContainsFunc(got, func(n string) bool { return strings.Contains(n, "/") }) {
		t.Errorf("left %q", got)
	}
}

func TestTidyRemovesTheLeastRecentlyUsed(t *testing.T) {
	dir := fakeCache(t, "a/x", "b/x", "c/x", "d", ".new-state", ".fetch-e/x", "other.txt")
	for i, name := range []string{"b", "d", "a", "other.txt", "c"} {
		usedAt(t, filepath.Join(dir, name), time.Duration(10-i)*time.Hour)
	}
	one := int64(0)
	for _, e := range []string{"a", "b", "c"} {
		c, err := openCleaner(dir)
		if err != nil {
			t.Fatal(err)
		}
		one = max(one, c.size(e))
		c.root.Close()
	}
	removed, err := tidy(dir, 3*one)
	if err != nil || !slices.Equal(removedNames(removed), []string{".fetch-e", "b", "d"}) && !slices.Equal(removedNames(removed), []string{".fetch-e", "b"}) {
		t.Fatalf("removed %v, %v", removed, err)
	}
	used(filepath.Join(dir, "a"))
	writeFile(t, filepath.Join(dir, "gone"+lockSuffix), "")
	writeFile(t, filepath.Join(dir, "gone"+useSuffix), "")
	if removed, err = tidy(dir, one); err != nil || exists(filepath.Join(dir, "c")) || !exists(filepath.Join(dir, "a")) {
		t.Errorf("removed %v, %v", removed, err)
	}
	if removed, err = tidy(dir, 0); err != nil || !slices.Equal(under(t, dir), []string{".new-state"}) {
		t.Errorf("removed %v, %v, left %q", removed, err, under(t, dir))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "[^.]*")); len(left) > 0 {
		t.Errorf("locks of nothing: %q", left)
	}
	if removed, err = tidy(filepath.Join(dir, "nosuch"), 0); err != nil || removed != nil {
		t.Errorf("of nothing: %v, %v", removed, err)
	}
}

// TestTidyHarmsNobody: what a cache may be like that it must not remove, or not follow.
func TestTidyHarmsNobody(t *testing.T) {
	outside := fakeCache(t, "a/precious", "b/c/precious")
	for _, c := range []struct {
		name    string
		names   []string
		prepare func(t *testing.T, dir string)
		left    []string
		err     error
	}{
		{name: "a link out", names: []string{"a -> " + outside + "/a"}},
		{name: "a link out by ..", names: []string{"a -> ../../../../../../../../" + outside}},
		{name: "a link to the root", names: []string{"a -> /"}},
		{name: "links out in a directory", names: []string{"a/b/c -> " + outside, "a/d -> .."}},
		{name: "a link to itself", names: []string{"a -> a", "b/b -> ../b"}},
		{name: "a hard link", prepare: func(t *testing.T, dir string) {
			if err := os.Link(filepath.Join(outside, "a/precious"), filepath.Join(dir, "a")); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a lock that is a link out", names: []string{"a/x", "a.lock -> " + outside + "/new"}, left: []string{"a/x"}, err: errAny},
		{name: "a lock that is a directory", names: []string{"a/x", "a.use/y"}, left: []string{"a/x", "a.use/y"}, err: unix.EISDIR},
		{name: "made by somebody", names: []string{"a/x"}, prepare: func(t *testing.T, dir string) { hold(t, filepath.Join(dir, "a"+lockSuffix)) }, left: []string{"a/x"}},
		{name: "used by somebody", names: []string{"a/x"}, prepare: func(t *testing.T, dir string) { keepUsing(t, filepath.Join(dir, "a")) }, left: []string{"a/x"}},
		{name: "being written", names: []string{".fetch-a/x"}, prepare: func(t *testing.T, dir string) { hold(t, filepath.Join(dir, "a"+lockSuffix)) }, left: []string{".fetch-a/x"}},
		{name: "another's", names: []string{"a/x"}, prepare: func(t *testing.T, dir string) { give(t, filepath.Join(dir, "a")) }, left: []string{"a/x"}},
		{name: "another's link", names: []string{"a -> " + outside}, prepare: func(t *testing.T, dir string) { give(t, filepath.Join(dir, "a")) }, left: []string{"a"}},
		{name: "not the lab's", names: []string{".git/config", ".hidden"}, left: []string{".git/config", ".hidden"}},
		{name: "a pipe and a name with a newline", names: []string{"a\nb/x"}, prepare: func(t *testing.T, dir string) {
			if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "no permission to look", names: []string{"a/b/x"}, prepare: func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, "a"), 0o300); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := fakeCache(t, c.names...)
			if c.prepare != nil {
				c.prepare(t, dir)
			}
			removed, err := tidy(dir, -1)
			if c.err == nil && err != nil && os.Geteuid() == 0 || c.err == errAny && err == nil || c.err != nil && c.err != errAny && !errors.Is(err, c.err) {
				t.Errorf("removed %v, error %v", removed, err)
			}
			if got := under(t, dir); os.Geteuid() == 0 && !slices.Equal(got, c.left) && !(len(got) == 1 && got[0] == "." && c.left == nil) {
				t.Errorf("left %q, want %q", got, c.left)
			}
			if got := under(t, outside); !slices.Equal(got, []string{"a/precious", "b/c/precious"}) {
				t.Fatalf("outside: %q", got)
			}
		})
	}
}

var errAny = errors.New("any")

// hold has a lock as a process does that makes something.
func hold(t *testing.T, lock string) {
	t.Helper()
	unlock, err := lockFile(t.Context(), lock, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlock)
}

func keepUsing(t *testing.T, dir string) {
	t.Helper()
	done, err := use(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
}

func give(t *testing.T, path string) {
	t.Helper()
	if err := os.Lchown(path, 4711, 4711); err != nil {
		t.Skip(err)
	}
}

// TestCleanByLinksOut: whole kinds of the cache may lie elsewhere, and stay.
func TestCleanByLinksOut(t *testing.T) {
	outside := fakeCache(t, "old/packages", "amd64/6.12.8-cloud-amd64/key/a")
	cache := fakeCache(t, "toolchain -> "+outside, "built -> "+outside, "kernels -> /", "specimens -> specimens", "kvm/a.json")
	done, err := Clean(cache, CleanOptions{All: true})
	if err != nil || !slices.Equal(removedNames(done.Removed), []string{"kvm/a.json"}) {
		t.Errorf("%+v, %v", done, err)
	}
	if got := under(t, outside); len(got) != 2 {
		t.Errorf("outside: %q", got)
	}
}

func TestCleanOfWhatIsDamaged(t *testing.T) {
	cache := fakeCache(t, "kernels/amd64/6.12.9-cloud-amd64/kernel.json", "toolchain/old/a")
	if _, err := Clean(cache, CleanOptions{Most: CacheMost}); err == nil || !strings.Contains(err.Error(), "6.12.9-cloud-amd64") {
		t.Errorf("a kernel with a damaged record: %v", err)
	}
	if done, err := Clean(filepath.Join(cache, "nosuch"), CleanOptions{}); err != nil || done.Left != 0 {
		t.Errorf("no cache: %+v, %v", done, err)
	}
	if _, err := Clean(filepath.Join(cache, "kernels/amd64/6.12.9-cloud-amd64/kernel.json"), CleanOptions{}); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("a file: %v", err)
	}
}

// TestTidyWhileOthersWork: several clean, use, make and remove the same at once: nobody finds a
// part, nobody fails.
func TestTidyWhileOthersWork(t *testing.T) {
	dir := t.TempDir()
	entry := filepath.Join(dir, "entry")
	makeEntry := func() error {
		unlock, err := lockFile(t.Context(), entry+lockSuffix, &bytes.Buffer{})
		if err != nil {
			return err
		}
		defer unlock()
		if exists(entry) {
			return nil
		}
		return assemble(entry, "entry", func(_, root string) error {
			return errors.Join(os.WriteFile(filepath.Join(root, "first"), nil, 0o644), os.WriteFile(filepath.Join(root, "last"), nil, 0o644))
		})
	}
	useEntry := func() error {
		done, err := use(entry)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer done()
		for _, name := range []string{"first", "last"} {
			if _, err := os.Stat(filepath.Join(entry, name)); err != nil {
				return fmt.Errorf("in use: %w", err)
			}
			runtime.Gosched()
		}
		return nil
	}
	removals := 0
	cleanUp := func() error {
		removed, err := tidy(dir, -1)
		removals += len(removed)
		return err
	}
	var all sync.WaitGroup
	defer all.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for _, work := range []func() error{makeEntry, makeEntry, useEntry, useEntry} {
		all.Go(func() {
			for ctx.Err() == nil && !t.Failed() {
				if err := work(); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Duration(mathrand.IntN(2000)) * time.Microsecond) // it is not used all the time
			}
		})
	}
	for end := time.Now().Add(2 * time.Minute); removals < 50 && !t.Failed(); {
		if err := cleanUp(); err != nil {
			t.Error(err)
		}
		if time.Now().After(end) {
			t.Fatalf("removed %d times", removals)
		}
	}
}

// TestKernelOfAMachineStays: a machine marks its kernel, and the modules that it brings along.
func TestKernelOfAMachineStays(t *testing.T) {
	const release = "6.12.8-cloud-amd64"
	cache := fakeCache(t, "built/amd64/"+release+"/key/hello.ko", "specimens/amd64/"+release+" -> ../../built/amd64/"+release+"/key")
	fakeKernel(t, cache, "amd64", release)
	fakeKernel(t, cache, "amd64", "6.12.9-cloud-amd64")
	k, err := readKernel(kernelDir(cache, "amd64", release))
	if err != nil {
		t.Fatal(err)
	}
	done, err := Machine{Kernel: k, Cache: cache, Files: []File{{Host: filepath.Join(cache, "specimens/amd64", release)}, {Host: "/etc/passwd"}, {Host: "/nosuch"}}}.use()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Clean(cache, CleanOptions{All: true}); err != nil || len(got.Kept) < 2 || !exists(k.Modules) || !exists(filepath.Join(cache, "built/amd64", release, "key/hello.ko")) {
		t.Errorf("%+v, %v", got, err)
	}
	done()
	if got, err := Clean(cache, CleanOptions{All: true}); err != nil || len(got.Kept) > 0 || exists(k.Modules) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := (Machine{Kernel: k, Cache: cache}).use(); err != nil {
		t.Errorf("of a kernel that is not in a cache: %v", err)
	}
}
