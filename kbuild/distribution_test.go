package kbuild

import "testing"

// releases are what distributions really put there.
var releases = map[string]string{
	"debian 12": "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n",
	"debian 13": "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"13\"\nID=debian\n",
	"sid":       "NAME=\"Debian GNU/Linux\"\nID=debian\n",
	"mint":      "NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"21\"\n",
	"ubuntu":    "NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n",
	"ubuntu 22": "NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"22.04\"\n",
	"fedora":    "NAME=\"Fedora Linux\"\nID=fedora\nVERSION_ID=41\n",
	"rocky":     "NAME=\"Rocky Linux\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
	"arch":      "NAME=\"Arch Linux\"\nID=arch\n",
	"leap":      "NAME=\"openSUSE Leap\"\nID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n",
	"alpine":    "NAME=\"Alpine Linux\"\nID=alpine\n",
	"void":      "NAME=\"Void\"\nID=\"void\"\n",
}

func TestHeadersPackage(t *testing.T) {
	for _, c := range []struct{ system, release, want string }{
		{"debian 12", "6.1.0-56-cloud-amd64", "linux-headers-6.1.0-56-cloud-amd64"},
		{"debian 12", "5.10.0-46-686-pae", "linux-headers-5.10.0-46-686-pae"},
		{"debian 12", "6.1.0-0.deb11.21-rt-amd64", "linux-headers-6.1.0-0.deb11.21-rt-amd64"},
		{"debian 13", "6.12.118+deb13-amd64", "linux-headers-6.12.118+deb13-amd64"},
		{"debian 13", "7.3.4+deb13-cloud-arm64", "linux-headers-7.3.4+deb13-cloud-arm64"},
		{"debian 13", "6.12.57+deb13-arm64-16k", "linux-headers-6.12.57+deb13-arm64-16k"},
		{"debian 12", "6.6.31+rpt-rpi-v8", "linux-headers-6.6.31+rpt-rpi-v8"},
		{"debian 12", "6.8.12-4-pve", "proxmox-headers-6.8.12-4-pve"},
		{"debian 12", "6.18.44-fc-v509", ""},
		{"debian 12", "5.15.153.1-microsoft-standard-WSL2", ""},
		{"debian 12", "6.11.4-301.fc41.x86_64", ""},
		{"debian 12", "6.8.0-45-generic", ""},
		{"ubuntu", "6.8.0-45-generic", "linux-headers-6.8.0-45-generic"},
		{"ubuntu", "6.8.0-1016-aws", "linux-headers-6.8.0-1016-aws"},
		{"mint", "5.15.0-124-lowlatency-hwe", "linux-headers-5.15.0-124-lowlatency-hwe"},
		{"ubuntu", "5.15.153.1-microsoft-standard-WSL2", ""},
		{"fedora", "6.11.4-301.fc41.x86_64", "kernel-devel-6.11.4-301.fc41.x86_64"},
		{"rocky", "5.14.0-427.13.1.el9_4.x86_64", "kernel-devel-5.14.0-427.13.1.el9_4.x86_64"},
		{"rocky", "6.1.0-56-amd64", ""},
		{"arch", "6.11.5-arch1-1", "linux-headers"},
		{"arch", "6.6.58-1-lts", "linux-lts-headers"},
		{"arch", "6.11.5-zen1-1-zen", "linux-zen-headers"},
		{"arch", "6.10.14-hardened1-2-hardened", "linux-hardened-headers"},
		{"leap", "6.4.0-150600.23.25-default", "kernel-default-devel=6.4.0-150600.23.25"},
		{"alpine", "6.6.58-0-lts", "linux-lts-dev"},
		{"alpine", "6.6.58-0-virt", "linux-virt-dev"},
		{"void", "6.6.58_1", ""},
	} {
		d := parseDistribution([]byte(releases[c.system]))
		name, ok := d.packageOf(thing{kind: headersThing, of: c.release})
		if name != c.want || ok != (c.want != "") {
			t.Errorf("%s, %s: %q, %v; want %q", c.system, c.release, name, ok, c.want)
		}
	}
}

func TestHint(t *testing.T) {
	all := []thing{
		{name: "make"}, {name: "gcc 14", of: "14", family: "gcc"}, {name: "libelf.so.1", kind: libraryThing}, {name: "pahole"}, {name: "ld"}, {name: "x86_64-linux-gnu-as"},
	}
	for system, want := range map[string]string{
		"debian 12": "apt install make gcc-14 libelf1 pahole binutils",
		"debian 13": "apt install make gcc-14 libelf1t64 pahole binutils",
		"sid":       "apt install make gcc-14 libelf1t64 pahole binutils",
		"ubuntu":    "apt install make gcc-14 libelf1t64 pahole binutils",
		"ubuntu 22": "apt install make gcc-14 libelf1 pahole binutils",
		"fedora":    "dnf install make gcc elfutils-libelf-devel dwarves binutils",
		"arch":      "pacman -S make gcc libelf pahole binutils",
		"leap":      "zypper install make gcc libelf1 dwarves binutils",
		"alpine":    "apk add make build-base libelf pahole binutils",
		"void":      "install make; install gcc 14; install libelf.so.1; install pahole; install ld; install x86_64-linux-gnu-as",
	} {
		e := &MissingError{Kernel: "6.12", things: all, Distribution: parseDistribution([]byte(releases[system]))}
		if got := e.Hint(); got != want {
			t.Errorf("%s: %q, want %q", system, got, want)
		}
	}
	e := &MissingError{Kernel: "6.12", things: all[:2]}
	if want := "building modules for kernel 6.12 needs make and gcc 14"; e.Error() != want {
		t.Errorf("error %q, want %q", e.Error(), want)
	}
}

// TestNoPackageIsMadeUp: what no table has is named, and no package for it.
func TestNoPackageIsMadeUp(t *testing.T) {
	things := []thing{{name: "libz.so.1", kind: libraryThing}, {name: "frob"}, {name: "gcc-12"}, {name: "uname"}}
	for system, want := range map[string]string{
		"fedora":    "dnf install coreutils; install libz.so.1; install frob; install gcc-12",
		"debian 12": "apt install gcc-12 coreutils; install libz.so.1; install frob",
	} {
		e := &MissingError{things: things, Distribution: parseDistribution([]byte(releases[system]))}
		if got := e.Hint(); got != want {
			t.Errorf("%s: %q, want %q", system, got, want)
		}
	}
}
