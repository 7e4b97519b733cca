package kbuild

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

// tools are the programs that a build runs, and how make is told.
type tools struct {
	make      string // its path
	compiler  string // as it is called
	arguments []string
}

// tools finds make and a compiler. What is not there is an error of missing; headers
// are nil when they are.
func (s system) tools(h *Headers, variables []string) (*tools, error) {
	t := new(tools)
	var missing MissingError
	path, err := exec.LookPath("make")
	if err != nil {
		missing.add(thing{name: "make"})
	}
	t.make = path
	want := compilerOf(h)
	given := func(name string) string { return cmp.Or(valueOf(variables, name), os.Getenv(name)) }
	switch {
	case valueOf(variables, "CC") != "": // kbuild does not take it from the environment
		t.compiler = valueOf(variables, "CC")
	case given("LLVM") != "":
		t.compiler = "clang"
	case given("CROSS_COMPILE") != "": // for another machine: kbuild puts it together
		t.compiler = given("CROSS_COMPILE") + want.family
	default:
		if t.compiler = want.find(os.Getenv("PATH")); t.compiler == "" {
			missing.add(thing{name: want.program(), of: want.major, family: want.family})
		}
		t.arguments = want.arguments(t.compiler)
	}
	if len(missing.things) > 0 {
		return nil, &missing
	}
	return t, nil
}

// compiler is what a kernel was compiled with.
type compiler struct {
	command string // as that build called it: x86_64-linux-gnu-gcc-14
	family  string // gcc or clang
	major   string // 14; empty when unknown
}

var compilerVersion = lazyregexp.New(`(\d+)\.\d+\.\d+`)

// compilerOf reads a text such as "gcc-12 (Debian 12.2.0-14) 12.2.0".
func compilerOf(h *Headers) compiler {
	c := compiler{command: "gcc", family: "gcc"}
	if h == nil {
		return c
	}
	if word, _, ok := strings.Cut(h.Compiler, " "); ok && !strings.Contains(word, "/") {
		c.command = word
	}
	if h.clang {
		c.family = "clang"
		c.command = "clang"
	}
	if m := compilerVersion.FindAllStringSubmatch(h.Compiler, -1); m != nil {
		c.major = m[len(m)-1][1] // the last: a packager's own version stands before it
		if h.clang {
			c.major = m[0][1] // "Ubuntu clang version 14.0.0-1, LLD 14.0.0"
		}
	}
	return c
}

// find gives the program that is most like the kernel's compiler: the same one, the
// same version by another name, the machine's default, and else any version of it.
func (c compiler) find(path string) string {
	names := []string{c.command, c.family + "-" + c.major, c.family}
	for _, name := range names {
		if inPath(path, name) {
			return name
		}
	}
	best, bestMajor := "", 0
	for _, dir := range filepath.SplitList(path) {
		found, _ := filepath.Glob(filepath.Join(dir, c.family+"-[0-9]*"))
		for _, program := range found {
			name := filepath.Base(program)
			major, err := strconv.Atoi(strings.TrimPrefix(name, c.family+"-"))
			if err == nil && major > bestMajor && inPath(path, name) {
				best, bestMajor = name, major
			}
		}
	}
	return best
}

func inPath(path, name string) bool {
	for _, dir := range filepath.SplitList(path) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return true
		}
	}
	return false
}

func (c compiler) program() string {
	if c.family == "gcc" && c.major != "" {
		return "gcc " + c.major
	}
	return c.family
}

// arguments tell make about the compiler. A kernel that clang compiled wants LLVM's other
// tools too, and says so in no other way.
func (c compiler) arguments(found string) []string {
	if c.family == "clang" {
		suffix := strings.TrimPrefix(found, "clang")
		if inPath(os.Getenv("PATH"), "ld.lld"+suffix) {
			return []string{"LLVM=" + cmp.Or(suffix, "1")}
		}
	}
	return []string{"CC=" + found}
}

// differs tells whether a compiler is of another version than the kernel's, and
// how: what one of them knows, the other may not.
func (t *tools) differs(h *Headers) string {
	want := compilerOf(h)
	text, err := exec.Command(t.compiler, "-dumpversion").Output()
	if err != nil || want.major == "" {
		return ""
	}
	major, _, _ := strings.Cut(strings.TrimSpace(string(text)), ".")
	if major == want.major {
		return ""
	}
	return fmt.Sprintf("this is %s %s, and the kernel was compiled with %s %s", want.family, major, want.family, want.major)
}
