package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// The machines that the cases happen in, by what they were booted with. scripts/causes
// has the arguments.
const (
	plainBoot    = "plain"
	enforceBoot  = "enforce"  // module.sig_enforce=1
	lockdownBoot = "lockdown" // lockdown=integrity, and in the end modules_disabled
	crashBoot    = "crash"    // one for each way, for the kernel is not what it was
)

// modulesOnly: modprobe and insmod of kmod look first, and do not even ask.
const (
	kmodReads = "kmod reads the file first, and does not ask the kernel about an empty one"
)

func causeCases() []causeCase {
	var all []causeCase
	for _, cases := range [][]causeCase{
		callerCases(), confinedCases(), fileCases(), placeCases(), signatureCases(), symbolCases(), ownCases(), otherCases(), raceCases(), configCases(), unloadCases(), requestCases(),
		lastCases(), reportCases(), crashCases(),
	} {
		all = append(all, cases...)
	}
	return all
}

func callerCases() []causeCase {
	return []causeCase{
		{
			code: cause.NotPermitted, boot: plainBoot, file: "hello.ko", says: []string{"CAP_SYS_MODULE"}, check: unknowable,
			do: func(w *world, t *testing.T, way string) (s seen) {
				w.withoutCapability(func() { s = w.load(way, "hello.ko", nil) })
				return s
			},
		},
		{
			code: cause.LSMDenied, boot: plainBoot, file: "hello.ko", lacks: lacksLSM, check: unknowable,
			says:  []string{"kernel_read_file", "hello.ko"},
			setup: func(w *world, t *testing.T) func() { return deny(t, "kernel_read_file", unix.EACCES) },
		},
		{
			code: cause.LSMDenied, name: "no errno of its own", boot: plainBoot, file: "hello.ko", lacks: lacksLSM, check: unknowable,
			says:  []string{"kernel_post_read_file", "hello.ko"},
			setup: func(w *world, t *testing.T) func() { return deny(t, "kernel_post_read_file", unix.EINVAL) },
		},
		{
			code: cause.Blacklisted, boot: plainBoot, file: "positive.ko", says: []string{"positive", "module_blacklist="},
		},
	}
}

func fileCases() []causeCase {
	closed := func(w *world, t *testing.T, way string) seen {
		return w.seenDuring(func() { _ = unix.FinitModule(1<<20, "", 0) })
	}
	called := func(name, says string, call func(*world, *testing.T)) causeCase {
		return causeCase{
			code: cause.BadCall, name: name, boot: plainBoot, ways: []string{"syscall"}, check: unasked, says: []string{"kmodtrace.test[", says},
			do: func(w *world, t *testing.T, _ string) seen { return w.seenDuring(func() { call(w, t) }) },
		}
	}
	return []causeCase{
		{code: cause.NotELF, name: "random bytes", boot: plainBoot, file: "random.ko", says: []string{"random.ko"}},
		{code: cause.NotELF, name: "text", boot: plainBoot, file: "text.ko", says: []string{"text.ko"}},
		{code: cause.NotELF, name: "empty", boot: plainBoot, file: "empty.ko", says: []string{"empty.ko"},
			ways: []string{"insmod", "modprobe", "busybox", "syscall", "load"}, not: map[string]string{"insmod": kmodReads, "modprobe": kmodReads}},
		{code: cause.ELFDamaged, name: "truncated", boot: plainBoot, file: "truncated.ko", says: []string{"truncated.ko"}},
		{code: cause.ELFDamaged, name: "section past the end", boot: plainBoot, file: "damaged.ko", says: []string{"damaged.ko"}},
		{code: cause.ELFDamaged, name: "no object file", boot: plainBoot, file: "notype.ko", says: []string{"notype.ko"}},
		{code: cause.ELFDamaged, name: "header only", boot: plainBoot, file: "headonly.ko", says: []string{"headonly.ko"}},
		{code: cause.ELFDamaged, name: "no symbols", boot: plainBoot, file: "stripped.ko", says: []string{"stripped.ko"}},
		{code: cause.ELFDamaged, name: "no struct module", boot: plainBoot, file: "object.ko", says: []string{"object.ko"}},
		{code: cause.WrongArchitecture, boot: plainBoot, file: "wrong_arch.ko", says: []string{"aarch64", "x86-64"}},
		{code: cause.Vermagic, boot: plainBoot, file: "bad_vermagic.ko", says: []string{"0.0.0-specimen", "hello"}},
		{code: cause.ModuleLayout, boot: plainBoot, file: "bad_layout.ko", lacks: lacksModversions, says: []string{"hello", "module_layout"}},
		{code: cause.ModuleLayout, name: "size, same vermagic", boot: plainBoot, file: "other_struct.ko", lacks: lacksStructSize, says: []string{"hello", "another struct module", " bytes, where this kernel's has "}},
		{code: cause.ModuleLayout, name: "size, another kernel's", boot: plainBoot, file: "other_kernel.ko", lacks: lacksStructSize, says: []string{"0.0.0-specimen", "another struct module", " bytes, where this kernel's has "}},
		{
			code: cause.FileBusy, boot: plainBoot, file: "hello.ko", says: []string{"hello.ko"}, check: unknowable,
			setup: func(w *world, t *testing.T) func() {
				undo := holdForWriting(t, w.specimen("hello.ko"))
				undo2 := holdForWriting(t, filepath.Join(w.directory(), "hello.ko"))
				return func() { undo(); undo2() }
			},
		},
		{
			code: cause.FileUnreadable, name: "closed descriptor", boot: plainBoot, ways: []string{"syscall"}, check: unasked, do: closed,
			says: []string{"descriptor"},
		},
		{
			code: cause.FileUnreadable, name: "directory", boot: plainBoot, ways: []string{"syscall", "load", "check"}, check: unasked,
			says: []string{"directory.ko"}, do: func(w *world, t *testing.T, way string) seen {
				if err := os.MkdirAll("/tmp/directory.ko", 0o755); err != nil {
					t.Fatal(err)
				}
				return w.unreadable(way, "/tmp/directory.ko")
			},
		},
		{
			code: cause.FileUnreadable, name: "pipe", boot: plainBoot, ways: []string{"syscall", "load", "check"}, check: unasked,
			says: []string{"pipe.ko"}, do: func(w *world, t *testing.T, way string) seen {
				if err := unix.Mkfifo("/tmp/pipe.ko", 0o644); err != nil && err != unix.EEXIST {
					t.Fatal(err)
				}
				return w.unreadable(way, "/tmp/pipe.ko")
			},
		},
		called("parameters, a bad pointer", "pointer for the parameters", func(w *world, t *testing.T) {
			f := mustOpen(t, w.specimen("hello.ko"))
			defer f.Close()
			unix.Syscall(unix.SYS_FINIT_MODULE, f.Fd(), badPointer, 0)
		}),
		called("image, a bad pointer", "could not read 70000 bytes", func(*world, *testing.T) {
			unix.Syscall(unix.SYS_INIT_MODULE, badPointer, 70000, badPointer)
		}),
		called("unknown flags", "the flags 0x102, of which finit_module does not have 0x100", func(w *world, _ *testing.T) { finitModule(w.specimen("hello.ko"), 0x102) }),
		called("a pipe", "a descriptor of a pipe", func(_ *world, t *testing.T) {
			r, end, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer end.Close()
			_ = unix.FinitModule(int(r.Fd()), "", 0)
		}),
		called("a socket", "a descriptor of a socket", func(_ *world, t *testing.T) {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			_ = unix.FinitModule(fd, "", 0)
		}),
		called("an eventfd", "a descriptor of an anonymous file", func(_ *world, t *testing.T) {
			fd, err := unix.Eventfd(0, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			_ = unix.FinitModule(fd, "", 0)
		}),
		called("name, a bad pointer", "pointer for the module's name", func(*world, *testing.T) {
			unix.Syscall(unix.SYS_DELETE_MODULE, badPointer, unix.O_NONBLOCK, 0)
		}),
		{
			code: cause.CompressionUnsupported, name: "as it is", boot: plainBoot, ways: []string{"syscall"}, check: unasked,
			says: []string{"hello.ko.gz", "gzip"}, do: func(w *world, t *testing.T, way string) seen {
				return w.seenDuring(func() { finitModule(w.specimen("hello.ko.gz"), 0) })
			},
		},
		{
			code: cause.CompressionUnsupported, name: "not this method", boot: plainBoot, ways: []string{"syscall"}, check: unasked,
			says: []string{"hello.ko.zst"}, do: func(w *world, t *testing.T, way string) seen {
				return w.seenDuring(func() { finitModule(w.specimen("hello.ko.zst"), 4) })
			},
		},
		{
			code: cause.CompressionUnsupported, name: "damaged", boot: plainBoot, file: "damaged.ko.xz", ways: []string{"load", "busybox"},
			says: []string{"damaged.ko.xz"},
		},
		{
			code: cause.NoModuleSpace, name: "addresses", boot: plainBoot, file: "huge.ko", says: []string{"huge takes 17", "range of addresses"},
		},
		{
			code: cause.NoModuleSpace, name: "per-CPU data", boot: plainBoot, file: "cpudata.ko", lacks: lacksSmallReserve, says: []string{"cpudata has 12288 bytes of per-CPU data", "(8192 bytes)"},
		},
	}
}

// unreadable tries a path that is not a regular file.
func (w *world) unreadable(way, path string) seen {
	switch way {
	case "load":
		return ofResult(w.kmodtrace("load", "--json", path))
	case "check":
		return ofVerdict(w.kmodtrace("check", "--json", path))
	}
	return w.seenDuring(func() { finitModule(path, 0) })
}

// badPointer is in the page that no program has.
const badPointer = 16

func mustOpen(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// finitModule makes the system call on a file, whatever it is.
func finitModule(path string, flags int) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_ = unix.FinitModule(fd, "", flags)
}

func holdForWriting(t *testing.T, path string) (undo func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	return func() { f.Close() }
}

func signatureCases() []causeCase {
	return []causeCase{
		{code: cause.SignatureMissing, boot: enforceBoot, file: "hello.ko", says: []string{"hello.ko", "no signature"}},
		{code: cause.SignatureUnknownKey, boot: enforceBoot, file: "signed_unknown.ko", says: []string{"signed_unknown.ko", "signed by"}},
		{code: cause.SignatureUnsupported, boot: enforceBoot, file: "unsupported_signature.ko", says: []string{"unsupported_signature.ko"}},
		{code: cause.SignatureForm, name: "enforced", boot: enforceBoot, file: "signed_attributes.ko", says: []string{"signed_attributes.ko", "form"}},
		{code: cause.SignatureForm, name: "not enforced", boot: plainBoot, file: "signed_attributes.ko", says: []string{"signed_attributes.ko", "form"}},
		{code: cause.SignatureMismatch, name: "enforced", boot: enforceBoot, file: "flipped.ko", says: []string{"flipped.ko", "changed"}},
		{code: cause.SignatureMismatch, name: "not enforced", boot: plainBoot, file: "flipped.ko", says: []string{"flipped.ko", "signature by"}},
		{code: cause.SignatureUnreadable, name: "cut short", boot: plainBoot, file: "cut_signature.ko", says: []string{"cut_signature.ko"}},
		{code: cause.SignatureUnreadable, name: "longer than the file", boot: plainBoot, file: "long_signature.ko", says: []string{"long_signature.ko"}},
		{code: cause.Lockdown, name: "unsigned", boot: lockdownBoot, file: "hello.ko", says: []string{"hello.ko", "lockdown", "integrity"}},
		{code: cause.Lockdown, name: "unknown key", boot: lockdownBoot, file: "signed_unknown.ko", says: []string{"signed_unknown.ko", "lockdown"}},
	}
}

func symbolCases() []causeCase {
	return []causeCase{
		{code: cause.SymbolMissing, name: "nobody's", boot: plainBoot, file: "wants_nothing.ko", says: []string{"wants_nothing", "specimen_nowhere"}},
		{code: cause.SymbolMissing, name: "an installed module's", boot: plainBoot, file: "wants_garp.ko", says: []string{"garp_request_join", "garp would"}},
		{code: cause.SymbolGPLOnly, boot: plainBoot, file: "gpl_only.ko", says: []string{"ktime_get_raw_fast_ns", "Proprietary"}},
		{code: cause.SymbolProprietary, name: "GPL-only first", boot: plainBoot, file: "mixed_2.ko", says: []string{"mixed_2", "(ktime_get_raw_fast_ns)", "owned_lock of owned"},
			setup: func(w *world, t *testing.T) func() { return w.loaded(t, "owned.ko") }},
		{code: cause.SymbolProprietary, name: "proprietary first", boot: plainBoot, file: "mixed_1.ko", says: []string{"mixed_1", "(ktime_get_raw_fast_ns)", "owned_answer of owned"},
			setup: func(w *world, t *testing.T) func() { return w.loaded(t, "owned.ko") }},
		{code: cause.DependencyLeaving, boot: plainBoot, file: "lateuser.ko", says: []string{"lateuser", "slowexit_answer", "slowexit exports", "by busybox[", "], which was started ", " s ago"}, setup: leavingSlowly},
		{code: cause.DependencyOutdated, boot: plainBoot, file: "growuser.ko", says: []string{"growuser", "grown_more", "the installed grown"}, setup: replaced},
		{code: cause.SymbolVersion, boot: plainBoot, file: "bad_crc.ko", lacks: lacksModversions, says: []string{"hello", "param_ops_charp"}},
		{
			code: cause.SymbolNamespace, boot: plainBoot, file: "ns_missing.ko", says: []string{"specimen_in_namespace", "SPECIMEN"},
			setup: func(w *world, t *testing.T) func() { return w.loaded(t, "ns_owner.ko") },
		},
		{
			code: cause.SymbolDuplicate, boot: plainBoot, file: "dup_export.ko", says: []string{"specimen_twice", "twice_a"},
			setup: func(w *world, t *testing.T) func() { return w.loaded(t, "twice_a.ko") },
		},
		{
			code: cause.DependencyFailed, boot: plainBoot, ways: []string{"load"}, check: unasked, says: []string{"failuser", "failbase", "init-refused"},
			// kmodtrace asks the system's modprobe, which is to find them for once.
			setup: func(w *world, t *testing.T) func() {
				w.installVariant(t, "failbase.ko")
				return w.installed(t)
			},
			do: func(w *world, t *testing.T, way string) seen {
				return ofResult(w.kmodtrace("load", "--json", "failuser"))
			},
		},
		{
			code: cause.DependencyFailed, name: "EEXIST of its own", boot: plainBoot, ways: []string{"load"}, check: unasked, says: []string{"failuser", "failbase", "init-refused", "EEXIST"},
			setup: func(w *world, t *testing.T) func() {
				w.installVariant(t, "failbase.ko")
				away, options := w.installed(t), setting(t, "/etc/modprobe.d/case.conf", "options failbase err=17\n")
				return func() { options(); away() }
			},
			do: func(w *world, t *testing.T, way string) seen {
				return ofResult(w.kmodtrace("load", "--json", "failuser"))
			},
		},
	}
}

func ownCases() []causeCase {
	return []causeCase{
		{code: cause.ParameterInvalid, name: "int", boot: plainBoot, file: "params.ko", params: []string{"number=many"}, says: []string{"params", "number", "many"}},
		{code: cause.ParameterInvalid, name: "bool", boot: plainBoot, file: "params.ko", params: []string{"flag=perhaps"}, says: []string{"flag", "perhaps"}},
		{code: cause.ParameterInvalid, name: "too large", boot: plainBoot, file: "params.ko", params: []string{"count=99999999999"}, says: []string{"count", "99999999999"}},
		{code: cause.ParameterInvalid, name: "its own function", boot: plainBoot, file: "params.ko", params: []string{"level=1000"}, says: []string{"level", "1000"}, check: unknowable},
		{code: cause.ParameterUnknown, boot: plainBoot, file: "params.ko", params: []string{"nosuch=1"}, says: []string{"nosuch", "params"},
			setup: func(w *world, t *testing.T) func() { return func() { command("/sbin/rmmod", "params") } }},
		{code: cause.InitRefused, boot: plainBoot, file: "refuse.ko", params: []string{"err=19"}, says: []string{"ENODEV", "refusing with 19"}, check: unknowable},
		{code: cause.InitRefused, name: "EEXIST of its own", boot: plainBoot, file: "refuse.ko", params: []string{"err=17"}, says: []string{"returned EEXIST", "refusing with 17"}, check: unknowable},
		{code: cause.InitRefused, name: "before it cleans up", boot: plainBoot, file: "cleanup.ko", says: []string{"cleanup: slot 3 does not answer register 0x10: 0xff register 0x14: 0x00"}, check: unknowable},
		{code: cause.InitRefused, name: "in parts of a line", boot: plainBoot, file: "cleanup.ko", params: []string{"parts=1"}, says: []string{"cleanup: slot 3: no answer, giving up"}, check: unknowable},
		{code: cause.InitRefused, name: "ENOMEM of its own", boot: plainBoot, file: "refuse.ko", params: []string{"err=12"}, says: []string{"ENOMEM"}, check: unknowable},
	}
}

// otherCases are those in which another part of the kernel refuses the complete module.
func otherCases() []causeCase {
	guarded := func(params ...string) func(*world, *testing.T) func() {
		return func(w *world, t *testing.T) func() { return w.loaded(t, "guard.ko", params...) }
	}
	return []causeCase{
		{code: cause.NotifierRefused, boot: plainBoot, file: "hello.ko", says: []string{" of guard refused hello", "EPERM"}, check: unknowable, setup: guarded()},
		{code: cause.NotifierRefused, name: "with a message", boot: plainBoot, file: "hello.ko", says: []string{" of guard refused hello", "EINVAL", "guard: hello is not allowed here"}, check: unknowable,
			setup: guarded("err=22", "say=1")},
		// The kernel's own callbacks refuse too, when memory is short.
		{code: cause.NotifierRefused, name: "ENOMEM", boot: plainBoot, file: "hello.ko", says: []string{" refused hello", "ENOMEM"}, check: unknowable, setup: guarded("err=12")},
		{code: cause.LivepatchMismatch, name: "of the module", boot: plainBoot, file: "hello.ko", lacks: lacksLivepatch, says: []string{"patcher", "hello", "specimen_nowhere"}, check: unknowable, setup: patched},
		{code: cause.LivepatchMismatch, name: "of the kernel", boot: plainBoot, file: "patcher.ko", lacks: lacksLivepatch, says: []string{"patcher", "specimen_nowhere"}, check: unknowable},
		{code: cause.LivepatchUnsupported, boot: plainBoot, file: "patcher.ko", lacks: hasLivepatch, says: []string{"patcher", "CONFIG_LIVEPATCH"}},
		{code: cause.BTFInvalid, boot: plainBoot, file: "badtypes.ko", lacks: lacksTypes, says: []string{"badtypes", "BTF"}},
	}
}

// patched has a livepatch of hello active.
func patched(w *world, t *testing.T) func() {
	t.Helper()
	quiet(t, "/sbin/insmod", w.specimen("patcher.ko"), "object=hello")
	const enabled = "/sys/kernel/livepatch/patcher/enabled"
	return func() {
		await.Until(t, "the livepatch is disabled", func() bool { return os.WriteFile(enabled, []byte("0"), 0) == nil })
		await.Until(t, "the livepatch is gone", func() bool { _, err := os.Stat(enabled); return err != nil })
		w.remove(t, "patcher")
	}
}

func raceCases() []causeCase {
	loadedAlready := "modprobe sees in /sys/module that it is there, and asks the kernel nothing"
	return []causeCase{
		{
			code: cause.AlreadyLoaded, boot: plainBoot, file: "hello.ko", says: []string{"hello"}, not: map[string]string{"modprobe": loadedAlready},
			setup: func(w *world, t *testing.T) func() { return w.loaded(t, "hello.ko") },
		},
		{
			code: cause.LoadingElsewhere, boot: plainBoot, says: []string{"nap0"}, check: unasked,
			setup: func(w *world, t *testing.T) func() {
				w.write(t, "/tmp/nap0.ko", w.readSpecimen(t, "nap0.ko")) // another inode: from 6.5 one is loaded once
				w.installVariant(t, "nap0.ko")
				return w.loading(t, "nap0.ko", "ms=12000") // longer than kmodtrace takes to attach
			},
			do: func(w *world, t *testing.T, way string) seen { return w.loadPath(way, "/tmp/nap0.ko", "nap0") },
		},
		{
			code: cause.Interrupted, boot: plainBoot, says: []string{"nap1"}, ways: []string{"insmod", "modprobe"}, check: unasked,
			setup: func(w *world, t *testing.T) func() {
				w.write(t, "/tmp/nap1.ko", w.readSpecimen(t, "nap1.ko"))
				w.installVariant(t, "nap1.ko")
				return w.loading(t, "nap1.ko", "ms=12000")
			},
			do: func(w *world, t *testing.T, way string) seen {
				args := map[string][]string{"insmod": {"/sbin/insmod", "/tmp/nap1.ko"}, "modprobe": {"/sbin/modprobe", "-d", w.tree, "nap1"}}[way]
				return w.seenDuring(func() {
					cmd := exec.Command(args[0], args[1:]...)
					if err := cmd.Start(); err != nil {
						t.Fatal(err)
					}
					waitsToLoad(t, cmd.Process.Pid)
					_ = cmd.Process.Kill()
					_ = cmd.Wait()
				})
			},
		},
		{
			code: cause.DependencyNotReady, boot: plainBoot, says: []string{"slowuser", "slowbase"}, check: unasked, ways: []string{"all at once"},
			do: func(w *world, t *testing.T, _ string) seen { return w.notReady(t) },
		},
	}
}

func (w *world) loadPath(way, path, name string) seen {
	switch way {
	case "insmod":
		return w.seenDuring(func() { command("/sbin/insmod", path) })
	case "modprobe":
		return w.seenDuring(func() { w.modprobe(name) })
	}
	return ofResult(w.kmodtrace("load", "--json", path))
}

// notReady has three modules wait for one, the thirty seconds that a kernel waits, in
// the three ways at once, and reports each.
func (w *world) notReady(t *testing.T) seen {
	t.Helper()
	w.installVariant(t, "slowuser1.ko")
	defer w.loading(t, "slowbase.ko", slowly)()
	defer hasten(t, "slowbase")
	var s seen
	c := causeCase{code: cause.DependencyNotReady, says: []string{"slowuser", "slowbase"}}
	done := make(chan seen)
	actions := w.during(func() {
		go func() {
			out, _ := command("kmodtrace", "load", "--json", w.specimen("slowuser2.ko"))
			done <- ofResult(out)
		}()
		modprobe := exec.Command("/sbin/modprobe", "-d", w.tree, "slowuser1")
		if err := modprobe.Start(); err != nil {
			t.Fatal(err)
		}
		command("/sbin/insmod", w.specimen("slowuser0.ko"))
		_ = modprobe.Wait()
		s = <-done
	})
	verdict, why := c.judge(s, "load")
	w.report(t, &c, "load", verdict, why)
	for way, module := range map[string]string{"insmod": "slowuser0", "modprobe": "slowuser1"} {
		var of []record.Record
		var all []string
		for _, a := range actions {
			all = append(all, a.Kind.String()+" "+a.Module+" "+a.ErrnoName)
			if a.Module == module {
				of = append(of, a)
			}
		}
		verdict, why := c.judge(ofActions(of), way)
		if verdict == cellWrong {
			why += ", seen: " + strings.Join(all, ", ")
		}
		w.report(t, &c, way, verdict, why)
	}
	return seen{reported: true}
}

// lastCases leave the machine such that no other can follow: the module directory is
// gone, loading is turned off.
func lastCases() []causeCase {
	return []causeCase{
		{code: cause.NotFound, name: "directory gone", boot: plainBoot, ways: []string{"load", "check"}, check: unasked, says: []string{"upgrade", "/lib/modules/"},
			setup: func(w *world, t *testing.T) func() {
				dir, _ := w.kernel.ModulesDir()
				if err := os.Rename(dir, dir+".gone"); err != nil {
					t.Fatal(err)
				}
				return func() {
					if err := os.Rename(dir+".gone", dir); err != nil {
						t.Error(err)
					}
				}
			},
			do: func(w *world, t *testing.T, way string) seen {
				out, _ := command("kmodtrace", way, "--json", "dummy")
				if way == "check" {
					return ofVerdict(out)
				}
				return ofResult(out)
			}},
		{code: cause.ModulesDisabled, boot: lockdownBoot, file: "signed_ok.ko", says: []string{"modules_disabled"}, setup: disableModules},
		{code: cause.ModulesDisabled, name: "unload", boot: lockdownBoot, ways: []string{"rmmod", "unload"}, check: unasked, says: []string{"modules_disabled"}, setup: disableModules,
			do: func(w *world, t *testing.T, way string) seen { return w.unload(way, "hello") }},
	}
}

func disableModules(_ *world, t *testing.T) func() {
	if err := os.WriteFile("/proc/sys/kernel/modules_disabled", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	return func() {}
}

// crashCases run in a machine each: what is left of a thread that died in an init
// can hang later loads.
func crashCases() []causeCase {
	var cases []causeCase
	for _, way := range []string{"insmod", "modprobe", "load"} {
		cases = append(cases, causeCase{
			code: cause.InitCrashed, boot: crashBoot + "-" + way, file: "crash.ko", ways: []string{way}, check: unasked, says: []string{"BUG: kernel NULL pointer dereference"},
			do: func(w *world, t *testing.T, way string) seen {
				s := w.load(way, "crash.ko", nil)
				w.stillTraced(t)
				return s
			},
		})
	}
	// In this order: what the last one leaves keeps the kernel's lock for modules.
	rmmod := func(code cause.Code, name string, says []string, files ...string) causeCase {
		c := causeCase{code: code, name: "rmmod", boot: crashBoot + "-rmmod", ways: []string{"rmmod"}, check: unasked, says: says}
		c.setup = func(w *world, t *testing.T) func() {
			for _, file := range files {
				quiet(t, "/sbin/insmod", strings.Fields(w.specimen(file))...)
			}
			return func() {}
		}
		c.do = func(w *world, t *testing.T, way string) seen { return w.unload(way, name) }
		return c
	}
	below := rmmod(cause.RefcountNegative, "overput", []string{"-1 references", "kernel BUG at kernel/module"}, "overput.ko")
	below.do = func(w *world, t *testing.T, _ string) seen {
		command("/bin/busybox", "rmmod", "overput")
		return ofActions(w.untilModule("overput"))
	}
	return append(cases,
		rmmod(cause.ExitCrashed, "crash", []string{"NULL pointer dereference"}, "crash.ko in_exit=1"),
		rmmod(cause.KernelCrashed, "hello", []string{"tripper_notify [tripper]", "not in hello", "NULL pointer dereference"}, "hello.ko", "tripper.ko"),
		below)
}

// untilModule waits for an action about a module, where no fence can be made: a call for one
// would wait for ever.
func (w *world) untilModule(name string) []record.Record {
	for {
		select {
		case e, ok := <-w.watch.actions:
			if !ok || e.Module == name && e.Kind == tracer.Unload {
				return []record.Record{e}
			}
		case <-time.After(await.Bound):
			return nil
		}
	}
}

// fixRefcount has overput take back the reference that it did not have.
func fixRefcount(t *testing.T) { setting(t, countParam, "0") }

// covered hides a file behind one with another text.
func covered(t *testing.T, path, text string) (show func()) {
	t.Helper()
	cover := filepath.Join(t.TempDir(), "cover")
	if err := os.WriteFile(cover, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(cover, path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}
}

// stillTraced loads and unloads hello by init_module, which does not look at the
// table of loads under way.
func (w *world) stillTraced(t *testing.T) {
	t.Helper()
	image := w.readSpecimen(t, "hello.ko")
	var got []string
	for _, a := range w.during(func() {
		if err := unix.InitModule(image, ""); err != nil {
			t.Error(err)
		}
		if err := unix.DeleteModule("hello", unix.O_NONBLOCK); err != nil {
			t.Error(err)
		}
	}) {
		if a.Module == "hello" {
			got = append(got, a.Kind.String()+" "+a.Outcome.String())
		}
	}
	if strings.Join(got, ", ") != "load live, unload unloaded" {
		t.Errorf("after the crash watch saw %q", got)
	}
}
