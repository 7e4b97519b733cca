package provenance

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/modname"
)

// dpkg is what dpkg's database says about module files. The lists of files are read here and
// not by dpkg-query, because that reads all of them for every question, and in a process of
// its own. With 749 packages, on a busy machine, it takes 0.5 to 0.8 s for one file; here the
// first question takes 0.16 s, and each further one 0.03 ms (BenchmarkDpkg). The lists, the
// diversions and the status file are plain text, a path or a field on each line.
type dpkg struct {
	root string

	mu       sync.Mutex
	read     time.Time // when; zero for never
	as       [2]time.Time
	packages map[string]*packaged // by path
}

// The database, below the root.
const (
	dpkgInfo       = "var/lib/dpkg/info"
	dpkgDiversions = "var/lib/dpkg/diversions"
	dpkgStatus     = "var/lib/dpkg/status"
	dpkgSums       = ".md5sums" // of a package, beside its list
)

// owner gives the package that lists a path; nil where none does.
func (d *dpkg) owner(path string) *packaged {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refresh()
	if len(d.packages) == 0 {
		return nil
	}
	return d.packages[unaliased(filepath.Clean(path), mergedUsr(d.root))]
}

// refresh reads the database where it is not the one that was read. A directory that
// was written just before that may have been written again since, within one tick.
func (d *dpkg) refresh() {
	as := [2]time.Time{modified(filepath.Join(d.root, dpkgInfo)), modified(filepath.Join(d.root, dpkgDiversions))}
	if !d.read.IsZero() && as == d.as && d.read.Sub(as[0]) > time.Second {
		return
	}
	d.read, d.as, d.packages = time.Now(), as, nil
	if as[0].IsZero() {
		return
	}
	d.index()
}

func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// index collects the module files of all packages.
func (d *dpkg) index() {
	lists, _ := filepath.Glob(filepath.Join(d.root, dpkgInfo, "*.list"))
	merged := mergedUsr(d.root)
	diverted := d.diversions(merged)
	d.packages = make(map[string]*packaged)
	named := make(map[string][]*Package)
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil || !bytes.Contains(text, []byte(".ko")) {
			continue
		}
		name, architecture, _ := strings.Cut(strings.TrimSuffix(filepath.Base(list), ".list"), ":")
		p := &Package{Name: name, Manager: "dpkg"}
		sums := sumsOf(strings.TrimSuffix(list, ".list")+dpkgSums, merged)
		for line := range strings.Lines(string(text)) {
			path := strings.TrimSuffix(line, "\n")
			if _, ok := modname.Stem(path); !ok {
				continue
			}
			path = unaliased(path, merged)
			hash := sums[path]
			if to, ok := diverted[path]; ok && to.by != name {
				path = to.path
			}
			d.packages[path] = &packaged{p, hash}
			named[name+":"+architecture] = []*Package{p}
			named[name] = append(named[name], p)
		}
	}
	if len(named) > 0 {
		d.versions(named)
	}
}

// sumsOf gives the MD5 hashes of a package's module files, by path. A package may list none.
func sumsOf(file string, merged bool) map[string]string {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	sums := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		hash, path, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if _, module := modname.Stem(path); ok && module && len(hash) == 2*md5.Size {
			sums[unaliased("/"+path, merged)] = hash
		}
	}
	return sums
}

// versions reads the paragraphs of installed packages: Package, Architecture and
// Version, of which the first comes first.
func (d *dpkg) versions(named map[string][]*Package) {
	f, err := os.Open(filepath.Join(d.root, dpkgStatus))
	if err != nil {
		return
	}
	defer f.Close()
	var name, architecture, version string
	settle := func() {
		packages, ok := named[name+":"+architecture]
		if !ok {
			packages = named[name]
		}
		for _, p := range packages {
			p.Version = version
		}
		name, architecture, version = "", "", ""
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "":
			settle()
		case "Package":
			name = value
		case "Architecture":
			architecture = value
		case "Version":
			version = value
		}
	}
	settle()
}

// diversion is where a package's file was put because another has one of that path.
type diversion struct{ path, by string }

// diversions reads them: three lines each, a path, where its file went, and who asked
// for that, whose own file is at the path.
func (d *dpkg) diversions(merged bool) map[string]diversion {
	text, err := os.ReadFile(filepath.Join(d.root, dpkgDiversions))
	if err != nil {
		return nil
	}
	diverted := make(map[string]diversion)
	lines := strings.Split(string(text), "\n")
	for ; len(lines) >= 3; lines = lines[3:] {
		diverted[unaliased(lines[0], merged)] = diversion{path: unaliased(lines[1], merged), by: lines[2]}
	}
	return diverted
}

// mergedUsr tells whether /lib is only another name of /usr/lib. Packages may list
// either then.
func mergedUsr(root string) bool {
	info, err := os.Lstat(filepath.Join(root, "lib"))
	return err == nil && info.Mode()&os.ModeSymlink != 0
}

// unaliased gives one name to a path that has two.
func unaliased(path string, merged bool) string {
	if rest, ok := strings.CutPrefix(path, "/lib/"); ok && merged {
		return "/usr/lib/" + rest
	}
	return path
}
