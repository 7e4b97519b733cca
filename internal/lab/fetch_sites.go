package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// sites are the places that this machine already trusts for Debian packages.
// The project names no host: whoever runs behind a mirror or a proxy gets all
// kernels from there too.
type sites struct {
	main     string // holds the suites and their backports
	security string // holds the -security suites; "" when the machine has none
}

// suite is one Debian release directory on a site.
type suite struct {
	name     string
	security bool
}

// suites are searched for kernels. 5.10 and 6.1 live on in the security suites
// of bullseye and bookworm, 6.12 in both bookworm-security and trixie, and
// everything newer in trixie-backports and sid.
func suites() []suite {
	return []suite{
		{name: "bookworm"},
		{name: "trixie"},
		{name: "trixie-backports"},
		{name: "sid"},
		{name: "bullseye-security", security: true},
		{name: "bookworm-security", security: true},
		{name: "trixie-security", security: true},
	}
}

// systemSites asks the system's own apt where it gets Debian packages from.
func systemSites(ctx context.Context) (sites, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return sites{}, fmt.Errorf("find package sources: %w (the lab fetches Debian kernels by apt; elsewhere, it boots those in /boot)", err)
	}
	const format = "$(SITE)\t$(CODENAME)\t$(RELEASE)\t$(ORIGIN)\t$(COMPONENT)"
	ask := func(more ...string) (string, error) {
		args := append([]string{"indextargets", "--format", format}, more...)
		return output(exec.CommandContext(ctx, "apt-get", append(args, "Created-By: Packages")...))
	}
	text, err := ask()
	if err == nil && strings.TrimSpace(text) == "" {
		// The machine has sources and has never read them (no apt-get update yet).
		text, err = ask("--no-release-info")
	}
	if err != nil {
		return sites{}, fmt.Errorf("find package sources: %w", err)
	}
	return parseSites(text)
}

// parseSites chooses the first site of each kind from lines of site, codename,
// release, origin and component. A field that apt does not know stands there as
// its own unexpanded name.
func parseSites(text string) (sites, error) {
	var found sites
	var others []string
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(fields) != 5 {
			continue
		}
		for i, f := range fields {
			if strings.HasPrefix(f, "$(") {
				fields[i] = ""
			}
		}
		site, codename, release, origin, component := fields[0], fields[1], fields[2], fields[3], fields[4]
		if codename == "" {
			codename = release
		}
		switch {
		case site == "":
		case !isDebianSuite(codename) || (origin != "" && origin != "Debian") || component != "main":
			others = append(others, codename)
		case strings.HasSuffix(codename, "-security"):
			found.security = firstNonEmpty(found.security, site)
		default:
			found.main = firstNonEmpty(found.main, site)
		}
	}
	if found.main == "" {
		msg := "no Debian package source among this machine's apt sources"
		if len(others) > 0 {
			msg += " (only " + strings.Join(others, ", ") + ")"
		}
		return sites{}, errors.New("find package sources: " + msg)
	}
	return found, nil
}

func firstNonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func isDebianSuite(name string) bool {
	for _, pocket := range []string{"-security", "-updates", "-backports"} {
		name = strings.TrimSuffix(name, pocket)
	}
	switch name {
	case "bullseye", "bookworm", "trixie", "forky", "duke", "sid",
		"oldoldstable", "oldstable", "stable", "testing", "unstable":
		return true
	}
	return false
}

// sourcesList is the text of an apt source list that offers all suites of the
// sites for both architectures, package indexes only.
func (s sites) sourcesList(keyring string) string {
	var b strings.Builder
	for _, suite := range suites() {
		site := s.main
		if suite.security {
			site = s.security
		}
		if site != "" {
			fmt.Fprintf(&b, "deb [arch=amd64,arm64 target=Packages lang=none signed-by=%s] %s %s main\n", keyring, site, suite.name)
		}
	}
	return b.String()
}

// archiveKeyring finds the keys that Debian signs its archive with.
func archiveKeyring() (string, error) {
	for _, ext := range []string{".pgp", ".gpg"} {
		path := filepath.Join("/usr/share/keyrings", "debian-archive-keyring"+ext)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New("find Debian's archive keys: nothing in /usr/share/keyrings: install the package debian-archive-keyring")
}
