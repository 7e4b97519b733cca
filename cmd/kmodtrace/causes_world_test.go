package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// world is a machine of the lab in which things are made to fail, beside a
// kmodtrace watch that sees all of it.
type world struct {
	kernel    *kernel.Kernel
	specimens string
	tree      string // a directory with lib/modules, of the specimens only
	watch     *watched
	fences    int
	bounded   bool // what is started has not the capability: see withoutCapability
	// shared is attached once for all commands of ours, which run in this process. Nil where
	// the kernel ends the thread that loads: there each has a process.
	shared *sharedTracer
}

func newWorld(t *testing.T, boot string) *world {
	t.Helper()
	w := &world{kernel: mustOpenKernel(t), specimens: os.Getenv("KMODTRACE_MODULES")}
	if !strings.HasPrefix(boot, crashBoot) {
		w.shared = &sharedTracer{t: t}
	}
	w.tree = t.TempDir()
	w.install(t)
	w.watch = startWatch(t)
	t.Cleanup(func() { w.watch.stop(t) })
	return w
}

// directory is where modprobe finds the specimens.
func (w *world) directory() string { return filepath.Join(w.tree, "lib/modules", w.kernel.Release()) }

// modprobe takes names from the specimens' own tree: depmod takes a minute for the
// distribution's in a machine that is emulated.
func (w *world) modprobe(args ...string) {
	command("/sbin/modprobe", append([]string{"-d", w.tree}, args...)...)
}

// install shows every specimen to modprobe under its file's name. depmod reads a
// sound module in the place of each, for it leaves out what is damaged, and what
// depends on others but failuser: modprobe would load these first.
func (w *world) install(t *testing.T) {
	t.Helper()
	hello := w.readSpecimen(t, "hello.ko")
	files, err := filepath.Glob(filepath.Join(w.specimens, "*.ko"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no specimens in %q: %v", w.specimens, err)
	}
	if err := os.MkdirAll(w.directory(), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data := hello
		switch name := filepath.Base(file); name {
		case "failbase.ko", "failuser.ko", "fsmod.ko":
			data = w.readSpecimen(t, name)
		}
		w.write(t, filepath.Join(w.directory(), filepath.Base(file)), data)
	}
	quiet(t, "/sbin/depmod", "-b", w.tree, w.kernel.Release())
}

// installed shows the specimens to everybody who looks for this kernel's modules, in
// the place of the distribution's. Who still reads there at the end keeps them; nobody else does.
func (w *world) installed(t *testing.T) (undo func()) {
	t.Helper()
	dir, _ := w.kernel.ModulesDir()
	if err := unix.Mount(w.directory(), dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}
}

// installVariant puts a specimen where modprobe finds it; false where there is none.
func (w *world) installVariant(t *testing.T, name string) bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(w.specimens, name))
	if err != nil {
		return false
	}
	if strings.HasSuffix(name, ".ko") {
		w.write(t, filepath.Join(w.directory(), name), data)
	}
	return true
}

func (w *world) specimen(name string) string { return filepath.Join(w.specimens, name) }

func (w *world) readSpecimen(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(w.specimen(name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (w *world) write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// load tries to load a specimen in one way.
func (w *world) load(way, file string, params []string) seen {
	switch way {
	case "check":
		return ofVerdict(w.kmodtrace(append([]string{"check", "--json", w.specimen(file)}, params...)...))
	case "load":
		return ofResult(w.kmodtrace(append([]string{"load", "--json", w.specimen(file)}, params...)...))
	case "syscall":
		return w.seenDuring(func() { finitModule(w.specimen(file), 0) })
	case "insmod":
		return w.seenDuring(func() { command("/sbin/insmod", append([]string{w.specimen(file)}, params...)...) })
	case "busybox":
		return w.seenDuring(func() { command("/bin/busybox", append([]string{"insmod", w.specimen(file)}, params...)...) })
	case "modprobe":
		name := strings.TrimSuffix(file, ".ko")
		return w.seenDuring(func() { w.modprobe(append([]string{name}, params...)...) })
	}
	return seen{problem: "no such way"}
}

// unload tries to unload a module in one way. kmod's rmmod asks /sys/module itself and
// refuses before the kernel is asked; busybox's does not.
func (w *world) unload(way, name string) seen {
	switch way {
	case "unload":
		return ofResult(w.kmodtrace("unload", "--json", name))
	case "rmmod":
		return w.seenDuring(func() { command("/bin/busybox", "rmmod", name) })
	}
	return seen{problem: "no such way"}
}

// kmodtrace runs a command of ours, and gives what it printed.
func (w *world) kmodtrace(args ...string) []byte {
	if w.shared == nil {
		out, _ := command("kmodtrace", args...)
		return out
	}
	var out bytes.Buffer
	w.shared.run(args, &out, io.Discard) // that it fails is the point
	return out.Bytes()
}

// command runs a program to its end, which must come.
func command(name string, args ...string) (stdout, stderr []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), await.Bound)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // that it fails is the point
	return out.Bytes(), errs.Bytes()
}

// quiet runs what must work.
func quiet(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// withoutCapability runs do in a thread whose children are root without
// CAP_SYS_MODULE.
func (w *world) withoutCapability(do func()) {
	shared := w.shared
	w.shared = nil // this process keeps it
	w.bounded = true
	defer func() { w.shared, w.bounded = shared, false }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and it ends with the goroutine
		dropCapability()
		do()
	}()
	<-done
}

// dropCapability keeps the capability from the programs that this thread starts.
func dropCapability() {
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_MODULE, 0, 0, 0); err != nil {
		panic(err)
	}
}

// deny has the kernel's LSM hook answer with an errno.
func deny(t *testing.T, hook string, errno syscall.Errno) (undo func()) {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: hook, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -int32(errno)), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := link.AttachLSM(link.LSMOptions{Program: p})
	if err != nil {
		t.Fatal(err)
	}
	return func() { l.Close(); p.Close() }
}

// loaded puts a specimen in, and takes it out again.
func (w *world) loaded(t *testing.T, file string, params ...string) (undo func()) {
	t.Helper()
	quiet(t, "/sbin/insmod", append([]string{w.specimen(file)}, params...)...)
	return func() { w.remove(t, strings.TrimSuffix(file, ".ko")) }
}

func (w *world) remove(t *testing.T, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), await.Bound)
	defer cancel()
	if err := kmod.Unload(ctx, name, &kmod.UnloadOptions{Wait: true}); err != nil {
		t.Errorf("clean up: %v", err)
	}
}

// loading begins a load that takes long in its init, and waits until it is there.
func (w *world) loading(t *testing.T, file string, params ...string) (undo func()) {
	t.Helper()
	cmd := exec.Command("/sbin/insmod", append([]string{w.specimen(file)}, params...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSuffix(file, ".ko")
	waitFor(t, "/sys/module/"+name+"/initstate")
	return func() {
		_ = cmd.Wait()
		w.remove(t, name)
	}
}

// waitsToLoad returns when a process sleeps in its finit_module: behind the other load of its
// module, since it has read the file from memory.
func waitsToLoad(t *testing.T, pid int) {
	t.Helper()
	prefix := strconv.Itoa(unix.SYS_FINIT_MODULE) + " "
	await.Until(t, "a load that waits", func() bool {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
		return strings.HasPrefix(string(text), prefix)
	})
}

func waitFor(t *testing.T, path string) {
	t.Helper()
	await.Until(t, path, func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

// setting writes to a file of the kernel or of the system, and puts back what was
// there.
func setting(t *testing.T, path, text string) (undo func()) {
	t.Helper()
	old, readErr := os.ReadFile(path)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return func() {
		if readErr != nil {
			os.Remove(path)
			return
		}
		if err := os.WriteFile(path, old, 0o644); err != nil {
			t.Error(err)
		}
	}
}

// watched is a running kmodtrace watch.
type watched struct {
	cmd     *exec.Cmd
	actions chan record.Record
	errs    bytes.Buffer
}

func startWatch(t *testing.T) *watched {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready")
	w := &watched{actions: make(chan record.Record, 1<<12)}
	w.cmd = exec.Command("kmodtrace", "watch", "--json", "--ready-file", ready)
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.cmd.Stderr = &w.errs
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go w.read(out)
	await.Until(t, "watch is ready", func() bool {
		// Nobody takes actions before: that the channel is closed says that watch has ended.
		select {
		case _, more := <-w.actions:
			if !more {
				t.Fatalf("watch ended: %v: %s", w.cmd.Wait(), w.errs.String())
			}
		default:
		}
		_, err := os.Stat(ready)
		return err == nil
	})
	return w
}

func (w *watched) read(out io.Reader) {
	defer close(w.actions)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e record.Record
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			panic(fmt.Sprintf("%v: %s", err, lines.Bytes()))
		}
		w.actions <- e
	}
}

// stop ends the watching and gives what was left.
func (w *watched) stop(t *testing.T) (rest []record.Record) {
	t.Helper()
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatalf("watch: %v", err)
	}
	for e := range w.actions {
		rest = append(rest, e)
	}
	if err := w.cmd.Wait(); err != nil || !strings.Contains(w.errs.String(), "lost nothing") {
		// On one line: scripts/causes shows that of a failure.
		t.Errorf("watch: %v: %s", err, strings.ReplaceAll(strings.TrimSpace(w.errs.String()), "\n", "; "))
	}
	return rest
}

// seenDuring gives what watch saw while do ran: up to a refused unload of a name that
// nobody else uses.
func (w *world) seenDuring(do func()) seen {
	return ofActions(w.during(do))
}

// during gives what watch saw while do ran, and not what came before.
func (w *world) during(do func()) (seen []record.Record) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// In one thread: another system call of it ends what may be a first try. It is a thread
		// that nobody has afterwards: who borrows the shared tracer takes all of its own for
		// what it did itself.
		runtime.LockOSThread()
		if w.bounded {
			dropCapability()
		}
		w.untilFence()
		begin := tracer.SinceBoot()
		do()
		seen = w.untilFence()
		// What another process may yet follow up is reported later than it ends: that of the case before,
		// on a slow machine.
		seen = slices.DeleteFunc(seen, func(e record.Record) bool { return e.End != 0 && e.End < begin })
	}()
	<-done
	return seen
}

func (w *world) untilFence() []record.Record {
	w.fences++
	fence := fmt.Sprintf("fence_%d", w.fences)
	_ = unix.DeleteModule(fence, unix.O_NONBLOCK)
	var actions []record.Record
	for {
		select {
		case e, ok := <-w.watch.actions:
			if !ok || e.Module == fence {
				return actions
			}
			if !e.Preliminary { // its end follows
				actions = append(actions, e)
			}
		case <-time.After(time.Minute):
			return actions
		}
	}
}
