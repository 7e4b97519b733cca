package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

// Newest is the name of the kernel with the highest release, in every place
// that takes a series or a release.
const Newest = "newest"

// Kernel is an unmodified distribution kernel that the lab can boot.
type Kernel struct {
	Release string `json:"release"`           // as uname -r prints it, "6.12.117+deb12-cloud-amd64"
	Series  string `json:"series"`            // the first two numbers of the release, "6.12"
	Arch    string `json:"arch"`              // GOARCH: "amd64" or "arm64"
	Image   string `json:"image"`             // its vmlinuz
	Modules string `json:"modules"`           // the directory that the guest sees as /lib/modules/<Release>; depmod has run
	Config  string `json:"config"`            // its .config
	Headers string `json:"headers,omitempty"` // root directory holding its headers (usr/src, usr/lib), "" when not fetched
}

// Kernels lists the kernels that can be booted now, oldest first: those in the
// cache, complete ones only, and those that the user has installed in /boot.
// Where both have the same release, the cache's is listed.
func Kernels(cache string) ([]Kernel, error) {
	fetched, err := fetchedKernels(cache)
	if err != nil {
		return nil, err
	}
	installed, err := installedKernels("/", runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	all := fetched
	for _, k := range installed {
		same := func(f Kernel) bool { return f.Release == k.Release && f.Arch == k.Arch }
		if !slices.ContainsFunc(fetched, same) {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b Kernel) int {
		if c := compareReleases(a.Release, b.Release); c != 0 {
			return c
		}
		return strings.Compare(a.Arch, b.Arch)
	})
	return all, nil
}

// FindKernel finds a kernel that can be booted now. Wanted is a series
// ("6.12"), a whole release, or Newest; of several that fit, the one with the
// highest release is taken. It fetches nothing: see EnsureKernel. When there is
// no such kernel, the error is a *NotFetchedError and says how to get it.
func FindKernel(cache, wanted, arch string) (Kernel, error) {
	if err := checkWanted(wanted, arch); err != nil {
		return Kernel{}, err
	}
	kernels, err := Kernels(cache)
	if err != nil {
		return Kernel{}, err
	}
	for _, k := range slices.Backward(kernels) {
		if k.Arch == arch && k.matches(wanted) {
			return k, nil
		}
	}
	return Kernel{}, &NotFetchedError{Wanted: wanted, Arch: arch}
}

func (k Kernel) matches(wanted string) bool {
	return wanted == Newest || wanted == k.Series || wanted == k.Release
}

// NotFetchedError says that a kernel is not on this machine. It is
// fs.ErrNotExist for errors.Is.
type NotFetchedError struct {
	Wanted string // a series, a release or Newest
	Arch   string
}

func (e *NotFetchedError) Error() string {
	return fmt.Sprintf("no %s kernel %q here: fetch it with: kmodtrace lab fetch --arch %s %s", e.Arch, e.Wanted, e.Arch, e.Wanted)
}

func (e *NotFetchedError) Is(target error) bool { return target == fs.ErrNotExist }

// wantedName is what a series or release may look like: a name that is safe in a
// path, in a package name and on a command line.
var wantedName = lazyregexp.New(`^[0-9]+\.[0-9]+[0-9A-Za-z.+~_-]{0,100}$`)

func checkWanted(wanted, arch string) error {
	if wanted != Newest && !wantedName.MatchString(wanted) {
		return fmt.Errorf("kernel %.60q: must be a series such as 6.12, a whole release, or %s", wanted, Newest)
	}
	if arch != "amd64" && arch != "arm64" {
		return fmt.Errorf("architecture %.20q: must be amd64 or arm64", arch)
	}
	return nil
}

// installedKernels lists the kernels in root's /boot that have a module tree.
func installedKernels(root, arch string) ([]Kernel, error) {
	images, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if err != nil {
		return nil, fmt.Errorf("list installed kernels: %w", err)
	}
	var kernels []Kernel
	for _, image := range images {
		release := strings.TrimPrefix(filepath.Base(image), "vmlinuz-")
		series, ok := seriesOf(release)
		modules := filepath.Join(root, "lib", "modules", release)
		if !ok || !exists(filepath.Join(modules, "modules.dep")) {
			continue
		}
		k := Kernel{
			Release: release,
			Series:  series,
			Arch:    arch,
			Image:   image,
			Modules: modules,
			Config:  filepath.Join(root, "boot", "config-"+release),
		}
		if exists(filepath.Join(root, "usr", "src", "linux-headers-"+release, "Makefile")) {
			k.Headers = root
		}
		kernels = append(kernels, k)
	}
	return kernels, nil
}

// seriesOf gives the first two numbers of a release: "6.12" of
// "6.12.117+deb12-cloud-amd64". It says no to a name that does not begin so.
func seriesOf(release string) (string, bool) {
	m := seriesPrefix.FindString(release)
	return m, m != ""
}

var seriesPrefix = lazyregexp.New(`^[0-9]+\.[0-9]+`)

// compareReleases orders releases by their runs of digits as numbers and the
// rest as text, so that 6.9 comes before 6.12.
func compareReleases(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a = cutRun(a)
		y, b = cutRun(b)
		if c := compareRuns(x, y); c != 0 {
			return c
		}
	}
	return len(a) - len(b)
}

// cutRun splits off the leading run of digits, or of anything else.
func cutRun(s string) (run, rest string) {
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	i := 1
	for i < len(s) && digit(s[i]) == digit(s[0]) {
		i++
	}
	return s[:i], s[i:]
}

func compareRuns(x, y string) int {
	m, errX := strconv.ParseUint(x, 10, 64)
	n, errY := strconv.ParseUint(y, 10, 64)
	if errX == nil && errY == nil && m != n {
		if m < n {
			return -1
		}
		return 1
	}
	return strings.Compare(x, y)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist) && err == nil
}
