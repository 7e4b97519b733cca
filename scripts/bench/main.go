// Command bench measures, on kernels of the lab, what watching modules costs by
// kmodtrace and by what people use today, doing the same work under each in turn.
//
//	go run ./scripts/bench [--rounds N] [--json FILE] [--only REGEXP] SERIES...
//
// Times under emulation mean little; ratios to the same work without any tracer, of the
// same round, mean something. They are what it prints.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	rounds := flags.Int("rounds", 5, "do the work so often under each")
	only := flags.String("only", "", "only the contenders that match, and none")
	out := flags.String("json", "", "write each measurement to this file too, a line each")
	guest := flags.Bool("guest", false, "be the part inside the guest")
	work := flags.String("work", "", "in the guest: do this work, and print the seconds that one piece took")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 {
		return fmt.Errorf("%d rounds: want at least one", *rounds)
	}
	if *work != "" {
		return measureOne(*work, stdout)
	}
	if *guest {
		return measureAll(ctx, *rounds, *only, stdout)
	}
	if flags.NArg() == 0 {
		return errors.New("no kernels named: want SERIES, as in 6.12")
	}
	var all bytes.Buffer
	for _, series := range flags.Args() {
		lines, err := onKernel(ctx, series, *rounds, *only, stderr)
		all.Write(lines)
		if err != nil {
			return fmt.Errorf("%s: %w", series, err)
		}
		if err := printTable(stdout, lines); err != nil {
			return fmt.Errorf("%s: %w", series, err)
		}
	}
	if *out != "" {
		return os.WriteFile(*out, all.Bytes(), 0o644)
	}
	return nil
}

// inside is where the guest has the packages of the contenders.
const inside = "/contenders"

// onKernel measures in one machine, and gives what it printed.
func onKernel(ctx context.Context, series string, rounds int, only string, stderr io.Writer) ([]byte, error) {
	cache, err := lab.CacheDir()
	if err != nil {
		return nil, err
	}
	self, err := build(ctx)
	if err != nil {
		return nil, err
	}
	kernel, err := lab.EnsureKernel(ctx, cache, series, runtime.GOARCH, stderr)
	if err != nil {
		return nil, err
	}
	modules, err := lab.BuildSpecimens(ctx, cache, kernel, stderr)
	if err != nil {
		return nil, err
	}
	tools, err := lab.Packages(ctx, cache, "tracers to compare with", packages(), stderr)
	if err != nil {
		return nil, err
	}
	var stdout bytes.Buffer
	m := lab.Machine{
		Kernel: kernel, Cache: cache, Progress: stderr, Timeout: time.Hour, Memory: 3072,
		Program: filepath.Join(filepath.Dir(self), "kmodtrace"),
		Files: []lab.File{
			{Host: self, Guest: "/usr/local/bin/bench"},
			{Host: tools, Guest: inside},
			{Host: filepath.Join(modules, "hello.ko"), Guest: helloModule},
		},
	}
	status, err := lab.Run(ctx, m, []string{"bench", "--guest", "--rounds", strconv.Itoa(rounds), "--only", only}, &stdout, stderr)
	if err == nil && status != 0 {
		err = fmt.Errorf("the guest's part ended with %d", status)
	}
	return stdout.Bytes(), err
}

// build makes the program that runs in the guest: this one, static.
func build(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	dir := string(bytes.TrimSpace(root))
	name := filepath.Join(dir, "bin", "bench")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", name, "./scripts/bench")
	cmd.Dir, cmd.Stderr, cmd.Env = dir, os.Stderr, append(os.Environ(), "CGO_ENABLED=0")
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build for the guest: %w", err)
	}
	return name, nil
}

// sample is one measurement, as the guest prints it.
type sample struct {
	Kernel    string  `json:"kernel"`
	Contender string  `json:"contender"`
	Command   string  `json:"command"`
	Measure   string  `json:"measure"`
	Round     int     `json:"round"`
	Value     float64 `json:"value"` // seconds for each, or what the measure's name says
	Why       string  `json:"why,omitempty"`
}

func parseSamples(lines []byte) (all []sample, err error) {
	for line := range bytes.Lines(lines) {
		var s sample
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("what the guest printed: %w: %q", err, line)
		}
		all = append(all, s)
	}
	return all, nil
}
