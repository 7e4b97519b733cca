package lab

import (
	"strings"
	"testing"
)

// Lines as apt prints them: site, codename, release, origin, component.
const (
	mainLine     = "http://mirror.example/debian\tbookworm\tbookworm\tDebian\tmain\n"
	updatesLine  = "http://mirror.example/debian\tbookworm-updates\tbookworm-updates\tDebian\tmain\n"
	secondLine   = "http://second.example/debian\tbookworm\tbookworm\tDebian\tmain\n"
	securityLine = "http://security.example/debian-security\tbookworm-security\tbookworm-security\tDebian\tmain\n"
	dockerLine   = "https://docker.example/linux/debian\tbookworm\tbookworm\tDocker\tstable\n"
	ppaLine      = "https://node.example/node_20.x\tnodistro\tnodistro\t. nodistro\tmain\n"
	unreadLine   = "http://mirror.example/debian\t$(CODENAME)\ttrixie\t$(ORIGIN)\tmain\n"
	fileLine     = "mirror+file:/etc/apt/mirrors/debian.list\ttrixie\ttrixie\tDebian\tmain\n"
)

func TestParseSites(t *testing.T) {
	const mirror, security = "http://mirror.example/debian", "http://security.example/debian-security"
	for name, c := range map[string]struct {
		text string
		want sites
	}{
		"usual":                 {mainLine + updatesLine + securityLine, sites{mirror, security}},
		"several mirrors":       {mainLine + secondLine + securityLine, sites{mirror, security}},
		"no security":           {mainLine, sites{main: mirror}},
		"security first":        {securityLine + mainLine, sites{mirror, security}},
		"others beside":         {dockerLine + ppaLine + mainLine, sites{main: mirror}},
		"lists never read":      {unreadLine, sites{main: mirror}},
		"a list of mirrors":     {fileLine, sites{main: "mirror+file:/etc/apt/mirrors/debian.list"}},
		"garbage between lines": {"\n\t\t\n\x00\xff\n" + mainLine + "x\ty\n", sites{main: mirror}},
	} {
		got, err := parseSites(c.text)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
	}
}

func TestParseSitesWithoutDebian(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":       "",
		"only others":   dockerLine + ppaLine,
		"only security": securityLine,
		"half a line":   "http://mirror.example/debian\tbookworm",
	} {
		if got, err := parseSites(text); err == nil {
			t.Errorf("%s: %+v, want an error", name, got)
		}
	}
	if _, err := parseSites(ppaLine); err == nil || !strings.Contains(err.Error(), "nodistro") {
		t.Errorf("error %v does not say what there is instead", err)
	}
}

func TestSourcesListLeavesOutWhatHasNoSite(t *testing.T) {
	full := sites{"http://m.example/debian", "http://s.example/debian-security"}.sourcesList("/keys.gpg")
	if got := strings.Count(full, "\n"); got != len(suites()) {
		t.Errorf("%d sources for %d suites:\n%s", got, len(suites()), full)
	}
	for line := range strings.Lines(full) {
		if !strings.Contains(line, "signed-by=/keys.gpg") {
			t.Errorf("source without keys: %s", line)
		}
		if strings.Contains(line, "-security main") != strings.Contains(line, "s.example") {
			t.Errorf("suite on the wrong site: %s", line)
		}
	}
	if part := (sites{main: "http://m.example/debian"}).sourcesList("/keys.gpg"); strings.Contains(part, "-security") {
		t.Errorf("security suites without a security site:\n%s", part)
	}
}

func TestSourcesOfOneSuite(t *testing.T) {
	list := sites{"http://m.example/debian", "http://s.example/debian-security"}.sourcesList("/k")
	got := string(sourcesOf(list, "trixie"))
	if strings.Count(got, "\n") != 1 || !strings.Contains(got, " trixie main") {
		t.Errorf("sources of trixie:\n%s", got)
	}
}
