package main

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/await"
)

func unloadCases() []causeCase {
	ways := []string{"rmmod", "unload"}
	of := func(name string) func(*world, *testing.T, string) seen {
		return func(w *world, t *testing.T, way string) seen { return w.unload(way, name) }
	}
	with := func(files ...string) func(*world, *testing.T) func() {
		return func(w *world, t *testing.T) func() {
			var undo []func()
			for _, file := range files {
				undo = append(undo, w.loaded(t, file))
			}
			return func() {
				for i := len(undo) - 1; i >= 0; i-- {
					undo[i]()
				}
			}
		}
	}
	return []causeCase{
		{code: cause.NotPermitted, name: "unload", boot: plainBoot, ways: ways, check: unasked, says: []string{"CAP_SYS_MODULE"}, setup: with("hello.ko"),
			do: func(w *world, t *testing.T, way string) (s seen) {
				w.withoutCapability(func() { s = w.unload(way, "hello") })
				return s
			}},
		{code: cause.NotLoaded, boot: plainBoot, ways: ways, check: unasked, do: of("nosuch"), says: []string{"nosuch"}},
		{code: cause.BuiltIn, name: "unload", boot: plainBoot, ways: ways, check: unasked, says: []string{"kernel image"},
			do: func(w *world, t *testing.T, way string) seen { return w.unload(way, w.builtin(t)) }},
		{code: cause.HeldByModules, boot: plainBoot, ways: ways, check: unasked, do: of("base"), setup: with("base.ko", "user.ko"), says: []string{"user uses base"}},
		{code: cause.HeldByReferences, name: "by itself", boot: plainBoot, ways: ways, check: unasked, do: of("taker"), says: []string{"1 reference", "taker"},
			setup: func(w *world, t *testing.T) func() {
				undo := w.loaded(t, "taker.ko")
				return func() {
					setting(t, "/sys/module/taker/parameters/hold", "0")
					undo()
				}
			}},
		{code: cause.HeldByReferences, name: "an open device", boot: plainBoot, ways: ways, check: unasked, do: of("chardev"), says: []string{"1 reference", "specimen_chardev", "kmodtrace.test["},
			setup: func(w *world, t *testing.T) func() {
				undo := w.loaded(t, "chardev.ko")
				waitFor(t, "/dev/specimen_chardev")
				f, err := os.Open("/dev/specimen_chardev")
				if err != nil {
					t.Fatal(err)
				}
				return func() { f.Close(); undo() }
			}},
		{code: cause.HeldByReferences, name: "a mount", boot: plainBoot, ways: ways, check: unasked, do: of("fsmod"), says: []string{"fsmod", "/tmp/specimenfs"},
			setup: func(w *world, t *testing.T) func() {
				undo := w.loaded(t, "fsmod.ko")
				if err := os.MkdirAll("/tmp/specimenfs", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := unix.Mount("none", "/tmp/specimenfs", "specimenfs", 0, ""); err != nil {
					t.Fatal(err)
				}
				away := w.installed(t) // whose type it is stands in the alias of the module's file
				return func() {
					away()
					if err := unix.Unmount("/tmp/specimenfs", 0); err != nil {
						t.Error(err)
					}
					undo()
				}
			}},
		{code: cause.HeldByReferences, name: "a disk's scheduler", boot: plainBoot, ways: ways, check: unasked, do: of("bfq"), says: []string{"1 reference", "I/O scheduler bfq on nullb0"},
			setup: func(w *world, t *testing.T) func() {
				quiet(t, "/sbin/modprobe", "-a", "bfq", "null_blk")
				const scheduler = "/sys/block/nullb0/queue/scheduler"
				setting(t, scheduler, "bfq")
				return func() {
					setting(t, scheduler, "none")
					quiet(t, "/sbin/modprobe", "-r", "null_blk", "bfq")
				}
			}},
		{code: cause.HeldByReferences, name: "a default of a network namespace", boot: plainBoot, ways: ways, check: unasked, do: of("tcp_bbr"), says: []string{"1 reference", "default congestion control bbr in network namespace /proc/"},
			setup: func(w *world, t *testing.T) func() {
				quiet(t, "/sbin/modprobe", "tcp_bbr")
				const sysctl = "/proc/sys/net/ipv4/tcp_congestion_control"
				cmd := exec.Command("sh", "-c", "echo bbr >"+sysctl+" && echo set && read wait; echo cubic >"+sysctl)
				cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
				in, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if n, err := out.Read(make([]byte, 8)); n == 0 {
					t.Fatalf("a namespace with another default: %v", err)
				}
				return func() {
					in.Close()
					_ = cmd.Wait() // its read met the end of its input
					w.remove(t, "tcp_bbr")
				}
			}},
		{code: cause.NotLive, boot: plainBoot, ways: ways, check: unasked, do: of("nap2"), says: []string{"nap2", "load is still under way"},
			setup: func(w *world, t *testing.T) func() { return w.loading(t, "nap2.ko", "ms=6000") }},
		{code: cause.NoExit, boot: plainBoot, ways: ways, check: unasked, do: of("noexit"), says: []string{"noexit", "no exit function"},
			setup: func(w *world, t *testing.T) func() {
				if _, err := os.Stat("/sys/module/noexit"); err != nil {
					quiet(t, "/sbin/insmod", w.specimen("noexit.ko"))
				}
				return func() {}
			}},
		{code: cause.RefcountNegative, boot: plainBoot, ways: []string{"unload"}, check: unasked, do: of("overput"), says: []string{"-1 references", "overput"},
			setup: func(w *world, t *testing.T) func() {
				undo := w.loaded(t, "overput.ko")
				return func() {
					fixRefcount(t)
					undo()
				}
			}},
		{code: cause.RefcountUnread, boot: plainBoot, ways: []string{"unload"}, check: unasked, do: of("hello"), says: []string{"hello"},
			setup: func(w *world, t *testing.T) func() {
				undo := w.loaded(t, "hello.ko")
				shown := []func(){covered(t, "/sys/module/hello/refcnt", "many\n"), covered(t, "/proc/modules", "")}
				return func() {
					for _, show := range shown {
						show()
					}
					undo()
				}
			}},
		{code: cause.ExitStuck, boot: plainBoot, ways: ways, check: unasked, says: []string{"slowexit", " s"}, do: exitStuck,
			setup: func(w *world, t *testing.T) func() {
				quiet(t, "/sbin/insmod", w.specimen("slowexit.ko"), slowly)
				return func() {
					hasten(t, "slowexit")
					await.Until(t, "slowexit leaves", func() bool {
						_, err := os.Stat("/sys/module/slowexit")
						return err != nil
					})
				}
			}},
	}
}

// replaced has a module in the kernel whose file was replaced by another build of it.
func replaced(w *world, t *testing.T) func() {
	quiet(t, "/sbin/insmod", w.specimen("grown_before.ko"))
	w.installVariant(t, "grown.ko")
	away := w.installed(t)
	return func() { away(); w.remove(t, "grown") }
}

// slowly has an init or exit take longer than what a busy machine does meanwhile; hasten ends it.
const slowly = "ms=600000"

func hasten(t *testing.T, module string) {
	err := os.WriteFile("/sys/module/"+module+"/parameters/ms", []byte("0"), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// leavingSlowly has a module in its exit, until the end of the case.
func leavingSlowly(w *world, t *testing.T) func() {
	quiet(t, "/sbin/insmod", w.specimen("slowexit.ko"), slowly)
	cmd := exec.Command("/bin/busybox", "rmmod", "slowexit")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "an exit that runs", func() bool {
		text, _ := os.ReadFile("/sys/module/slowexit/initstate")
		return string(text) == "going\n"
	})
	return func() {
		hasten(t, "slowexit")
		_ = cmd.Wait()
	}
}

// exitStuck looks at an unload that does not come back: a watch that ends
// meanwhile, and an unload that stops waiting, both tell.
func exitStuck(w *world, t *testing.T, way string) seen {
	if way == "unload" {
		return stopsWaiting(t)
	}
	watch := startWatch(t)
	cmd := exec.Command("/bin/busybox", "rmmod", "slowexit")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "an exit that runs", func() bool {
		text, _ := os.ReadFile("/sys/module/slowexit/initstate")
		return string(text) == "going\n"
	})
	s := ofActions(watch.stop(t))
	hasten(t, "slowexit")
	_ = cmd.Wait()
	return s
}

// stopsWaiting gives what an unload says that waits for a second. Its thread, and so the process, is
// in the exit for as long as that runs.
func stopsWaiting(t *testing.T) seen {
	cmd := exec.Command("kmodtrace", "unload", "--json", "--timeout", "1s", "slowexit")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Error(err)
	}
	hasten(t, "slowexit")
	_ = cmd.Wait() // with a status that says what the line does
	return ofResult(line)
}
