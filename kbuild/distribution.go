package kbuild

import (
	"bufio"
	"bytes"
	"os"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

// Distribution is one of Linux's, as /etc/os-release has it.
type Distribution struct {
	Name    string // for people
	Version string // VERSION_ID
	family  family
}

// family is a kind of distribution by its packages.
type family uint8

const (
	unknownFamily family = iota
	debian
	ubuntu
	fedora
	arch
	suse
	alpine
)

var families = map[string]family{
	"debian": debian, "raspbian": debian, "ubuntu": ubuntu,
	"fedora": fedora, "rhel": fedora, "centos": fedora, "rocky": fedora, "almalinux": fedora, "ol": fedora, "amzn": fedora,
	"arch": arch, "archarm": arch, "manjaro": arch,
	"suse": suse, "opensuse": suse, "opensuse-leap": suse, "opensuse-tumbleweed": suse, "sles": suse,
	"alpine": alpine,
}

// distribution reads what this system is. One that is like another is taken for that.
func (s system) distribution() Distribution {
	for _, file := range []string{"etc/os-release", "usr/lib/os-release"} {
		if text, err := os.ReadFile(s.path(file)); err == nil {
			return parseDistribution(text)
		}
	}
	return Distribution{}
}

func parseDistribution(text []byte) Distribution {
	fields := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "="); ok {
			fields[key] = strings.Trim(value, `"'`)
		}
	}
	d := Distribution{Name: fields["NAME"], Version: fields["VERSION_ID"]}
	for _, id := range append([]string{fields["ID"]}, strings.Fields(fields["ID_LIKE"])...) {
		if f, ok := families[id]; ok {
			d.family = f
			break
		}
	}
	return d
}

// install is the command that installs packages.
func (d Distribution) install() string {
	return map[family]string{
		debian: "apt install", ubuntu: "apt install", fedora: "dnf install", arch: "pacman -S", suse: "zypper install", alpine: "apk add",
	}[d.family]
}

// packageOf names the package that has a thing, where one surely does.
func (d Distribution) packageOf(t thing) (string, bool) {
	switch {
	case d.family == unknownFamily:
		return "", false
	case t.kind == headersThing:
		return d.headersPackage(t.of)
	case t.kind == libraryThing:
		return d.libraryPackage(t.name)
	case t.family != "":
		return d.compilerPackage(t), true
	}
	return d.programPackage(t.name)
}

// without says what to do where no package can be named.
func (d Distribution) without(t thing) string {
	if t.kind != headersThing {
		return "install " + t.name
	}
	if d.family == unknownFamily {
		return "install the headers of kernel " + t.of + ", or give their directory by --kernel"
	}
	return t.of + " is not a kernel of " + d.Name + "'s: who built it has its headers; give their directory by --kernel"
}

// headersPackage derives the package from the release: each distribution has its
// kernels' names from its packages'. One that is not of that form is somebody else's.
func (d Distribution) headersPackage(release string) (string, bool) {
	p, ok := headerPackages[d.family]
	if !ok {
		return "", false
	}
	for _, form := range p {
		if m := form.release.FindStringSubmatchIndex(release); m != nil {
			return string(form.release.ExpandString(nil, form.name, release, m)), true
		}
	}
	return "", false
}

type headersForm struct {
	release *lazyregexp.Regexp
	name    string // of the package; $1 is the release's part
}

// debianRelease is 6.1.0-56-cloud-amd64, 6.1.0-0.deb11.21-amd64 or 6.12.118+deb13-rt-arm64: what names
// the binary interface, perhaps a flavour, the architecture.
const debianRelease = `^(\d+\.[\d.]+(?:-\d+(?:\.deb[\d.]+)?|\+deb\d+\w*)(?:-[a-z]+)*-(?:amd64|arm64|armmp|686|s390x|powerpc64le|riscv64|loong64|mips64el|octeon)(?:-[a-z0-9]+)?)$`

var headerPackages = map[family][]headersForm{
	debian: {
		{lazyregexp.New(debianRelease), "linux-headers-$1"},
		{lazyregexp.New(`^(\d.*\+rpt-rpi-\w+)$`), "linux-headers-$1"},
		{lazyregexp.New(`^(\d.*-pve)$`), "proxmox-headers-$1"},
	},
	ubuntu: {{lazyregexp.New(`^(\d+\.\d+\.\d+-\d+-[a-z][a-z0-9-]*)$`), "linux-headers-$1"}},
	fedora: {{lazyregexp.New(`^(\d.*\.(?:fc|el|amzn)\d+.*\.\w+)$`), "kernel-devel-$1"}},
	arch: {
		{lazyregexp.New(`^\d.*-(lts|zen|hardened|rt|rt-lts)$`), "linux-$1-headers"},
		{lazyregexp.New(`^\d.*-arch\d+-\d+$`), "linux-headers"},
	},
	suse:   {{lazyregexp.New(`^(\d[0-9.]*-[0-9.]+)-([a-z]\w*)$`), "kernel-$2-devel=$1"}},
	alpine: {{lazyregexp.New(`^\d.*-(lts|virt|stable|rpi)$`), "linux-$1-dev"}},
}

// compilerPackage names the compiler's package. Debian has one for each version; the
// others one version, or others by names that tell nothing about it.
func (d Distribution) compilerPackage(t thing) string {
	if t.of != "" && (d.family == debian || d.family == ubuntu) {
		return t.family + "-" + t.of
	}
	if d.family == alpine && t.family == "gcc" {
		return "build-base" // the C library's own headers, too
	}
	return t.family
}

// programs lists the packages of the programs that kbuild runs, where all distributions
// call them alike.
var programs = map[string]string{
	"make": "make", "as ld ar nm strip objcopy objdump readelf": "binutils", "find xargs": "findutils", "cmp diff": "diffutils",
	"bc": "bc", "perl": "perl", "flex": "flex", "bison": "bison", "sed": "sed", "grep": "grep", "gawk": "gawk", "bash": "bash", "xz": "xz", "zstd": "zstd",
	"basename cat chmod cp cut date dirname expr head ln ls mkdir mktemp mv nproc printf readlink rm rmdir sort tail test touch tr true uname uniq wc": "coreutils",
}

// programPackage names the package of a program, which may have the machine's name in
// front: x86_64-linux-gnu-ld.
func (d Distribution) programPackage(name string) (string, bool) {
	deb := d.family == debian || d.family == ubuntu
	switch {
	case name == "pahole" && (d.family == fedora || d.family == suse):
		return "dwarves", true
	case name == "pahole":
		return "pahole", true
	case name == "awk" && deb:
		return "mawk", true
	case name == "awk":
		return "gawk", true
	case name == "xz" && deb:
		return "xz-utils", true
	case versioned.MatchString(name):
		return name, deb
	}
	name = name[strings.LastIndex(name, "-")+1:]
	for names, of := range programs {
		if slices.Contains(strings.Fields(names), name) {
			return of, true
		}
	}
	return "", false
}

// versioned is a compiler as Debian calls it and its package.
var versioned = lazyregexp.New(`^(?:gcc|clang)-\d+$`)

// libraryPackage names the package of a library that the headers' own programs use.
func (d Distribution) libraryPackage(name string) (string, bool) {
	libelf := map[family]string{debian: "libelf1", ubuntu: "libelf1", fedora: "elfutils-libelf-devel", arch: "libelf", suse: "libelf1", alpine: "libelf"}
	if !strings.HasPrefix(name, "libelf.so") {
		return "", false
	}
	// The 64-bit time of day renamed it, for no reason on 64-bit machines.
	if d.family == debian && !slices.Contains([]string{"10", "11", "12"}, d.Version) || d.family == ubuntu && d.Version >= "24.04" {
		return "libelf1t64", true
	}
	return libelf[d.family], true
}
