package cmdline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/term"
)

// RunTest boots the machine and runs a compiled Go test in it, as go test -exec wants: see
// [lab.Run]. The machine ends when the guest sends nothing for the time of stall. It has the
// test's own time, unless limited says that the user has given the machine one.
func (f *Machine) RunTest(ctx context.Context, args []string, limited bool, stall time.Duration, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	if err := f.placeTest(args, limited); err != nil {
		return -1, err
	}
	m, err := f.machine(ctx, stderr)
	if err != nil {
		return -1, err
	}
	m.Env = append(passedVariables(os.Environ()), m.Env...)
	m.Stdin, m.Stall = stdin, stall
	var unlisten func()
	m.Signals, unlisten = quitSignals()
	defer unlisten()
	argv, err := carryTest(&m, args)
	if err != nil {
		return -1, err
	}
	out, flush := term.GuestText(stdout)
	errOut, flushErrors := term.GuestText(stderr)
	status, err := lab.Run(ctx, m, argv, out, errOut)
	flush()
	flushErrors()
	return status, err
}

// bootAllowance is what a machine may take beyond its test's own timeout, so
// that a test that hangs can still tell where.
const bootAllowance = time.Minute

// placeTest puts the guest's working directory where the test's is in its module,
// and the machine's end after the test's own, unless the user has said when that is.
func (f *Machine) placeTest(args []string, limited bool) error {
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	f.dir = guestDirectory(cwd)
	if !limited {
		f.timeout = 0
	}
	for _, arg := range args[1:] {
		text, ok := strings.CutPrefix(arg, "-test.timeout=")
		if !ok {
			continue
		}
		limit, err := time.ParseDuration(text)
		if err != nil {
			return cli.Usagef("%s: %w", arg, err)
		}
		if !limited {
			f.timeout = 0 // of two, the last counts
			if limit > 0 {
				f.timeout = limit + bootAllowance
			}
		}
	}
	return nil
}

// guestDirectory gives the guest's name of a directory of a Go module: /src, and the
// way from the module's root to the directory.
func guestDirectory(dir string) string {
	for root := dir; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			rel, _ := filepath.Rel(root, dir) // dir is below root
			return path.Join("/src", filepath.ToSlash(rel))
		}
		if root == filepath.Dir(root) {
			return "/src"
		}
	}
}

// carryTest adds the test, its testdata, and the way back for what it writes
// (profiles), and gives the command line as the guest has to see it.
func carryTest(m *lab.Machine, args []string) ([]string, error) {
	name := path.Join("/src", "bin", filepath.Base(args[0]))
	m.Files = append(m.Files, lab.File{Host: args[0], Guest: name, Programs: true})
	switch info, err := os.Stat("testdata"); {
	case err == nil && info.IsDir():
		m.Files = append(m.Files, lab.File{Host: "testdata", Guest: path.Join(m.Dir, "testdata")})
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	argv := []string{name}
	for _, arg := range args[1:] {
		moved, err := carryOutput(m, arg)
		if err != nil {
			return nil, err
		}
		argv = append(argv, moved)
	}
	return argv, nil
}

// outputFlags name a file or directory that the test writes. Nothing but these comes back.
var outputFlags = [...]string{
	"-test.coverprofile=", coverDirFlag, "-test.cpuprofile=", "-test.memprofile=",
	"-test.blockprofile=", "-test.mutexprofile=", "-test.trace=",
}

const (
	coverDirFlag = "-test.gocoverdir="
	coverData    = "cov*.*" // covmeta.…, covcounters.…
)

// carryOutput lets the test write its file into a directory of the guest, and
// brings it back to where the host wants it.
func carryOutput(m *lab.Machine, arg string) (string, error) {
	if strings.HasPrefix(arg, "-test.outputdir=") {
		return "-test.outputdir=/tmp", nil
	}
	i := slices.IndexFunc(outputFlags[:], func(flag string) bool { return strings.HasPrefix(arg, flag) })
	if i < 0 {
		return arg, nil
	}
	flag := outputFlags[i]
	host, err := filepath.Abs(strings.TrimPrefix(arg, flag))
	if err != nil {
		return "", fmt.Errorf("%s: %w", arg, err)
	}
	if host == os.DevNull {
		return arg, nil // the guest has one too
	}
	name := path.Join("/tmp", filepath.Base(host))
	bring := lab.Bring{Guest: name, Directory: filepath.Dir(host), File: true}
	if flag == coverDirFlag { // has to exist before the test runs, and may have files of other tests
		m.Files = append(m.Files, lab.File{Host: host, Guest: name})
		bring.File, bring.Add = false, coverData
	}
	m.Bring = append(m.Bring, bring)
	return flag + name, nil
}

// passedVariables picks what a test in the guest may want to know of the
// host's environment: KMODTRACE_…, but not what is about the host itself.
func passedVariables(environ []string) []string {
	var env []string
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		host := name == "KMODTRACE_CACHE" || name == "KMODTRACE_GUEST" || name == "KMODTRACE_MODULES" || strings.HasPrefix(name, "KMODTRACE_LAB")
		if strings.HasPrefix(name, "KMODTRACE_") && !host {
			env = append(env, pair)
		}
	}
	return env
}
