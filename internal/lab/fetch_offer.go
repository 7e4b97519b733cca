package lab

import (
	"slices"
	"strings"
)

// Offer is a kernel that can be fetched from the machine's Debian mirrors.
type Offer struct {
	Release string `json:"release"`
	Series  string `json:"series"`
	Arch    string `json:"arch"`
	Suite   string `json:"suite"`        // the first that has it
	Size    int64  `json:"size"`         // of the kernel's download, bytes
	Headers int64  `json:"headers_size"` // of its headers' download, bytes

	image, headers []pkg
}

// offers lists the kernels that are complete in the index, oldest first: the
// distribution's cloud kernels (the same source with fewer drivers, so a third
// of the size), of which the image and the headers are both there. buildArch is
// the architecture of the machine that will compile.
func (ix *index) offers(arch, buildArch string) []Offer {
	var offers []Offer
	for _, p := range ix.Packages {
		release, ok := strings.CutPrefix(p.Name, "linux-image-")
		if !ok || p.Arch != arch || !strings.HasSuffix(release, "-cloud-"+arch) {
			continue
		}
		series, ok := seriesOf(release)
		if !ok || slices.ContainsFunc(offers, func(o Offer) bool { return o.Release == release }) {
			continue
		}
		o := Offer{Release: release, Series: series, Arch: arch, Suite: p.Suite}
		if newest, ok := ix.find(p.Name, arch, ""); !ok || !ix.complete(&o, newest, buildArch) {
			continue
		}
		offers = append(offers, o)
	}
	slices.SortFunc(offers, func(a, b Offer) int { return compareReleases(a.Release, b.Release) })
	return offers
}

// complete finds all packages of an offer's kernel, and says no when one is
// missing: mirrors keep an image for a while after its headers are gone.
func (ix *index) complete(o *Offer, image pkg, buildArch string) bool {
	o.image = ix.withParts(image, o.Release)
	for _, part := range o.image[0].Depends {
		if strings.HasSuffix(part, "-"+o.Release) && !containsName(o.image, part) {
			return false
		}
	}
	headers, ok := ix.find("linux-headers-"+o.Release, o.Arch, image.Version)
	if !ok {
		return false
	}
	o.headers = []pkg{headers}
	for _, name := range headers.Depends {
		arch := o.Arch
		switch {
		case strings.HasPrefix(name, "linux-kbuild-"):
			arch = buildArch // programs that run while compiling
		case !strings.HasPrefix(name, "linux-headers-"):
			continue
		}
		p, ok := ix.find(name, arch, image.Version)
		if !ok {
			return false
		}
		o.headers = append(o.headers, p)
	}
	for _, p := range o.image {
		o.Size += p.Size
	}
	for _, p := range o.headers {
		o.Headers += p.Size
	}
	return len(o.headers) >= 3 // its own, the common ones, kbuild
}

// withParts gives an image and the packages that it was split into. Up to 6.12
// there is one; from 7.x linux-image-* is empty and vmlinuz, modules and
// configuration lie in three others of the same release and version.
func (ix *index) withParts(image pkg, release string) []pkg {
	parts := []pkg{image}
	for _, name := range image.Depends {
		if !strings.HasSuffix(name, "-"+release) {
			continue
		}
		if p, ok := ix.find(name, image.Arch, image.Version); ok {
			parts = append(parts, p)
		}
	}
	return parts
}

func containsName(packages []pkg, name string) bool {
	return slices.ContainsFunc(packages, func(p pkg) bool { return p.Name == name })
}

// choose gives the offer with the highest release that fits. Where a series
// lies in several suites (6.12.117+deb12, 6.12.117+deb13: two different kernels)
// this is the one of the later suite, on every host alike.
func choose(offers []Offer, wanted string) (Offer, bool) {
	for _, o := range slices.Backward(offers) {
		if wanted == Newest || wanted == o.Series || wanted == o.Release {
			return o, true
		}
	}
	return Offer{}, false
}

// matrix names the series that the lab's tests run on: for amd64 the two long
// lived ones before 6.12, 6.12, the oldest of the 7 line that is offered, and the
// newest of all; for arm64 the three that tell its probe backends apart.
func matrix(offers []Offer, arch string) []string {
	wanted := []string{"5.10", "6.1", "6.12"}
	if arch == "arm64" {
		wanted = wanted[1:]
	}
	var series []string
	for _, o := range offers {
		seventh := arch == "amd64" && strings.HasPrefix(o.Series, "7.") && !slices.ContainsFunc(series, isSeven)
		if (seventh || slices.Contains(wanted, o.Series)) && !slices.Contains(series, o.Series) {
			series = append(series, o.Series)
		}
	}
	if n := len(offers); n > 0 && !slices.Contains(series, offers[n-1].Series) {
		series = append(series, offers[n-1].Series)
	}
	return series
}

func isSeven(series string) bool { return strings.HasPrefix(series, "7.") }
