package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/term"
)

func newLabExecCommand() *cobra.Command {
	flags, stall := new(machineFlags), time.Duration(0)
	cmd := &cobra.Command{
		Use:   "exec [flags] -- TESTBINARY [ARGUMENT]...",
		Short: "Run a compiled Go test in a guest, for go test -exec",
		Long: `Boot a kernel and run a program of this machine in it, as go test -exec wants: the
program and the folder testdata beside it go along, it runs in the same folder below
its Go module (/src in the guest), and variables named KMODTRACE_… are passed.

A test that hangs shows where: when it has printed nothing for the time of --stall, and
when this process gets SIGQUIT, the test gets SIGQUIT, at which it prints the stacks of
its goroutines. Where that does not end it, --stall ends the machine a minute later, and
the error has the end of the console. The machine has the time that the test has by
-test.timeout, and a minute more; without one, or with 0, it is not limited. --timeout
counts instead of that.`,
		Example: `  CGO_ENABLED=0 go test -exec 'kmodtrace lab exec --kernel 6.12 --' ./tracer`,
		Args:    func(_ *cobra.Command, args []string) error { return needCommand(args) },
		RunE: func(cmd *cobra.Command, args []string) error {
			if stall < 0 {
				return cli.Usagef("--stall %v: must not be negative", stall)
			}
			if err := flags.placeTest(args, cmd.Flags().Changed("timeout")); err != nil {
				return labError(err)
			}
			m, err := flags.machine(cmd.Context(), cmd.ErrOrStderr())
			if err != nil {
				return labError(err)
			}
			m.Env = append(passedVariables(os.Environ()), m.Env...)
			m.Stdin, m.Stall = cmd.InOrStdin(), stall
			var unlisten func()
			m.Signals, unlisten = quitSignals()
			defer unlisten()
			argv, err := carryTest(&m, args)
			if err != nil {
				return labError(err)
			}
			stdout, flush := term.GuestText(cmd.OutOrStdout())
			stderr, flushErrors := term.GuestText(cmd.ErrOrStderr())
			status, err := lab.Run(cmd.Context(), m, argv, stdout, stderr)
			flush()
			flushErrors()
			return labResult(status, err)
		},
	}
	cmd.Flags().SetInterspersed(false)
	flags.register(cmd.Flags())
	cmd.Flags().Lookup("timeout").DefValue = "that of the test"
	cmd.Flags().DurationVar(&stall, "stall", 15*time.Minute, "end the machine when the guest sends nothing for this `TIME`; 0 for never")
	return cmd
}

// quitSignals gives what asks a program to say where it is, until unlisten is called: for
// the guest's command, and not for this process.
func quitSignals() (signals <-chan os.Signal, unlisten func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGQUIT)
	return c, func() { signal.Stop(c) }
}

// bootAllowance is what a machine may take beyond its test's own timeout, so
// that a test that hangs can still tell where.
const bootAllowance = time.Minute

// placeTest puts the guest's working folder where the test's is in its module,
// and the machine's end after the test's own, unless the user has said when that is.
func (f *machineFlags) placeTest(args []string, limited bool) error {
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	f.dir = guestFolder(cwd)
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

// guestFolder gives the guest's name of a folder of a Go module: /src, and the
// way from the module's root to the folder.
func guestFolder(dir string) string {
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

// carryOutput lets the test write its file into a folder of the guest, and
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
	bring := lab.Bring{Guest: name, Folder: filepath.Dir(host), File: true}
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
