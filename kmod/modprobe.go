package kmod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/modname"
)

// modprobe is the path of the system's modprobe. It is only ever asked, with options
// that change nothing.
type modprobe string

// findModprobe looks in PATH, and where an ordinary user's PATH does not reach.
func findModprobe(path string) (modprobe, error) {
	if path != "" {
		return modprobe(path), nil
	}
	for _, candidate := range []string{"modprobe", "/sbin/modprobe", "/usr/sbin/modprobe"} {
		if found, err := exec.LookPath(candidate); err == nil {
			return modprobe(found), nil
		}
	}
	return "", fmt.Errorf("no modprobe on this system to resolve the name with; give the file: %w", exec.ErrNotFound)
}

// showDepends gives the steps for a name, as modprobe would take them.
func (m modprobe) showDepends(ctx context.Context, name string, flags ...string) ([]Step, error) {
	out, err := m.run(ctx, append(flags, "--show-depends", "--", name)...)
	if err != nil {
		return nil, err
	}
	steps, err := parseShowDepends(string(out))
	if err == nil && len(steps) == 0 {
		err = fmt.Errorf("%w: modprobe names no file for it (is it blacklisted?)", ErrNotFound)
	}
	return steps, err
}

// markTargets marks the steps asked for: the one of that name, or those that the
// alias stands for. Where none has a line of its own, the last line is of the module asked for.
func (m modprobe) markTargets(ctx context.Context, name string, steps []Step, flags ...string) error {
	wanted := map[string]bool{modname.Normal(name): true}
	if markTargets(steps, wanted) {
		return nil
	}
	last := &steps[len(steps)-1] // what has an install command has no soft dependencies behind it
	install := last.Kind == StepInstall
	out, err := m.run(ctx, append(flags, "--resolve-alias", "--", name)...)
	if err != nil && !install {
		return err
	}
	modules := strings.Fields(string(out))
	for _, module := range modules {
		wanted[modname.Normal(module)] = true
	}
	if markTargets(steps, wanted) {
		return nil
	}
	last.Target = true // or an old modprobe that resolves no aliases
	if install {
		last.Module = modname.Normal(name)
		if len(modules) == 1 {
			last.Module = modname.Normal(modules[0])
		}
	}
	return nil
}

func markTargets(steps []Step, wanted map[string]bool) bool {
	found := false
	for i := range steps {
		steps[i].Target = wanted[steps[i].Module]
		found = found || steps[i].Target
	}
	return found
}

// Bounds of one run.
const (
	maxOutput   = 4 << 20 // of --show-depends, whose lines are as many as there are dependencies
	maxErrors   = 16 << 10
	killedFirst = time.Second // and then its pipes are given up
)

// run gives modprobe's output. What it complains of becomes the error. It ends with the
// context, and with it what the configuration had it start.
func (m modprobe) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, string(m), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "MODPROBE_OPTIONS=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killedFirst
	stdout, stderr := head{most: maxOutput}, head{most: maxErrors}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	out := stdout.kept.Bytes()
	if err == nil && stdout.more {
		return nil, fmt.Errorf("%s: it wrote more than %d bytes", m, maxOutput)
	}
	if err == nil {
		return out, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	said := complaint(stderr.kept.String())
	var exit *exec.ExitError
	switch {
	case !errors.As(err, &exit):
		return nil, fmt.Errorf("%s: %w", m, bareError(err))
	case strings.Contains(said, "not found"):
		return nil, fmt.Errorf("%w: %s", ErrNotFound, said)
	case said == "":
		return nil, fmt.Errorf("%s: %w", m, err)
	}
	return nil, fmt.Errorf("%s: %s", m, said)
}

// complaint takes the first line of what modprobe wrote, without its own name.
func complaint(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	for _, prefix := range []string{"modprobe: ", "FATAL: ", "ERROR: "} {
		line = strings.TrimPrefix(line, prefix)
	}
	return line
}

// parseShowDepends reads the lines of `modprobe --show-depends`:
//
//	insmod FILE PARAMETERS…
//	builtin NAME
//	install COMMAND…
//
// An install line does not name its module, only the command: see nameInstalls.
func parseShowDepends(out string) ([]Step, error) {
	var steps []Step
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "insmod":
			path, params := cutModulePath(rest)
			steps = append(steps, Step{Module: NameOfFile(path), Path: path, Params: params})
		case "builtin":
			steps = append(steps, Step{Kind: StepBuiltin, Module: modname.Normal(strings.TrimSpace(rest))})
		case "install":
			steps = append(steps, Step{Kind: StepInstall, Command: strings.TrimSpace(rest)})
		case "":
		default:
			return nil, fmt.Errorf("modprobe wrote a line that is not understood: %s", shorten(line))
		}
	}
	return steps, nil
}

// cutModulePath cuts an insmod line after its file: at the first blank that follows
// an ending of module files, since directories may have blanks in their names.
func cutModulePath(s string) (path, params string) {
	for i := range len(s) {
		if s[i] != ' ' {
			continue
		}
		if _, ok := modname.Stem(s[:i]); ok {
			return s[:i], strings.TrimSpace(s[i:])
		}
	}
	return strings.TrimSpace(s), ""
}

// head keeps the first bytes that are written to it.
type head struct {
	kept bytes.Buffer // and not embedded: its ReadFrom has no bound
	most int
	more bool // than it keeps
}

// Write takes all: who writes it shall not stop for it.
func (h *head) Write(p []byte) (int, error) {
	keep := min(len(p), h.most-h.kept.Len())
	h.more = h.more || keep < len(p)
	h.kept.Write(p[:keep])
	return len(p), nil
}
