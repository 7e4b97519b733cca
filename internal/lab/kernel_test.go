package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSeriesOf(t *testing.T) {
	for release, want := range map[string]string{
		"6.12.117+deb12-cloud-amd64": "6.12",
		"5.10.0-46-cloud-amd64":      "5.10",
		"7.3":                        "7.3",
		"":                           "",
		"newest":                     "",
		"6":                          "",
		"v6.12":                      "",
		".6.12":                      "",
	} {
		got, ok := seriesOf(release)
		if got != want || ok != (want != "") {
			t.Errorf("seriesOf(%q) = %q, %v, want %q", release, got, ok, want)
		}
	}
}

func TestCompareReleasesOrdersAsKernelsGrow(t *testing.T) {
	ordered := []string{
		"5.10.0-9-cloud-amd64",
		"5.10.0-46-cloud-amd64",
		"6.1.0-0.deb11.52-cloud-amd64",
		"6.1.0-56-cloud-amd64",
		"6.9.1",
		"6.12.99+deb12-cloud-amd64",
		"6.12.117+deb12-cloud-amd64",
		"6.12.117+deb13-cloud-amd64",
		"7.2.13+deb14-cloud-amd64",
		"7.3.4+deb13-cloud-amd64",
		"18446744073709551616.1", // one more than fits in 64 bits
	}
	for i, a := range ordered[:len(ordered)-1] {
		for _, b := range ordered[i+1 : len(ordered)-1] {
			if compareReleases(a, b) >= 0 || compareReleases(b, a) <= 0 {
				t.Errorf("%q should be older than %q", a, b)
			}
		}
	}
	for _, r := range ordered {
		if compareReleases(r, r) != 0 {
			t.Errorf("%q differs from itself", r)
		}
	}
}

// cacheWith makes a cache whose kernels have records, and nothing else.
func cacheWith(t *testing.T, arch string, releases ...string) string {
	t.Helper()
	cache := t.TempDir()
	for _, release := range releases {
		series, _ := seriesOf(release)
		writeFile(t, filepath.Join(kernelDir(cache, arch, release), kernelRecord),
			`{"release":"`+release+`","series":"`+series+`","arch":"`+arch+`","image":"boot/vmlinuz","modules":"lib/modules/x","config":"boot/config"}`)
	}
	return cache
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestFindKernel(t *testing.T) {
	cache := cacheWith(t, "arm64", "6.1.0-56-cloud-arm64", "6.12.99-cloud-arm64", "6.12.117-cloud-arm64", "99.1.0-cloud-arm64")
	for wanted, release := range map[string]string{
		"6.12":                 "6.12.117-cloud-arm64",
		"6.1":                  "6.1.0-56-cloud-arm64",
		"6.12.99-cloud-arm64":  "6.12.99-cloud-arm64",
		Newest:                 "99.1.0-cloud-arm64",
		"6.12.117-cloud-arm64": "6.12.117-cloud-arm64",
	} {
		k, err := FindKernel(cache, wanted, "arm64")
		if err != nil || k.Release != release {
			t.Errorf("FindKernel(%q) = %q, %v, want %q", wanted, k.Release, err, release)
		}
		if want := filepath.Join(kernelDir(cache, "arm64", release), "boot", "vmlinuz"); err == nil && k.Image != want {
			t.Errorf("image %q, want %q", k.Image, want)
		}
	}
}

func TestFindKernelSaysHowToGetOne(t *testing.T) {
	_, err := FindKernel(cacheWith(t, "arm64", "6.1.0-56-cloud-arm64"), "6.12", "arm64")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v is not fs.ErrNotExist", err)
	}
	if err == nil || !strings.Contains(err.Error(), "kmodtrace lab fetch --arch arm64 6.12") {
		t.Errorf("error %v does not say how to fetch it", err)
	}
}

func TestFindKernelRefusesBadNames(t *testing.T) {
	cache := t.TempDir()
	bad := []string{
		"", " ", "6", "latest", "../../etc", "6.12/../../etc", "6.12; rm -rf /", "6.12\n", "-6.12",
		"\xff\xfe", "6.1\x00", "6.12" + strings.Repeat("x", 4096), "$(id)",
	}
	for _, wanted := range bad {
		_, err := FindKernel(cache, wanted, "amd64")
		if err == nil || errors.As(err, new(*NotFetchedError)) {
			t.Errorf("FindKernel(%.20q) = %v, want a refusal of the name", wanted, err)
		} else if strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
			t.Errorf("FindKernel(%.20q): error of %d bytes is not one short line", wanted, len(err.Error()))
		}
	}
	for _, arch := range []string{"", "x86_64", "../amd64", "riscv64"} {
		if _, err := FindKernel(cache, "6.12", arch); err == nil || errors.As(err, new(*NotFetchedError)) {
			t.Errorf("FindKernel for architecture %q = %v, want a refusal", arch, err)
		}
	}
}

func TestKernelsLeavesOutWhatIsNotWhole(t *testing.T) {
	cache := cacheWith(t, "arm64", "6.1.0-56-cloud-arm64")
	writeFile(t, filepath.Join(kernelDir(cache, "arm64", "6.12.1-cloud-arm64"), "boot", "vmlinuz"), "no record yet")
	writeFile(t, filepath.Join(kernelDir(cache, "arm64", ".fetch-123"), "root", "boot", "vmlinuz"), "under way")
	kernels, err := fetchedKernels(cache)
	if err != nil || len(kernels) != 1 || kernels[0].Release != "6.1.0-56-cloud-arm64" {
		t.Errorf("fetchedKernels = %v, %v, want the one that has a record", kernels, err)
	}
}

func TestKernelsNamesABrokenRecord(t *testing.T) {
	for _, text := range []string{"", "{", "null garbage", "\x00\x00"} {
		cache := t.TempDir()
		dir := kernelDir(cache, "amd64", "6.12.1")
		writeFile(t, filepath.Join(dir, kernelRecord), text)
		if _, err := Kernels(cache); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("record %q: error %v does not name its directory", text, err)
		}
	}
}

func TestKernelsOfAnEmptyCache(t *testing.T) {
	if _, err := Kernels(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Errorf("a cache that does not exist yet: %v", err)
	}
}

func TestInstalledKernels(t *testing.T) {
	root := t.TempDir()
	for _, release := range []string{"6.1.0-56-amd64", "6.12.1-amd64"} {
		writeFile(t, filepath.Join(root, "boot", "vmlinuz-"+release), "image")
	}
	writeFile(t, filepath.Join(root, "boot", "vmlinuz-old"), "not a release")
	writeFile(t, filepath.Join(root, "lib", "modules", "6.1.0-56-amd64", "modules.dep"), "")
	writeFile(t, filepath.Join(root, "usr", "src", "linux-headers-6.1.0-56-amd64", "Makefile"), "")

	kernels, err := installedKernels(root, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	releases := []string{}
	for _, k := range kernels {
		releases = append(releases, k.Release)
	}
	if !slices.Equal(releases, []string{"6.1.0-56-amd64"}) {
		t.Errorf("installed kernels %q, want only the one that has modules", releases)
	}
	if len(kernels) > 0 && kernels[0].Headers != root {
		t.Errorf("headers %q, want %q", kernels[0].Headers, root)
	}
}

func TestCacheDir(t *testing.T) {
	t.Setenv("KMODTRACE_CACHE", "relative/directory")
	if dir, err := CacheDir(); err != nil || !filepath.IsAbs(dir) || !strings.HasSuffix(dir, "relative/directory") {
		t.Errorf("CacheDir() = %q, %v, want the directory of KMODTRACE_CACHE, absolute", dir, err)
	}
	t.Setenv("KMODTRACE_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if dir, err := CacheDir(); err == nil {
		t.Errorf("CacheDir() = %q without a home, want an error", dir)
	}
}
