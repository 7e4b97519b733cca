package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/await"
)

// inShop is set where TestDev runs once more, in a machine whose disk has a workshop.
const inShop = "KMODTRACE_SHOP"

// shopSources is where hello's sources lie on that disk.
const shopSources = "/root/hello"

// TestDev: edit, save, and the kernel has the new copy; an error of syntax and an init that
// fails leave the last good copy there; a terminal shows all of it, until Ctrl-C.
func TestDev(t *testing.T) {
	if os.Getenv(inShop) != "" {
		devInShop(t)
		return
	}
	arch, series, ok := strings.Cut(os.Getenv("KMODTRACE_MACHINES"), "/")
	if !ok {
		t.Skip("boots machines of the lab: scripts/lab-tests amd64/6.12/shop")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("../../bin/kmodtrace", "lab", "exec", "--kernel", series, "--arch", arch, "--disk", shopDisk(t, arch, series), "--env", inShop+"=1",
		"--", self, "-test.timeout=0", "-test.run=^TestDev$", "-test.v")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr // at once: a test that is silent for long is taken for one that hangs
	if err := c.Run(); err != nil {
		t.Error(err)
	}
}

// shopEdit is a change of hello.c.
type shopEdit struct{ from, to string }

// shopEdits are TestDev's, one after the other.
func shopEdits() []shopEdit {
	return []shopEdit{
		{"Hello, ", "Howdy, "},
		{"static int __init", "static nonsense __init"},
		{"static nonsense __init", "static int __init"},
		{"return 0;", "return -EIO;"},
		{"return -EIO;", "return 0;"},
		{"Howdy, ", "Welcome, "},
	}
}

// devInShop is TestDev in the machine.
func devInShop(t *testing.T) {
	enterShop(t)
	edits := shopEdits()
	d := startDev(t)
	d.expect("in the kernel: hello, loaded at", "the new copy is in the kernel", "Hello, World!")

	d.edit(edits[0]) // the greeting
	d.expect("in the kernel: hello, loaded at", "Goodbye!", "Howdy, World!", "the new copy is in the kernel")

	d.edit(edits[1]) // no C
	d.expect("in the kernel: hello, loaded at", "error:", "not built: ")
	d.loaded(true)

	d.edit(edits[2])
	d.edit(edits[3]) // its init fails
	d.expect("in the kernel: hello, loaded at", "failed EIO", "the old copy is back")
	d.loaded(true)

	d.edit(edits[4])
	d.edit(edits[5]) // another greeting
	d.expect("in the kernel: hello, loaded at", "Welcome, World!", "the new copy is in the kernel")

	if _, err := d.terminal.Write([]byte{3}); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	d.expect("unload hello: confirmed", "Goodbye!")
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	d.loaded(false)
}

// enterShop makes the disk the root directory of this process, as switch_root does, so that
// paths are what they are on a machine that was booted from it.
func enterShop(t *testing.T) {
	t.Helper()
	const shop = "/shop"
	if out, err := exec.Command("/sbin/modprobe", "-a", "virtio_blk", "ext4").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	steps := []func() error{
		func() error { return os.MkdirAll(shop, 0o755) },
		func() error { return unix.Mount("/dev/vda", shop, "ext4", 0, "") },
		func() error { return os.WriteFile(shop+"/usr/bin/kmodtrace", program, 0o755) },
	}
	for _, dir := range []string{"/proc", "/sys", "/dev", "/tmp"} {
		steps = append(steps, func() error { return os.MkdirAll(shop+dir, 0o755) },
			func() error { return unix.Mount(dir, shop+dir, "", unix.MS_BIND|unix.MS_REC, "") })
	}
	steps = append(steps, func() error { return os.Chdir(shop) }, func() error { return unix.Mount(".", "/", "", unix.MS_MOVE, "") },
		func() error { return unix.Chroot(".") }, func() error { return os.Chdir("/") })
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("step %d into the shop: %v", i, err)
		}
	}
}

// devRun is a kmodtrace dev on a terminal.
type devRun struct {
	t        *testing.T
	cmd      *exec.Cmd
	terminal *os.File

	mu   sync.Mutex
	said []byte
	at   int // what is before was expected already
}

func startDev(t *testing.T) *devRun {
	t.Helper()
	d := &devRun{t: t}
	d.cmd = &exec.Cmd{Path: "/usr/bin/kmodtrace", Args: []string{"kmodtrace", "dev", shopSources, "whom=World"}, Dir: "/",
		Env: []string{"PATH=/usr/sbin:/usr/bin", "HOME=/root", "TERM=xterm", "NO_COLOR=1", "LC_ALL=C.UTF-8"}}
	terminal, err := pty.StartWithSize(d.cmd, &pty.Winsize{Rows: 50, Cols: 120})
	if err != nil {
		t.Fatal(err)
	}
	d.terminal = terminal
	t.Cleanup(func() { _ = d.cmd.Process.Kill() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := terminal.Read(buf)
			d.mu.Lock()
			d.said = append(d.said, buf[:n]...)
			d.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return d
}

// expect waits for a text, before which the others must have come.
func (d *devRun) expect(last string, others ...string) {
	d.t.Helper()
	for start := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		d.mu.Lock()
		new := d.said[d.at:]
		i := bytes.Index(new, []byte(last))
		if i >= 0 {
			d.at += i + len(last)
		}
		text := string(new)
		d.mu.Unlock()
		if i < 0 && time.Since(start) > await.Bound {
			d.t.Fatalf("no %q in:\n%s", last, text)
		}
		if i < 0 {
			continue
		}
		fmt.Println(text) // what a person would have seen
		for _, other := range others {
			if !strings.Contains(text[:i], other) {
				d.t.Errorf("no %q before %q in:\n%s", other, last, text)
			}
		}
		return
	}
}

// edit saves as an editor does: another file takes the place of the old one.
func (d *devRun) edit(e shopEdit) {
	d.t.Helper()
	const path = shopSources + "/hello.c"
	text, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(e.from)) {
		d.t.Fatalf("no %q in hello.c", e.from)
	}
	text = bytes.Replace(text, []byte(e.from), []byte(e.to), 1)
	if err := os.WriteFile(shopSources+"/.hello.c.new", text, 0o644); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(shopSources+"/.hello.c.new", path); err != nil {
		d.t.Fatal(err)
	}
}

func (d *devRun) loaded(want bool) {
	d.t.Helper()
	if _, err := os.Stat("/sys/module/hello"); (err == nil) != want {
		d.t.Errorf("hello in the kernel: %v, want %t", err, want)
	}
}
