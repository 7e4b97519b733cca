package kmodtrace

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/kmodtrace/kmodtrace/"

// directions are what no package may import, by directory: a directory stands for all below it.
var directions = []struct {
	from, to string
	because  string
}{
	{"tracer", "kmod", "the tracer knows what the kernel did, and kmod files and system calls: record joins them"},
	{"kmod", "tracer", "the tracer knows what the kernel did, and kmod files and system calls: record joins them"},
	{"kernel", "tracer", "facts about a kernel come first"},
	{"tracer", "record", "a record is made of an action"},
	{"tracer/internal/attach", "tracer/internal/ring", "what is attached does not know who reads what it tells"},
	{"tracer/internal/ring", "tracer/internal/attach", "who reads records does not know what tells them"},
	{"tracer", "holders", "what watches one module is apart from what watches all"},
	{"holders", "cause", "who holds a module is evidence of a cause"},
	{"cause", "record", "a record has a cause"},
	{"oops", "tracer", "what a kernel prints says nothing of who recorded it"},
	{"provenance", "record", "a record has an origin"},
	{"record", "proof", "a proof has records"},
	{"calls", "tracer", "what a module calls is seen by probes of its own, not by hooks"},
	{"calls", "record", "what a module calls is a part of a result, not of a record"},
	{"record", "journal", "a record does not know where it is kept"},
	{"record", "rule", "a record does not know what is found in it"},
	{"rule", "journal", "a rule looks at records, wherever they are kept"},
	{"internal/rules", "internal/watch", "rules do not know who watches by them"},
	{"journal", "tracer", "a journal keeps what it is given"},
	{"proof", "reload", "a reload is made of proofs"},
	{"proof", "service", "libraries serve the commands and the service"},
	{"reload", "service", "libraries serve the commands and the service"},
	{"service", "proof", "the service watches, and changes nothing"},
	{"journal", "fleet", "a journal does not know who compares it"},
	{"fleet", "service", "libraries serve the commands and the service"},
	{"service", "timeline", "pictures are the commands'"},
	{"", "cmd", "nothing imports a command"},
	{"proof", "internal/lab", "the lab is a tool, not a part of the libraries"},
	{"tracer", "internal/lab", "the lab is a tool, not a part of the libraries"},
	{"kmod", "internal/lab", "the lab is a tool, not a part of the libraries"},
	{"service", "internal/lab", "the lab is a tool, not a part of the libraries"},
	{"internal/jsonline", "tracer", "a line of JSON knows nothing of what it holds"},
	{"internal/cells", "internal/term", "text comes before where it is printed"},
	{"internal/term", "tracer", "a terminal knows nothing of modules"},
	{"internal/term", "kmod", "a terminal knows nothing of modules"},
	{"internal/cli", "internal/render", "errors of usage come before what is printed"},
	{"internal/render", "internal/act", "what is printed does not know how it came about"},
	{"internal/render", "internal/watch", "what is printed does not know how it came about"},
	{"internal/watch", "internal/act", "watching changes nothing"},
	{"internal/explain", "internal/act", "explaining changes nothing"},
	{"internal/wire", "tracer", "how bytes become structs comes before what they mean"},
	{"internal/tracing", "internal/render", "a tracer is there before something is printed"},
	{"internal/act", "internal/dev", "a round of dev is made of what act does"},
	{"internal/lab", "internal/lab/cmdline", "a machine does not know who describes it"},
	{"internal/render", "internal/filter", "what is shown is selected before"},
	{"internal/render", "internal/history", "a rendering does not know who asked for it"},
	{"internal/render", "internal/follow", "a rendering does not know who asked for it"},
}

// libraries have no command line, and no exit status.
var libraries = []string{"calls", "record", "cause", "fleet", "holders", "journal", "kbuild", "kernel", "kmod", "oops", "proof", "provenance", "reload", "rule", "timeline", "tracer"}

// notForLibraries are what a library has no use for, so that it cannot print, log or parse a
// command line.
var notForLibraries = []string{"github.com/spf13/cobra", "github.com/rs/zerolog", "log", "log/slog", "flag"}

// TestImports: the packages import each other in one direction, as the shape of the project
// has it.
func TestImports(t *testing.T) {
	seen := make(map[string]bool)
	for pkg, imports := range imported(t) {
		seen[pkg] = true
		for _, path := range imports {
			for _, d := range directions {
				if name, ok := strings.CutPrefix(path, module); ok && below(pkg, d.from) && below(name, d.to) && !below(pkg, d.to) {
					t.Errorf("%s imports %s: %s", pkg, name, d.because)
				}
			}
			for _, library := range libraries {
				for _, other := range notForLibraries {
					if below(pkg, library) && path == other {
						t.Errorf("%s imports %s: a library neither prints nor logs, and has no command line", pkg, path)
					}
				}
			}
		}
	}
	for _, library := range libraries {
		if !seen[library] {
			t.Errorf("there is no package %s", library)
		}
	}
}

func below(pkg, directory string) bool {
	return directory == "" || pkg == directory || strings.HasPrefix(pkg, directory+"/")
}

// imported gives what each directory's files import, but for tests.
func imported(t *testing.T) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		all[pkg] = append(all[pkg], "") // also one that imports nothing
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			all[pkg] = append(all[pkg], name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
