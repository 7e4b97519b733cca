package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/modinfo"
	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// leftOut are modules that a guest cannot load and go on, or not within minutes, and why.
var leftOut = map[string]string{}

// TestModules loads each module of a distribution's kernel by modprobe and removes it again by
// modprobe -r, one after another under `watch --json`. What watch says has to equal what modprobe
// said, with a cause for each failure; where the kernel asked for a module, the call site has to be
// the one that the kernel names itself. `info` has to equal modinfo. KMODTRACE_PART says which modules
// are tried: 3/10 is every tenth by name, from the third on; 1/1, as in make all-modules, is all. It
// has a machine of its own, because some modules cannot be removed.
func TestModules(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if err := roles.Install("kmodtrace"); err != nil {
		t.Fatal(err)
	}
	release, err := tracer.Release()
	if err != nil {
		t.Fatal(err)
	}
	directory := filepath.Join("/lib/modules", release)
	files := modulesToTry(t, directory)
	t.Run("depmod", func(t *testing.T) { compareDepmod(t, directory, release) })
	t.Run("info", func(t *testing.T) { compareInfo(t, files) })
	t.Run("watch", func(t *testing.T) { watchModules(t, files) })
}

// modulesToTry gives the paths of modules that modules.dep lists, by name.
func modulesToTry(t *testing.T, directory string) []string {
	t.Helper()
	part, of := 1, 10
	if text := os.Getenv("KMODTRACE_PART"); text != "" {
		if n, err := fmt.Sscanf(text, "%d/%d", &part, &of); n != 2 || part < 1 || part > of {
			t.Fatalf("KMODTRACE_PART=%s: want a part and of how many, as in 1/10: %v", text, err)
		}
	}
	var all []string
	for path := range dependencies(t, filepath.Join(directory, "modules.dep")) {
		all = append(all, filepath.Join(directory, path))
	}
	slices.SortFunc(all, func(a, b string) int { return strings.Compare(kmod.NameOfFile(a), kmod.NameOfFile(b)) })
	var files []string
	for i, path := range all {
		if why := leftOut[kmod.NameOfFile(path)]; why != "" {
			t.Logf("%s is left out: %s", kmod.NameOfFile(path), why)
		} else if i%of == part-1 {
			files = append(files, path)
		}
	}
	t.Logf("%d of %d modules", len(files), len(all))
	if len(files) == 0 {
		t.Fatal("modules.dep lists no modules")
	}
	return files
}

// compareDepmod has the guest's depmod read the whole tree, whose files are compressed from 6.12 on,
// and compares what it lists with what was listed when the kernel was fetched.
func compareDepmod(t *testing.T, directory, release string) {
	out := t.TempDir()
	if text, err := exec.Command("/sbin/depmod", "-o", out, release).CombinedOutput(); err != nil || len(text) > 0 {
		t.Fatalf("depmod: %v: %s", err, text)
	}
	want := dependencies(t, filepath.Join(directory, "modules.dep"))
	got := dependencies(t, filepath.Join(out, "lib/modules", release, "modules.dep"))
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("modules.dep as fetched -, by the guest's depmod +:\n%s", diff)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(got)), func(needed []string) bool { return len(needed) > 0 }) {
		t.Error("no module depends on another")
	}
}

// dependencies reads a modules.dep: the files of each module's dependencies.
func dependencies(t *testing.T, path string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		file, needed, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("%s: a line without a colon: %q", path, line)
		}
		all[file] = slices.Sorted(slices.Values(strings.Fields(needed)))
	}
	return all
}

// compareInfo compares what info and what modinfo say of each file.
func compareInfo(t *testing.T, files []string) {
	text, err := exec.Command("/sbin/modinfo", append([]string{"-0"}, files...)...).Output()
	if err != nil {
		t.Fatalf("modinfo: %v", err)
	}
	want := modinfo.Split(string(text))
	if len(want) != len(files) {
		t.Fatalf("modinfo gave %d records for %d files", len(want), len(files))
	}
	for i, path := range files {
		var out, errs bytes.Buffer
		if status := run([]string{"info", "--json", path}, nil, &out, &errs); status != exitOK {
			t.Errorf("info %s ended with %d: %s", path, status, errs.Bytes())
			continue
		}
		got, err := modinfo.Of(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		delete(want[i], modinfo.SignatureKey) // JSON does not have it
		if diff := gocmp.Diff(want[i], got); diff != "" {
			t.Errorf("%s: modinfo -, info +:\n%s", path, diff)
		}
	}
}

func watchModules(t *testing.T, files []string) {
	before := loadedModules(t)
	dir := t.TempDir()
	ready, out := filepath.Join(dir, "ready"), filepath.Join(dir, "out")
	stdout, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	var said strings.Builder
	watch := exec.Command(roles.Path("kmodtrace"), "watch", "--json", "--ready-file", ready)
	watch.Stdout, watch.Stderr = stdout, &said
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watch.Process.Kill() }()
	awaitFile(t, ready)
	sites := recordSites(t)

	var tries []modprobeTry
	for i, path := range files {
		name := kmod.NameOfFile(path)
		start := time.Now()
		if isLoaded(name) { // as another's dependency
			tries = append(tries, modprobe(t, true, name))
		}
		load := modprobe(t, false, name)
		remove := modprobe(t, true, name)
		tries = append(tries, load, remove)
		t.Logf("%d %s: %d %d, %.1f s", i, name, load.status, remove.status, time.Since(start).Seconds())
	}

	if err := watch.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := watch.Wait(); err != nil {
		t.Errorf("watch: %v", err)
	}
	t.Logf("watch: %s", said.String())
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var actions []modprobeAction
	for line := range bytes.Lines(text) {
		if err := validateText("action", line); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		actions = append(actions, readAction(t, line))
	}
	actions, unended := withEnds(actions)
	slices.SortStableFunc(actions, func(a, b modprobeAction) int { return cmp.Compare(a.End, b.End) })
	for _, problem := range slices.Concat(
		unended, judgeActions(actions), judgeTries(tries, actions), judgeSites(sites(), actions),
		judgeLoaded(before, loadedModules(t), actions),
	) {
		t.Error(problem)
	}
	t.Log(summary(actions))
}

// modprobe runs one, and ends the test when it does not end.
func modprobe(t *testing.T, remove bool, name string) modprobeTry {
	t.Helper()
	try := modprobeTry{module: name, remove: remove, loaded: isLoaded(name)}
	args := []string{name}
	if remove {
		args = []string{"-r", name}
	}
	cmd := exec.Command("/sbin/modprobe", args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	try.pid = cmd.Process.Pid
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
	case <-time.After(await.Bound):
		stack, err := os.ReadFile(fmt.Sprintf("/proc/%d/stack", try.pid))
		t.Fatalf("modprobe %q does not end: %s %v", args, stack, err)
	}
	try.status, try.said = cmd.ProcessState.ExitCode(), said.String()
	return try
}

func isLoaded(name string) bool {
	_, err := os.Stat(filepath.Join("/sys/module", name, "initstate"))
	return err == nil
}

// loadedModules gives what /proc/modules lists.
func loadedModules(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/modules")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, " ")
		names = append(names, name)
	}
	return names
}

// recordSites has the kernel print each request with the symbol at its call site, while it waits
// for its helper, so that the module is still there. It returns what gives them all. A probe
// finds the call site: where kmodtrace has a kretprobe on the function, the kernel's own tracepoint shows
// arch_rethook_trampoline instead. The probe runs before that, because it comes after it.
func recordSites(t *testing.T) func() []requestSite {
	t.Helper()
	root := t.TempDir()
	if err := unix.Mount("tracefs", root, "tracefs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(root, unix.MNT_DETACH) })
	caller := "$stack0"
	if runtime.GOARCH == "arm64" {
		caller = "%lr"
	}
	write := func(name, text string) error {
		f, err := os.OpenFile(filepath.Join(root, name), os.O_WRONLY, 0) // to truncate kprobe_events removes all probes
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		return errors.Join(err, f.Close())
	}
	for _, f := range [][2]string{
		{"kprobe_events", "p:" + siteGroup + "/" + siteEvent + " __request_module site=" + caller + ":symbol"},
		{"events/" + siteGroup + "/enable", "1"},
		{"events/module/module_request/enable", "1"},
	} {
		if err := write(f[0], f[1]); err != nil {
			t.Fatal(err)
		}
	}
	pipe, err := os.OpenFile(filepath.Join(root, "trace_pipe"), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, err := unix.Read(int(pipe.Fd()), buffer)
			switch {
			case n > 0:
				text.Write(buffer[:n])
				continue
			case err != nil && err != unix.EAGAIN && err != unix.EINTR:
				done <- err
				return
			}
			select {
			case <-stop:
				done <- nil
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	return func() []requestSite {
		close(stop)
		if err := <-done; err != nil {
			t.Errorf("trace_pipe: %v", err)
		}
		_ = pipe.Close()
		err := errors.Join(
			write("events/module/module_request/enable", "0"),
			write("events/"+siteGroup+"/enable", "0"), write("kprobe_events", "-:"+siteGroup+"/"+siteEvent),
		)
		if err != nil {
			t.Error(err)
		}
		sites, err := parseSites(text.String())
		if err != nil {
			t.Error(err)
		}
		return sites
	}
}

// summary counts what happened, by action, outcome, errno and cause.
func summary(actions []modprobeAction) string {
	counts := make(map[string][]string)
	for _, a := range actions {
		key := fmt.Sprint(a.Action, " ", a.Outcome, " ", a.Errno, " ", a.causeCode())
		counts[key] = append(counts[key], a.Module)
	}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		names := slices.Compact(slices.Sorted(slices.Values(counts[key])))
		fmt.Fprintf(&text, "\n%5d %s: %s", len(counts[key]), key, strings.Join(names[:min(len(names), 12)], " "))
	}
	return text.String()
}
