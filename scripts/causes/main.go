// Command causes makes every cause that kmodtrace knows happen on real kernels, in
// machines of the lab, and prints what kmodtrace said about each: a matrix of cause,
// kernel and way. It runs TestCauses of cmd/kmodtrace once for each kernel and each
// way to boot it.
//
//	go run ./scripts/causes [--machines N] [--summary FILE] [--tally FILE] [--only REGEXP] ARCH/SERIES...
//
// Its exit status is 1 when something was explained wrongly, or not tried to the end.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// boot is a way to boot a kernel: the group of cases that it is for, and the
// kernel's arguments.
type boot struct{ name, arguments string }

// boots lists them, the longest first. 5.10 has the BPF security module only when it
// is asked for.
func boots() []boot {
	return []boot{
		{"plain", "module_blacklist=positive lsm=lockdown,yama,apparmor,bpf"},
		{"enforce", "module.sig_enforce=1"},
		{"lockdown", "lockdown=integrity"},
		{"crash-insmod", ""}, {"crash-modprobe", ""}, {"crash-load", ""}, {"crash-rmmod", ""},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "causes: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("causes", flag.ContinueOnError)
	flags.SetOutput(stderr)
	machines := flags.Int("machines", 1, "run so many machines at once")
	summary := flags.String("summary", "", "write the summary as a Markdown table to this file too")
	tally := flags.String("tally", "", "append the numbers of right, wrong and unproducible ones to this file")
	only := flags.String("only", "", "only the cases that match")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("no kernels named: want ARCH/SERIES")
	}
	if *machines < 1 {
		return fmt.Errorf("%d machines: want at least one", *machines)
	}
	r := &runner{machines: *machines, only: *only, stderr: stderr}
	remove, err := r.build(ctx)
	if err != nil {
		return err
	}
	defer remove()
	m := r.all(ctx, flags.Args())
	io.WriteString(stdout, m.text())
	if *summary != "" {
		if err := os.WriteFile(*summary, []byte(m.summary()), 0o644); err != nil {
			return err
		}
	}
	if *tally != "" {
		if err := m.addTo(*tally); err != nil {
			return err
		}
	}
	return errors.Join(ctx.Err(), m.err())
}

// runner runs the test in machines.
type runner struct {
	machines int // at once
	only     string
	root     string // of the repository
	test     string // the compiled test
	stderr   io.Writer
}

// build compiles the test into a directory of this run's own, since several may run at once, and
// gives the function that removes it.
func (r *runner) build(ctx context.Context) (remove func(), err error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("find the repository: %w", err)
	}
	r.root = strings.TrimSpace(string(out))
	dir, err := os.MkdirTemp("", "kmodtrace-causes-")
	if err != nil {
		return nil, fmt.Errorf("build the test: %w", err)
	}
	remove = func() { os.RemoveAll(dir) }
	// The name is the program's that holds references in some cases.
	r.test = filepath.Join(dir, "kmodtrace.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", r.test, "./cmd/kmodtrace")
	build.Dir, build.Stderr = r.root, r.stderr
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := build.Run(); err != nil {
		remove()
		return nil, fmt.Errorf("build the test: %w", err)
	}
	return remove, nil
}

// all runs every boot of every kernel, the longest boots first.
func (r *runner) all(ctx context.Context, kernels []string) *matrix {
	m := newMatrix(kernels)
	var results sync.Mutex
	var group errgroup.Group
	group.SetLimit(r.machines)
	for _, b := range boots() {
		for _, kernel := range kernels {
			group.Go(func() error {
				output, err := r.boot(ctx, kernel, b)
				results.Lock()
				defer results.Unlock()
				m.add(kernel, b.name, output, err)
				return nil
			})
		}
	}
	_ = group.Wait() // what failed is in the matrix
	return m
}

// boot runs the cases of one boot. The error is that of a run that did not come to
// its end: a wrong explanation is none.
func (r *runner) boot(ctx context.Context, kernel string, b boot) ([]byte, error) {
	start := time.Now()
	arch, series, ok := strings.Cut(kernel, "/")
	if !ok {
		return nil, fmt.Errorf("%s: want ARCH/SERIES", kernel)
	}
	pattern := "^TestCauses$"
	if r.only != "" {
		pattern += "/" + r.only
	}
	cmd := exec.CommandContext(ctx, filepath.Join(r.root, "bin", "kmodtrace"), "lab", "exec", "--arch", arch, "--kernel", series,
		"--append", b.arguments, "--", r.test, "-test.run", pattern, "-test.v")
	cmd.Dir = filepath.Join(r.root, "cmd", "kmodtrace")
	cmd.Env = append(os.Environ(), "KMODTRACE_BOOT="+b.name)
	cmd.Stderr = r.stderr
	// A machine whose test hangs is ended by lab exec.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	var output bytes.Buffer
	cmd.Stdout = io.MultiWriter(&output, &ticker{name: kernel + ", " + b.name, out: r.stderr})
	err := cmd.Run()
	fmt.Fprintf(r.stderr, "causes: %s, %s: %d s\n", kernel, b.name, int(time.Since(start).Seconds()))
	return output.Bytes(), err
}

// ticker says how far a run is, now and then, and at once what is wrong.
type ticker struct {
	name string
	out  io.Writer
	last time.Time
	rest []byte
}

// tickEvery is how often progress is said.
const tickEvery = 30 * time.Second

func (t *ticker) Write(p []byte) (int, error) {
	t.rest = append(t.rest, p...)
	for {
		line, rest, found := bytes.Cut(t.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		t.rest = rest
		test, begins := bytes.CutPrefix(line, []byte("=== RUN   TestCauses/"))
		wrongCell := bytes.HasPrefix(line, []byte("causes: ")) && bytes.Contains(line, []byte(`"verdict":"`+wrong+`"`))
		switch {
		case wrongCell:
			fmt.Fprintf(t.out, "causes: %s: %s\n", t.name, line)
		case begins && time.Since(t.last) > tickEvery:
			t.last = time.Now()
			fmt.Fprintf(t.out, "causes: %s: at %s\n", t.name, test)
		}
	}
}
