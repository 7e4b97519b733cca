package kbuild

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// Headers are what is compiled against: a directory that the kernel's packager, or the
// kernel's own build, has left.
type Headers struct {
	Directory string `json:"headers"` // its real path
	Release   string `json:"release"` // that modules are for, as uname -r has it
	// Version tells builds of one release apart, as uname -v has it. Empty where the
	// headers do not say it.
	Version string `json:"version,omitempty"`
	// Compiler is what the kernel was compiled with.
	Compiler string `json:"compiler,omitempty"`

	clang bool
}

// system is the machine as far as building needs to know it.
type system struct{ root string }

func (s system) path(elements ...string) string {
	root := s.root
	if root == "" {
		root = "/"
	}
	return filepath.Join(append([]string{root}, elements...)...)
}

// headers finds a kernel's. That there are none is an error of missing.
func (s system) headers(kernel string) (*Headers, error) {
	if strings.Contains(kernel, "/") || kernel == "." || kernel == ".." {
		return readHeaders(kernel)
	}
	if strings.ContainsFunc(kernel, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return nil, fmt.Errorf("%w: %.80q is not a kernel release as uname -r prints it, nor a directory with a slash", ErrBadTarget, kernel)
	}
	release := kernel
	if release == "" {
		release = procfs.Uname().Release
	}
	for _, directory := range s.headerDirectories(release) {
		h, err := readHeaders(directory)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return h, err
		}
	}
	return nil, &lacks{thing: headersThing, of: release}
}

// headerDirectories are where the distributions keep them. The first is a link that
// every one of them makes; it dangles, or is missing, when only the kernel itself is there.
func (s system) headerDirectories(release string) []string {
	return []string{
		s.path("lib/modules", release, "build"),
		s.path("usr/lib/modules", release, "build"),
		s.path("usr/src", "linux-headers-"+release), // Debian
		s.path("usr/src/kernels", release),          // Fedora
	}
}

// errUnprepared is a kernel's source in which nothing was built.
var errUnprepared = errors.New("a kernel's source that modules cannot be built with: run make modules_prepare in it, or better build that kernel")

// readHeaders reads what headers say about themselves.
func readHeaders(directory string) (*Headers, error) {
	real, err := realPath(directory)
	if err != nil {
		return nil, plainPathError("read headers", directory, err)
	}
	if strings.ContainsAny(real, " :%$#") {
		return nil, &Error{Op: "read headers", Path: real, Err: errors.New("kbuild cannot work in a path with blanks, colons or the like")}
	}
	h := &Headers{Directory: real}
	if h.Release = defined(filepath.Join(real, "include/generated/utsrelease.h"), "UTS_RELEASE"); h.Release == "" {
		return nil, headersProblem(real)
	}
	for _, file := range []string{"utsversion.h", "compile.h"} { // until 5.19 or so, the latter
		if h.Version == "" {
			h.Version = defined(filepath.Join(real, "include/generated", file), "UTS_VERSION")
		}
	}
	config := filepath.Join(real, "include/generated/autoconf.h")
	h.Compiler = defined(config, "CONFIG_CC_VERSION_TEXT")
	h.clang = strings.Contains(h.Compiler, "clang")
	if h.Compiler == "" {
		return nil, headersProblem(real)
	}
	return h, nil
}

// headersProblem tells what a directory is that has no headers in it.
func headersProblem(directory string) error {
	err := fmt.Errorf("no kernel's headers in it")
	if exists(filepath.Join(directory, "Kconfig")) || exists(filepath.Join(directory, "Kbuild")) {
		err = errUnprepared
	} else if entries, _ := os.ReadDir(directory); len(entries) == 0 {
		err = fs.ErrNotExist // what a removed package leaves
	}
	return &Error{Op: "read headers", Path: directory, Err: err}
}

// definition is one of C's, of a text.
var definition = lazyregexp.New(`(?m)^#define\s+(\w+)\s+"(.*)"`)

// defined gives the text that a header defines a name to be, or "".
func defined(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for _, m := range definition.FindAllSubmatch(text, -1) {
		if string(m[1]) == name {
			return string(m[2])
		}
	}
	return ""
}

// mismatch says in which way the headers are not those of the kernel that was asked for.
// A directory that was named is right by definition.
func (s system) mismatch(h *Headers, asked string) []string {
	if strings.Contains(asked, "/") {
		return nil
	}
	running := procfs.Uname()
	return mismatched(h, asked, running.Release, running.Version)
}

func mismatched(h *Headers, asked, release, version string) []string {
	if asked != "" && asked != release {
		release, version = asked, ""
	}
	switch {
	case h.Release != release:
		return []string{fmt.Sprintf("the headers in %s are for kernel %s, not %s: its modules will be refused there", h.Directory, h.Release, release)}
	case version != "" && h.Version != "" && h.Version != version:
		return []string{fmt.Sprintf("the headers are of another build of %s (%q) than the kernel that runs (%q): reboot into the newer one, or install the other's headers",
			release, h.Version, version)}
	}
	return nil
}

func (h *Headers) releaseOr(asked string) string {
	switch {
	case h != nil:
		return h.Release
	case asked != "":
		return asked
	}
	release := procfs.Uname().Release
	return release
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
