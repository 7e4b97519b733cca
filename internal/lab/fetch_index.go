package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// index is what the lab needs of Debian's package lists.
type index struct {
	Origin   string `json:"origin"`            // the sources that it was made from, and what was kept of them
	Missing  string `json:"missing,omitempty"` // sources that could not be read, and why
	Packages []pkg  `json:"packages"`
}

// pkg is one version of one Debian package in one suite.
type pkg struct {
	Name    string   `json:"name"`
	Arch    string   `json:"arch"` // "all" for packages that are the same everywhere
	Version string   `json:"version"`
	Suite   string   `json:"suite"`
	Size    int64    `json:"size"`              // of the download, bytes
	Depends []string `json:"depends,omitempty"` // names only, first alternatives
}

// selector names the package for apt.
func (p pkg) selector() string {
	if p.Arch == "all" {
		return p.Name + "=" + p.Version
	}
	return p.Name + ":" + p.Arch + "=" + p.Version
}

// guestSuite is the Debian release that the guest's tools and the toolchain
// come from: old enough to be stable, new enough to compile for every kernel.
const guestSuite = "trixie"

// wantsPackage tells the packages worth keeping in the index from the hundred
// thousand others.
func wantsPackage(name, suite string) bool {
	return strings.HasPrefix(name, "linux-") || (suite == guestSuite && slices.Contains(guestPackages(), name))
}

// parse adds the packages of one list, given as text in Debian's control format.
func (ix *index) parse(r io.Reader, suite string) error {
	lines := bufio.NewReaderSize(r, 1<<16)
	var p pkg
	keep := false
	flush := func() {
		if keep && p.Name != "" && p.Version != "" && p.Arch != "" {
			ix.Packages = append(ix.Packages, p)
		}
		p, keep = pkg{Suite: suite}, false
	}
	flush()
	for {
		raw, err := lines.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && err != io.EOF && !long {
			return err
		}
		line := strings.TrimRight(string(raw), "\n")
		for long { // no field that we read is 64 KiB long
			_, err = lines.ReadSlice('\n')
			long = errors.Is(err, bufio.ErrBufferFull)
		}
		name, isName := strings.CutPrefix(line, "Package: ")
		switch {
		case line == "":
			flush()
		case isName:
			p.Name = name
			keep = wantsPackage(name, suite)
		case keep:
			p.setField(line)
		}
		if err == io.EOF {
			flush()
			return nil
		}
	}
}

func (p *pkg) setField(line string) {
	key, value, _ := strings.Cut(line, ": ")
	switch key {
	case "Version":
		p.Version = value
	case "Architecture":
		p.Arch = value
	case "Size":
		p.Size, _ = strconv.ParseInt(value, 10, 64)
	case "Depends":
		p.Depends = parseDepends(value)
	}
}

// parseDepends gives the names in a Depends field, the first of each set of
// alternatives, without versions and architectures.
func parseDepends(field string) []string {
	var names []string
	for dep := range strings.SplitSeq(field, ",") {
		name := strings.TrimSpace(dep)
		if i := strings.IndexAny(name, " |(:["); i >= 0 {
			name = name[:i]
		}
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// find gives the named package of a version, in the first suite that has it.
// An empty version means the newest.
func (ix *index) find(name, arch, version string) (pkg, bool) {
	var best pkg
	for _, p := range ix.Packages {
		if p.Name != name || (p.Arch != arch && p.Arch != "all") || (version != "" && p.Version != version) {
			continue
		}
		if best.Name == "" || compareReleases(p.Version, best.Version) > 0 {
			best = p
		}
	}
	return best, best.Name != ""
}

// readIndex reads a saved index, and refuses one that is too old or was made
// from other sources.
func readIndex(path, origin string) (*index, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if age := time.Since(info.ModTime()); age > indexAge || age < 0 {
		return nil, errors.New("package index is old")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var ix index
	if err := json.Unmarshal(text, &ix); err != nil {
		return nil, fmt.Errorf("package index %s: %w", path, err)
	}
	if ix.Origin != origin {
		return nil, errors.New("package index is of other sources")
	}
	return &ix, nil
}

func (ix *index) write(path string) error {
	text, err := json.Marshal(ix)
	if err == nil {
		err = replaceFile(path, text)
	}
	if err != nil {
		return fmt.Errorf("save package index: %w", err)
	}
	return nil
}
