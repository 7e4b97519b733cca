package lab

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

// CacheMost is how many bytes the cache may take on the disk, unless [CleanOptions] say otherwise.
const CacheMost int64 = 20 << 30

// unusedFor is how long what is superseded stays when a fetch cleans up: another version of this
// program, or a run that has begun, may still want it.
const unusedFor = 24 * time.Hour

// CleanOptions say what goes beside what is superseded or half-written.
type CleanOptions struct {
	All  bool  // everything that nobody uses now
	Most int64 // the least recently used, until the cache takes no more bytes than this
}

// Cleaned is what [Clean] did.
type Cleaned struct {
	Removed []Removed
	Kept    []Removed // what should go and did not, and why
	Left    int64     // bytes that the cache takes now
}

// Clean removes from the cache what no current kernel or recipe needs: kernels that a newer one of
// their series replaces, with their headers and what was built for them; compilers and systems
// of another recipe; what killed runs left half-written. What another process uses stays, and so does
// whatever a link leads to outside the cache.
func Clean(cache string, o CleanOptions) (Cleaned, error) {
	return clean(cache, o, 0)
}

func clean(cache string, o CleanOptions, unusedFor time.Duration) (Cleaned, error) {
	c, err := openCleaner(cache)
	if errors.Is(err, fs.ErrNotExist) {
		return Cleaned{}, nil
	}
	if err != nil {
		return Cleaned{}, err
	}
	defer c.root.Close()
	errs := []error{c.removeHalves(append(cachePatterns(), "kernels/*/*/*", "kvm/*", "apt/*")...)}
	errs = append(errs, c.removeSuperseded(cache, unusedFor))
	if o.All {
		for _, name := range c.names(append(cachePatterns(), "kvm/*", "kbuild/*", "apt")...) {
			_, err := c.remove(name, "all was to go")
			errs = append(errs, err)
		}
	} else {
		errs = append(errs, c.removeOldest(cachePatterns(), o.Most))
	}
	c.removeLocks(cachePatterns()...)
	c.removeDangling()
	return Cleaned{Removed: c.removed, Kept: c.kept, Left: c.size(".")}, errors.Join(errs...)
}

// cleanCache removes what a fetch has superseded, and what is too much. It says what it
// removed; that something cannot be removed is no reason for the fetch to fail.
func (a *archive) cleanCache() {
	done, err := clean(filepath.Dir(a.dir), CleanOptions{Most: CacheMost}, unusedFor)
	for _, r := range done.Removed {
		fmt.Fprintf(a.progress, "removed %s (%s): %s\n", r.Name, formatSize(r.Size), r.Why)
	}
	if err != nil {
		fmt.Fprintf(a.progress, "cannot clean the cache: %v\n", err)
	}
}

// cachePatterns match what is made, and removed, as a whole.
func cachePatterns() []string {
	return []string{"kernels/*/*", "built/*/*/*", "toolchain/*", "guest/*/*", "userland/*/*", "packages/*", "snapshots/*/*"}
}

// removeSuperseded removes what a newer kernel or recipe replaces and nobody has used for a time.
func (c *cleaner) removeSuperseded(cache string, unusedFor time.Duration) error {
	var errs []error
	remove := func(name, why string) {
		if time.Since(c.lastUse(name)) >= unusedFor {
			_, err := c.remove(name, why)
			errs = append(errs, err)
		}
	}
	fetched, err := fetchedKernels(cache)
	if err != nil {
		return fmt.Errorf("clean: %w", err)
	}
	for _, k := range fetched {
		if by := newest(fetched, k); by != k.Release {
			remove(path.Join("kernels", k.Arch, k.Release), "superseded by "+by)
		}
	}
	for kind, recipe := range currentRecipes() {
		for _, name := range c.names(kind) {
			if !slices.Contains(recipe, path.Base(name)) {
				remove(name, "of another recipe")
			}
		}
	}
	kernels, err := Kernels(cache)
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("clean: %w", err))...)
	}
	const gone = "its kernel is gone"
	for _, name := range c.names("built/*/*/*", "specimens/*/*") {
		parts := strings.Split(name, "/")
		if !slices.ContainsFunc(kernels, func(k Kernel) bool { return k.Arch == parts[1] && k.Release == parts[2] }) {
			remove(name, gone)
		}
	}
	for _, name := range c.names("kvm/*") {
		of := func(k Kernel) bool {
			return strings.HasPrefix(path.Base(name), strings.TrimSuffix(verdictName(k.Release), ".json"))
		}
		if !slices.ContainsFunc(kernels, of) {
			remove(name, gone)
		}
	}
	return errors.Join(errs...)
}

// flavour is the end of a release that says what kind of kernel it is: "-cloud-amd64".
var flavour = lazyregexp.New(`(-[a-z][a-z0-9]*)*$`)

// newest is the highest release of a kernel's series, architecture and flavour.
func newest(kernels []Kernel, like Kernel) string {
	best := like.Release
	for _, k := range kernels {
		if k.Arch == like.Arch && k.Series == like.Series && flavour.FindString(k.Release) == flavour.FindString(like.Release) &&
			compareReleases(k.Release, best) > 0 {
			best = k.Release
		}
	}
	return best
}

// currentRecipes are the names that this program gives to what it makes, by pattern.
func currentRecipes() map[string][]string {
	return map[string][]string{
		"toolchain/*":  {listIdentity(toolchainPackages(runtime.GOARCH))},
		"guest/*/*":    {listIdentity(guestPackages())},
		"userland/*/*": {userlandIdentity(guestSuite), userlandIdentity(suiteBefore)},
	}
}

// removeDangling removes links to specimens that are gone, and directories that have become empty.
func (c *cleaner) removeDangling() {
	for _, name := range c.names("specimens/*/*") {
		target, err := c.root.Readlink(name)
		if err != nil || filepath.IsAbs(target) {
			continue
		}
		if _, err := c.root.Lstat(path.Join(path.Dir(name), target)); errors.Is(err, fs.ErrNotExist) {
			_ = c.root.Remove(name)
		}
	}
	empty := c.names("kernels/*", "built/*/*", "built/*", "guest/*", "userland/*", "specimens/*", "snapshots/*")
	slices.SortFunc(empty, func(a, b string) int { return cmp.Compare(strings.Count(b, "/"), strings.Count(a, "/")) })
	for _, name := range empty {
		_ = c.root.Remove(name) // not one that has something in it
	}
}
