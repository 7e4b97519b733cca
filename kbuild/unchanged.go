package kbuild

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

// Kbuild needs a second to find out that there is nothing to do, as it asks the compiler
// about a hundred options each time. Whoever builds at every key stroke should not wait for
// that: what a build read is remembered, and while all of it is as it was, make is not asked.

// memory is what a build read, and was told.
type memory struct {
	Told  string           `json:"told"` // a hash of the command and its environment
	Files map[string]stamp `json:"files"`
}

// stamp changes when a file does.
type stamp struct {
	Inode   uint64 `json:"i"`
	Size    int64  `json:"s"`
	Written int64  `json:"w"`
	Changed int64  `json:"c"`
}

// stampOf gives a file's stamp; that of one that is not there is zero. A directory changes
// with what is in it that nobody reads.
func stampOf(path string) stamp {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return stamp{}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return stamp{Inode: st.Ino}
	}
	return stamp{st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
}

func (b *build) memoryFile() string { return filepath.Join(b.mirror.root, "built.json") }

// unchanged tells whether the build would only find that all is there.
func (b *build) unchanged() bool {
	text, err := os.ReadFile(b.memoryFile())
	var m memory
	if err != nil || json.Unmarshal(text, &m) != nil || m.Told != b.told() {
		return false
	}
	now, err := b.mirror.files()
	if err != nil {
		return false
	}
	for _, path := range now { // one that is new, or does not say all that it reads
		if _, known := m.Files[path]; !known || readsMore(path) {
			return false
		}
	}
	for path, was := range m.Files {
		if stampOf(path) != was {
			return false
		}
	}
	return true
}

// remember keeps what the build read. One that cannot be remembered, or only in part, is done
// again, and so is one that read what was changed since it began.
func (b *build) remember(start time.Time) {
	paths, err := b.mirror.files()
	if err != nil {
		return
	}
	m := memory{Told: b.told(), Files: map[string]stamp{}}
	paths = append(paths, b.mirror.dependencies(b.result.Kernel.Directory)...)
	paths = append(paths, b.mirror.symbols()...)
	paths = append(paths, b.tools.make)
	if compiler, err := exec.LookPath(b.tools.compiler); err == nil {
		paths = append(paths, compiler)
	}
	for _, name := range kernelFiles {
		paths = append(paths, filepath.Join(b.result.Kernel.Directory, name))
	}
	for _, path := range paths {
		m.Files[path] = stampOf(path)
		inside := strings.HasPrefix(path, b.mirror.directory+"/")
		if !inside && m.Files[path].Changed >= start.Add(-clockStep).UnixNano() {
			return
		}
	}
	if text, err := json.Marshal(m); err == nil {
		_ = os.WriteFile(b.memoryFile(), text, 0o644)
	}
}

// kernelFiles are what a build reads of the headers beside what the compiler does.
var kernelFiles = []string{"Makefile", ".config", "include/config/auto.conf", "include/generated/autoconf.h", "Module.symvers", "vmlinux",
	"scripts/mod/modpost", "scripts/basic/fixdep", "scripts/module.lds", "tools/objtool/objtool", "tools/bpf/resolve_btfids/resolve_btfids"}

// passing are variables that change from one terminal to the next and that no Makefile asks for.
var passing = []string{"OLDPWD", "SHLVL", "_", "TERM", "COLUMNS", "LINES", "WINDOWID"}

// told is a hash of the command and of the environment, which a Makefile may ask.
func (b *build) told() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q\n", b.arguments(), b.sources.rules)
	env := environment(os.Environ(), b.mirror.directory)
	slices.Sort(env)
	for _, pair := range env {
		if name, _, _ := strings.Cut(pair, "="); !slices.Contains(passing, name) {
			fmt.Fprintf(h, "%q\n", pair)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// files are what lies in the mirrored directory: sources, rules, and what was made of them.
func (m *mirror) files() ([]string, error) {
	var paths []string
	err := filepath.WalkDir(m.directory, func(p string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths = append(paths, p)
		}
		return err
	})
	return paths, err
}

// dependency is a line of kbuild's record of what an object was made from.
var dependency = lazyregexp.New(`(?m)^  ([^\s$]+) \\$`)

// dependencies are the files that the compiler read, as kbuild wrote down beside each object:
// below the directory where make works, which from kernel 6.13 on is the module's.
func (m *mirror) dependencies(kernel string) []string {
	found := map[string]bool{}
	_ = filepath.WalkDir(m.directory, func(p string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(p) != ".cmd" {
			return nil
		}
		text, _ := os.ReadFile(p)
		for _, match := range dependency.FindAllStringSubmatch(string(text), -1) {
			path := match[1]
			if !filepath.IsAbs(path) {
				path = filepath.Join(kernel, path)
				if inner := filepath.Join(m.directory, match[1]); exists(inner) {
					path = inner
				}
			}
			found[path] = true
		}
		return nil
	})
	return slices.Collect(maps.Keys(found))
}

var (
	rulesName = lazyregexp.New(`(?:^|/)(?:Makefile|Kbuild|.*\.mk)[^/]*$`)
	constants = lazyregexp.New(`\$[({]shell (?:uname -[a-z]+|pwd)[)}]`)
	reading   = lazyregexp.New(`(?m)\$[({](?:shell|wildcard|file)\b|!=|^\s*[-s]?include\b`)
)

// readsMore tells rules that ask for what nobody has written down: other files, or what a
// command prints.
func readsMore(path string) bool {
	if !rulesName.MatchString(path) {
		return false
	}
	text, err := os.ReadFile(path)
	return err != nil || reading.Match(constants.ReplaceAll(text, nil))
}
