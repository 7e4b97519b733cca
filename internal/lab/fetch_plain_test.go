//go:build !race

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scratchFetches is an empty cache that has the package index of the user's own, so that a test
// downloads the package it is about and nothing else. It has apt's lists only of the suites with
// these series, or all for the series "": apt takes seconds to read all.
func scratchFetches(t *testing.T, series ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("downloads packages")
	}
	cache, err := CacheDir()
	if err != nil {
		t.Skipf("needs a cache: %v", err)
	}
	offers, err := Offers(t.Context(), cache, "amd64", io.Discard)
	if err != nil {
		t.Skipf("needs Debian's package indexes: %v", err)
	}
	wanted := func(name string) bool {
		return slices.ContainsFunc(series, func(s string) bool {
			o, ok := choose(offers, s)
			return s == "" || ok && strings.Contains(name, "_dists_"+o.image[0].Suite+"_")
		})
	}
	scratch := t.TempDir()
	if err := linkTree(filepath.Join(cache, "apt"), filepath.Join(scratch, "apt"), wanted); err != nil {
		t.Skipf("needs a copy of the package indexes: %v", err)
	}
	return scratch
}

// linkTree copies a tree by hard links, leaving out what is locked or private, and what of apt's
// lists is not wanted.
func linkTree(from, to string, wanted func(name string) bool) error {
	return filepath.WalkDir(from, func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, p)
		switch {
		case err != nil:
			return err
		case entry.Name() == "partial" || entry.Name() == "auxfiles":
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, relative), 0o755)
		case filepath.Ext(p) == ".bin" || strings.HasPrefix(entry.Name(), "lock") || filepath.Dir(relative) == "lists" && !wanted(entry.Name()):
			return nil
		}
		return os.Link(p, filepath.Join(to, relative))
	})
}

// TestTwoFetchesOfOneKernelAtOnce, and by an index that the mirror has outgrown: it is read again,
// and the kernel is downloaded once.
func TestTwoFetchesOfOneKernelAtOnce(t *testing.T) {
	t.Parallel()
	cache := scratchFetches(t, "") // all are read again
	release := outgrow(t, cache, "5.10")
	var all sync.WaitGroup
	var progress [2]bytes.Buffer
	for i := range progress {
		all.Go(func() {
			k, err := EnsureKernel(t.Context(), cache, "5.10", "amd64", &progress[i])
			if err != nil || k.Release != release {
				t.Errorf("EnsureKernel = %q, %v, want %q", k.Release, err, release)
				return
			}
			checkBootable(t, k)
		})
	}
	all.Wait()
	said := progress[0].String() + progress[1].String()
	if strings.Count(said, "fetched kernel") != 1 {
		t.Errorf("want one download, got:\n%s", said)
	}
	if !strings.Contains(said, "trying again") {
		t.Errorf("said nothing of the second try:\n%s", said)
	}
	left, err := filepath.Glob(filepath.Join(cache, "kernels", "amd64", ".fetch-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind %q, %v", left, err)
	}
}

// outgrow makes the index name a version of a series' kernel that the mirror no longer has, and
// gives the release that it offered.
func outgrow(t *testing.T, cache, series string) string {
	t.Helper()
	path := filepath.Join(cache, "apt", "index.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	k, ok := choose(mustParse(t, text).offers("amd64", "amd64"), series)
	if !ok {
		t.Skipf("%s is not offered here", series)
	}
	old := bytes.ReplaceAll(text, []byte(`"`+k.image[0].Version+`"`), []byte(`"0-gone"`))
	if err := replaceFile(path, old); err != nil {
		t.Fatal(err)
	}
	return k.Release
}

// checkBootable looks at what a machine needs of a kernel.
func checkBootable(t *testing.T, k Kernel) {
	t.Helper()
	image, err := os.ReadFile(k.Image)
	if err != nil || len(image) < 1<<20 {
		t.Errorf("image of %d bytes, %v", len(image), err)
	}
	deps, err := os.ReadFile(filepath.Join(k.Modules, "modules.dep"))
	if err != nil || !strings.Contains(string(deps), "/dummy.ko") {
		t.Errorf("modules.dep of %d bytes without dummy, %v", len(deps), err)
	}
	config, err := os.ReadFile(k.Config)
	if err != nil || !strings.Contains(string(config), "\nCONFIG_MODULES=y\n") {
		t.Errorf("configuration of %d bytes without modules, %v", len(config), err)
	}
}

func TestInterruptedFetchLooksLikeNone(t *testing.T) {
	t.Parallel()
	cache := scratchFetches(t, "6.12")
	// The kernel is chosen first, so that what is interrupted is the download.
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped by the test")
	progress := &trigger{word: "fetching kernel", action: func() {
		time.AfterFunc(100*time.Millisecond, func() { cancel(stop) })
	}}
	if _, err := EnsureKernel(ctx, cache, "6.12", "amd64", progress); !errors.Is(err, stop) {
		t.Errorf("EnsureKernel = %v, want the reason of the interruption", err)
	}
	if _, err := FindKernel(cache, "6.12", "amd64"); !errors.As(err, new(*NotFetchedError)) {
		t.Errorf("FindKernel = %v, want a kernel that is not here", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "kernels", "amd64", ".fetch-*")); len(left) > 0 {
		t.Errorf("left behind %q", left)
	}
}

// trigger is a writer that acts when it first sees a word.
type trigger struct {
	word   string
	once   sync.Once
	action func()
}

func (w *trigger) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.word) {
		w.once.Do(w.action)
	}
	return len(p), nil
}

func TestFetchOfWhatNobodyOffers(t *testing.T) {
	t.Parallel()
	cache := scratchFetches(t)
	for _, wanted := range []string{"6.99", "2.6", "6.12.0-never-amd64"} {
		_, err := EnsureKernel(t.Context(), cache, wanted, "amd64", io.Discard)
		if err == nil || !strings.Contains(err.Error(), wanted) || !strings.Contains(err.Error(), "6.1") {
			t.Errorf("%s: error %v does not say what is offered instead", wanted, err)
		}
	}
}

func TestFetchOntoAFullDisk(t *testing.T) {
	t.Parallel()
	cache := scratchFetches(t, "5.10")
	small := mountTmpfs(t, "size=30m")
	if err := os.Symlink(small, filepath.Join(cache, "kernels")); err != nil {
		t.Fatal(err)
	}
	_, err := EnsureKernel(t.Context(), cache, "5.10", "amd64", io.Discard)
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("EnsureKernel = %v, want ENOSPC", err)
	}
	if _, err := FindKernel(cache, "5.10", "amd64"); err == nil {
		t.Error("a kernel that did not fit is offered")
	}
}

// TestFetchWithoutANetwork runs once more in a process of its own, whose environment says that the
// network is reached where nobody listens: apt waits between its tries, beside other tests.
func TestFetchWithoutANetwork(t *testing.T) {
	const nowhere = "http://127.0.0.1:1"
	if os.Getenv("http_proxy") == nowhere {
		fetchWithoutANetwork(t)
		return
	}
	t.Parallel()
	scratchFetches(t) // or the reason why not
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFetchWithoutANetwork$", "-test.v")
	cmd.Env = os.Environ()
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		cmd.Env = append(cmd.Env, name+"="+nowhere)
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestFetchWithoutANetwork") {
		t.Errorf("%v\n%s", err, out)
	}
}

func fetchWithoutANetwork(t *testing.T) {
	t.Helper()
	cache := scratchFetches(t, "5.10")
	_, err := EnsureKernel(t.Context(), cache, "5.10", "amd64", io.Discard)
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "linux-image-5.10") {
		t.Errorf("EnsureKernel = %v, want one line that names the package", err)
	}
	k, err := EnsureKernel(t.Context(), cacheWith(t, "amd64", "99.1.2-here"), Newest, "amd64", io.Discard)
	if err != nil || k.Release != "99.1.2-here" {
		t.Errorf("the newest without a network: %q, %v, want the one that is here", k.Release, err)
	}
}

func mustParse(t *testing.T, text []byte) *index {
	t.Helper()
	var ix index
	if err := json.Unmarshal(text, &ix); err != nil {
		t.Fatal(err)
	}
	return &ix
}
