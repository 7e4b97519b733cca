package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func parseIndex(t *testing.T, text, suite string) *index {
	t.Helper()
	ix := &index{}
	if err := ix.parse(strings.NewReader(text), suite); err != nil {
		t.Fatal(err)
	}
	return ix
}

func stanza(name, arch, version, depends string, size int) string {
	return fmt.Sprintf("Package: %s\nSource: linux\nVersion: %s\nInstalled-Size: 1\nArchitecture: %s\nDepends: %s\nDescription: x\n Package: not a field\nSize: %d\n\n",
		name, version, arch, depends, size)
}

func TestIndexParse(t *testing.T) {
	text := stanza("linux-image-6.1.0-56-cloud-amd64", "amd64", "6.1.192-2", "kmod, linux-base (>= 4.3~), a (>= 1) | b, c:any [amd64]", 26713492)
	want := []pkg{{
		Name: "linux-image-6.1.0-56-cloud-amd64", Arch: "amd64", Version: "6.1.192-2", Suite: "bookworm",
		Size: 26713492, Depends: []string{"kmod", "linux-base", "a", "c"},
	}}
	others := stanza("zlib1g", "amd64", "1", "", 1)
	for name, text := range map[string]string{
		"alone":               text,
		"among others":        others + text + others,
		"without a last line": strings.TrimRight(text, "\n"),
		"blank lines":         "\n\n\n" + text + "\n\n",
		"a field of a MiB":    "Package: junk\nTag: " + strings.Repeat("x", 1<<20) + "\n\n" + text,
		"its own huge field":  strings.Replace(text, "Installed-Size: 1", "Tag: "+strings.Repeat("y", 1<<17), 1),
		"binary before":       "\x00\xff\xfe\n\n" + text,
	} {
		if diff := cmp.Diff(want, parseIndex(t, text, "bookworm").Packages); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestIndexParseKeepsNoHalfPackage(t *testing.T) {
	for _, text := range []string{"", "Package: linux-image-1", "Package: linux-image-1\nVersion: 1\n", "Package: \nVersion: 1\nArchitecture: amd64\n"} {
		if got := parseIndex(t, text, "sid").Packages; len(got) != 0 {
			t.Errorf("%q gave %+v", text, got)
		}
	}
}

func TestIndexParseReportsABrokenList(t *testing.T) {
	broken := errors.New("disk on fire")
	r := io.MultiReader(strings.NewReader("Package: linux-image-1\n"), iotest.ErrReader(broken))
	if err := (&index{}).parse(r, "sid"); !errors.Is(err, broken) {
		t.Errorf("parse = %v, want %v", err, broken)
	}
}

func TestGuestToolsComeFromOneSuite(t *testing.T) {
	name := guestPackages()[0]
	if got := parseIndex(t, stanza(name, "arm64", "1", "", 1), "sid").Packages; len(got) != 0 {
		t.Errorf("kept %+v of another suite", got)
	}
	if got := parseIndex(t, stanza(name, "arm64", "1", "", 1), guestSuite).Packages; len(got) != 1 {
		t.Errorf("lost %s of %s", name, guestSuite)
	}
}

func TestReadIndexRefusesOldAndForeignOnes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.json")
	ix := &index{Origin: "these", Packages: []pkg{{Name: "linux-base", Arch: "all", Version: "1"}}}
	if err := ix.write(path); err != nil {
		t.Fatal(err)
	}
	got, err := readIndex(path, "these")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ix, got); diff != "" {
		t.Error(diff)
	}
	if _, err := readIndex(path, "others"); err == nil {
		t.Error("an index of other sources was taken")
	}
	for _, age := range []time.Duration{indexAge + time.Minute, -time.Hour} {
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		if _, err := readIndex(path, "these"); err == nil {
			t.Errorf("an index of age %v was taken", age)
		}
	}
	writeFile(t, path, `{"packages": [`)
	if _, err := readIndex(path, ""); err == nil {
		t.Error("half an index was taken")
	}
}

// splitKernel is a kernel as Debian packages it from 7.x.
func splitKernel(release, version, arch string) string {
	parts := []string{"linux-base-" + release, "linux-binary-" + release, "linux-modules-" + release}
	text := stanza("linux-image-"+release, arch, version, "linux-initramfs-tool, "+strings.Join(parts, " (= "+version+"), "), 1)
	for _, part := range parts {
		text += stanza(part, arch, version, "", 10)
	}
	return text
}

func headersOf(release, version, arch string) string {
	common := strings.TrimSuffix(release, "-cloud-"+arch) + "-common"
	return stanza("linux-headers-"+release, arch, version, "linux-headers-"+common+" (= "+version+"), linux-kbuild-x, gcc-14", 100) +
		stanza("linux-headers-"+common, "all", version, "", 100) +
		stanza("linux-kbuild-x", "amd64", version, "", 100)
}

func TestOffers(t *testing.T) {
	const split, whole = "7.3.4+deb13-cloud-amd64", "6.12.117+deb13-cloud-amd64"
	text := splitKernel(split, "7.3.4-1", "amd64") + headersOf(split, "7.3.4-1", "amd64") +
		stanza("linux-image-"+whole, "amd64", "6.12.117-1", "kmod, linux-base", 34) + headersOf(whole, "6.12.117-1", "amd64")
	offers := parseIndex(t, text, "trixie").offers("amd64", "amd64")
	if len(offers) != 2 || offers[0].Release != whole || offers[1].Release != split {
		t.Fatalf("offers %+v, want %s and %s", offers, whole, split)
	}
	if offers[0].Size != 34 || offers[1].Size != 31 || offers[1].Headers != 300 {
		t.Errorf("sizes %d, %d, headers %d", offers[0].Size, offers[1].Size, offers[1].Headers)
	}
	if got := len(offers[1].image); got != 4 {
		t.Errorf("%d packages make the split kernel, want 4", got)
	}
}

func TestOffersLeavesOutWhatIsNotWhole(t *testing.T) {
	const release = "7.3.4+deb13-cloud-amd64"
	image, headers := splitKernel(release, "7.3.4-1", "amd64"), headersOf(release, "7.3.4-1", "amd64")
	for name, text := range map[string]string{
		"no headers":              image,
		"headers of another":      image + headersOf(release, "7.3.4-2", "amd64"),
		"no common headers":       image + strings.Replace(headers, "Package: linux-headers-7.3.4+deb13-common", "Package: other", 1),
		"no kbuild":               image + strings.Replace(headers, "Package: linux-kbuild-x", "Package: other", 1),
		"no vmlinuz":              strings.Replace(image, "Package: linux-binary-", "Package: linux-gone-", 1) + headers,
		"not a cloud kernel":      stanza("linux-image-6.1.0-56-amd64", "amd64", "1", "", 1),
		"an empty image name":     stanza("linux-image-", "amd64", "1", "", 1),
		"not a release":           stanza("linux-image-x-cloud-amd64", "amd64", "1", "", 1),
		"of another architecture": strings.ReplaceAll(image+headers, "Architecture: amd64", "Architecture: arm64"),
	} {
		if offers := parseIndex(t, text, "sid").offers("amd64", "amd64"); len(offers) != 0 {
			t.Errorf("%s: offers %+v", name, offers)
		}
	}
}

func TestKbuildIsForTheMachineThatCompiles(t *testing.T) {
	const release = "6.12.1-cloud-arm64"
	text := stanza("linux-image-"+release, "arm64", "1", "", 1) + headersOf(release, "1", "arm64")
	if offers := parseIndex(t, text, "sid").offers("arm64", "amd64"); len(offers) != 1 {
		t.Errorf("with the host's kbuild: %+v", offers)
	}
	if offers := parseIndex(t, text, "sid").offers("arm64", "arm64"); len(offers) != 0 {
		t.Errorf("with no kbuild for the host: %+v", offers)
	}
}

func offersOf(releases ...string) (offers []Offer) {
	for _, r := range releases {
		series, _ := seriesOf(r)
		offers = append(offers, Offer{Release: r, Series: series})
	}
	return offers
}

func TestChoose(t *testing.T) {
	offers := offersOf("5.10.0-46", "6.12.117+deb12", "6.12.117+deb13", "7.2.13+deb14", "7.3.4+deb13")
	for wanted, release := range map[string]string{
		"6.12": "6.12.117+deb13", "6.12.117+deb12": "6.12.117+deb12", Newest: "7.3.4+deb13", "6.1": "", "6.12.1": "",
	} {
		o, ok := choose(offers, wanted)
		if o.Release != release || ok != (release != "") {
			t.Errorf("choose(%q) = %q, %v, want %q", wanted, o.Release, ok, release)
		}
	}
	if _, ok := choose(nil, Newest); ok {
		t.Error("the newest of no offers")
	}
}

func TestMatrix(t *testing.T) {
	today := offersOf("5.10.0-45", "5.10.0-46", "6.1.0-56", "6.6.1", "6.12.1", "7.2.6", "7.2.13", "7.3.4")
	later := offersOf("6.12.1", "7.4.1", "7.5.1", "8.1.2")
	for name, c := range map[string]struct {
		offers []Offer
		arch   string
		want   []string
	}{
		"amd64":       {today, "amd64", []string{"5.10", "6.1", "6.12", "7.2", "7.3"}},
		"arm64":       {today, "arm64", []string{"6.1", "6.12", "7.3"}},
		"later amd64": {later, "amd64", []string{"6.12", "7.4", "8.1"}},
		"nothing":     {nil, "amd64", nil},
	} {
		if got := matrix(c.offers, c.arch); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
