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
	where := fmt.Sprintf("%s, in QEMU (%s) with %d CPUs, on %s", time.Now().Format(time.DateOnly), accel, guestCPUs, processor())
	if err := json.NewEncoder(&stdout).Encode(sample{Kernel: kernel.Release, Part: machinePart, Text: where}); err != nil {
		return nil, err
	}
	m := lab.Machine{
		Kernel: kernel, Cache: cache, Progress: stderr, Timeout: 2 * time.Hour, Memory: 4096, CPUs: guestCPUs, Accel: accel,
		Program: filepath.Join(filepath.Dir(self), "kmodtrace"),
		Files: []lab.File{
			{Host: self, Guest: "/usr/local/bin/bench"},
			{Host: tools, Guest: inside},
			{Host: modules, Guest: specimens},
		},
	}
	status, err := lab.Run(ctx, m, []string{"bench", "--guest", "--rounds", strconv.Itoa(o.rounds),
		"--less", strconv.Itoa(o.less), "--only", o.only, "--parts", o.parts}, &stdout, stderr)
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
