package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab"
)

// onKernel measures in one machine, which runs self, and gives the samples, a line each. What was measured
// before an error is given too.
func (o options) onKernel(ctx context.Context, self, series string, stderr io.Writer) ([]byte, error) {
	cache, err := lab.CacheDir()
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
	accel, err := lab.ChooseAccel(ctx, cache, kernel)
	if err != nil {
		return nil, err
	}
	var stdout bytes.Buffer
	cpus := guestCPUs
	if accel == lab.Counted {
		cpus = 1
	}
	where := fmt.Sprintf("%s, in QEMU (%s) with %d CPUs, on %s", time.Now().Format(time.DateOnly), accel, cpus, processor())
	if err := json.NewEncoder(&stdout).Encode(sample{Kernel: kernel.Release, Part: machinePart, Text: where}); err != nil {
		return nil, err
	}
	files := []lab.File{
		{Host: self, Guest: "/usr/local/bin/bench"},
		{Host: tools, Guest: inside},
		{Host: modules, Guest: specimens},
	}
	if o.against != "" {
		files = append(files, lab.File{Host: filepath.Join(filepath.Dir(self), earlierProgram), Guest: "/usr/local/bin/" + earlierProgram})
	}
	m := lab.Machine{
		Kernel: kernel, Cache: cache, Progress: stderr, Timeout: 2 * time.Hour, Memory: 4096, CPUs: cpus, Accel: accel,
		Program: filepath.Join(filepath.Dir(self), "kmodtrace"),
		Files:   files,
	}
	status, err := lab.Run(ctx, m, []string{"bench", "--guest", "--rounds", strconv.Itoa(o.rounds),
		"--less", strconv.Itoa(o.less), "--only", o.only, "--parts", o.parts, "--against", o.against}, &stdout, stderr)
	if err == nil && status != 0 {
		err = fmt.Errorf("the guest's part ended with %d", status)
	}
	return stdout.Bytes(), err
}

const guestCPUs = 2

// processor names the host's.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	_, rest, _ := strings.Cut(string(text), "model name")
	_, rest, _ = strings.Cut(rest, ":")
	name, _, _ := strings.Cut(rest, "\n")
	if name = strings.TrimSpace(name); name != "" {
		return name
	}
	return runtime.GOARCH
}

// build makes the program that runs in the guest: this one, static.
func build(ctx context.Context) (string, error) {
	root, err := repository(ctx)
	if err != nil {
		return "", err
	}
	name := filepath.Join(root, "bin", "bench")
	return name, compile(ctx, root, name, "./scripts/bench")
}

func repository(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	return string(bytes.TrimSpace(root)), nil
}

func compile(ctx context.Context, dir, name, what string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s", "-buildvcs=false", "-o", name, what)
	cmd.Dir, cmd.Stderr, cmd.Env = dir, os.Stderr, append(os.Environ(), "CGO_ENABLED=0")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s for the guest: %w", what, err)
	}
	return nil
}

// earlierProgram is kmodtrace of the revision to compare with, beside this one.
const earlierProgram = "kmodtrace-earlier"

// buildEarlier makes it from what git has, and gives the revision's short name.
func buildEarlier(ctx context.Context, revision string) (short string, err error) {
	root, err := repository(ctx)
	if err != nil {
		return "", err
	}
	git := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir, cmd.Stderr = root, os.Stderr
		return cmd
	}
	name, err := git("rev-parse", "--verify", "--short", revision+"^{commit}").Output()
	if err != nil {
		return "", fmt.Errorf("no revision %q: %w", revision, err)
	}
	short = string(bytes.TrimSpace(name))
	tree, err := os.MkdirTemp("", "bench-earlier")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tree)
	archive := filepath.Join(tree, "tree.tar")
	if err := git("archive", "-o", archive, short).Run(); err != nil {
		return "", fmt.Errorf("git archive %s: %w", short, err)
	}
	unpack := exec.CommandContext(ctx, "tar", "-x", "-f", archive, "-C", tree)
	unpack.Stderr = os.Stderr
	if err := unpack.Run(); err != nil {
		return "", fmt.Errorf("unpack %s: %w", short, err)
	}
	return short, compile(ctx, tree, filepath.Join(root, "bin", earlierProgram), "./cmd/kmodtrace")
}
