package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/kmodtrace/kmodtrace/examples"
	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// TestFindings: what the rules that are built in find in what a real kernel does, and what they do
// not. Each case begins with rules that remember nothing.
func TestFindings(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	set, err := rule.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	others, err := rule.Parse("public.yaml", examples.PublicRules)
	if err != nil {
		t.Fatal(err)
	}
	pack, public := newRuleCases(set), newRuleCases(others)
	if err := roles.Install("kmodtrace", "contain"); err != nil {
		t.Fatal(err)
	}
	watched := watchRecords(t)
	service := serve(t, t.TempDir(), "")
	disk, removable, network := mountDisk(t), mountRemovable(t), mountNFS(t)
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%q: %v: %s", args, err, out)
		}
	}
	// In the order in which rules look at what they find.
	ours := []string{"unsigned-module"} // of the specimens, which lie in an initial RAM disk
	for i, test := range []struct {
		name   string
		do     func()
		unload string
		want   []string
	}{
		{"of the distribution, by modprobe", func() { run("/sbin/modprobe", "dummy") }, "dummy", nil},
		{"dry runs of modprobe", func() {
			for range 5 {
				run("/sbin/modprobe", "-n", "dummy")
				run("/sbin/modprobe", "--show-depends", "dummy")
				run("/sbin/modprobe", "--showconfig")
			}
		}, "", nil},
		{"a mount that needs a filesystem", func() { mayFail("/bin/busybox", "mount", "-t", "vfat", "/dev/null", disk) }, "vfat", nil},
		{"unsigned", func() { run("/sbin/insmod", labModule("hello")) }, "hello", ours},
		{"refused", func() { mayFail("/sbin/insmod", labModule("refuse")) }, "", nil},
		{"by a key that the kernel does not have", func() { run("/sbin/insmod", labModule("signed_unknown")) }, "hello", []string{"untrusted-signer"}},
		{"by force", func() { run("/sbin/insmod", "-f", labModule("bad_vermagic")) }, "hello", append([]string{"forced-load"}, ours...)},
		{"from a temporary filesystem", func() { run("/sbin/insmod", copied(t, labModule("hello"), disk)) }, "hello",
			append(slices.Clone(ours), "temporary-place", "no-package")},
		{"of another release", func() {
			run("/sbin/insmod", copied(t, labModule("hello"), madeDir(t, "/lib/modules/9.9.9/extra")))
		}, "hello", append(slices.Clone(ours), "other-release")},
		{"from a file that everybody may write", func() {
			file := copied(t, labModule("hello"), madeDir(t, "/root/writable"))
			if err := os.Chmod(file, 0o666); err != nil {
				t.Error(err)
			}
			run("/sbin/insmod", file)
		}, "hello", append(slices.Clone(ours), "writable-by-others")},
		{"from memory", func() { loadFrom(t, memfdOf(t, labModule("hello"))) }, "hello", append(slices.Clone(ours), "file-in-memory")},
		{"from a deleted file", func() {
			file := copied(t, labModule("hello"), madeDir(t, "/root/deleted"))
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(file); err != nil {
				t.Error(err)
			}
			loadFrom(t, f)
		}, "hello", append(slices.Clone(ours), "file-deleted")},
		{"of a file that is replaced meanwhile", func() {
			file := copied(t, labModule("nap1"), madeDir(t, "/root/replaced"))
			cmd := exec.Command("/sbin/insmod", file, "ms=3000")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			await.Until(t, "nap1 in its init", func() bool { _, err := os.Stat("/sys/module/nap1"); return err == nil })
			copied(t, labModule("hello"), filepath.Dir(file))
			if err := os.Rename(filepath.Join(filepath.Dir(file), "hello.ko"), file); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		}, "nap1", append(slices.Clone(ours), "file-replaced")},
		{"by a program from a temporary place", func() { run(copied(t, "/sbin/insmod", "/tmp"), labModule("hello")) }, "hello",
			append([]string{"loader-odd-place"}, ours...)},
		{"from a container", func() {
			cmd := exec.Command("/sbin/insmod", labModule("hello"))
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}, "hello", append([]string{"from-container"}, ours...)},
		{"in the place of an installed one", func() { run("/sbin/insmod", copied(t, installedFile(t, "dummy"), madeDir(t, "/root/own"))) }, "dummy",
			[]string{"in-place-of"}},
		{"by another program than modprobe", func() {
			const setting = "/proc/sys/kernel/modprobe"
			helper := filepath.Join(madeDir(t, "/root/helper"), "x")
			writeFile(t, helper, "#!/bin/sh\nexit 1\n")
			if err := os.Chmod(helper, 0o755); err != nil {
				t.Error(err)
			}
			writeFile(t, setting, helper)
			mayFail("ip", "link", "add", "x0", "type", "nosuchthing")
			writeFile(t, setting, "/sbin/modprobe")
		}, "", []string{"other-helper"}},
		{"for a user without rights", func() { bindAlgorithm(t, "aead", "xxxxxxxx") }, "algif_aead", []string{"unprivileged-request", "watched-alias"}},
		{"the kernel warns", func() { run("/sbin/insmod", labModule("complain"), "init=warn") }, "complain", append(slices.Clone(ours), "kernel-warning")},
		{"and is gone at once", func() {
			run("/sbin/insmod", labModule("hello"))
			run("/sbin/rmmod", "hello")
		}, "", append(slices.Clone(ours), "short-lived")},
		{"refused ten times", func() {
			for range 10 {
				mayFail("/sbin/insmod", labModule("refuse"))
			}
		}, "", []string{"repeated-refusals"}},
		{"from a disk that can be taken out", func() { run("/sbin/insmod", copied(t, labModule("hello"), removable)) }, "hello",
			append(slices.Clone(ours), "removable-place", "no-package")},
		{"from another machine", func() { run("/sbin/insmod", filepath.Join(network, "hello.ko")) }, "hello",
			append(slices.Clone(ours), "network-place", "no-package")},
		{"by an interpreter", func() { runAs(t, busyboxAs(t, "/usr/bin/python3.13"), nil, "insmod", labModule("hello")) }, "hello",
			append([]string{"loader-interpreter"}, ours...)},
		{"by a program in memory", func() { runInMemory(t, "insmod", labModule("hello")) }, "hello", append([]string{"loader-odd-place"}, ours...)},
		{"for a container", func() { insideContainer(t, "ip", "link", "add", "x0", "type", "dummy") }, "dummy", []string{"container-request"}},
		{"by a container's root", func() { insideContainer(t, "/sbin/insmod", labModule("hello")) }, "hello", append([]string{"from-container"}, ours...)},
		{"by a user with the capability", func() { insmodAsUser(t, labModule("hello"), true) }, "hello", ours},
		{"by a user without it", func() { insmodAsUser(t, labModule("hello"), false) }, "", nil},
		{"of nobody, among the kernel's", func() {
			run("/sbin/insmod", copied(t, labModule("hello"), madeDir(t, "/lib/modules/"+release(t)+"/extra")))
		}, "hello", ours},
		{"below a program in tmp", func() {
			runAs(t, busyboxAs(t, "/tmp/sh"), nil, "sh", "-c", "/sbin/insmod "+labModule("hello")+"; true")
		}, "hello", ours},
		{"removed in a shell", func() {
			run("/sbin/insmod", labModule("nap1"))
			run("/bin/sh", "-c", "/sbin/rmmod nap1; true")
		}, "", append(slices.Clone(ours), "short-lived")},
		{"with a parameter that lets programs write registers", func() { run("/sbin/modprobe", "msr", "allow_writes=on") }, "msr", nil},
		{"with another parameter", func() { run("/sbin/modprobe", "dummy", "numdummies=1") }, "dummy", nil},
		{"for authencesn", func() {
			run("/sbin/modprobe", "af_alg")
			if _, err := os.Stat(algRestrict); err == nil {
				writeFile(t, algRestrict, "0")
				defer writeFile(t, algRestrict, "1")
			}
			bindAlgorithm(t, "aead", "authencesn(x,y)")
		}, "algif_aead", []string{"unprivileged-request", "watched-alias"}},
		{"under a name of a known group", func() {
			file := copied(t, labModule("hello"), madeDir(t, "/root/group"))
			if err := os.Rename(file, "/root/group/nfsd_stub.ko"); err != nil {
				t.Error(err)
			}
			run("/sbin/insmod", "/root/group/nfsd_stub.ko")
		}, "hello", ours},
		{"five times", func() {
			for range 5 {
				run("/sbin/insmod", labModule("hello"))
				run("/sbin/rmmod", "hello")
			}
		}, "", append(slices.Clone(ours), "short-lived")},
		{"not as its package brought it", func() {
			info := madeDir(t, "/var/lib/dpkg/info")
			writeFile(t, filepath.Join(info, "hello-modules.list"), labModule("hello")+"\n")
			writeFile(t, filepath.Join(info, "hello-modules.md5sums"), strings.Repeat("0", 32)+"  "+strings.TrimPrefix(labModule("hello"), "/")+"\n")
			run("/sbin/insmod", labModule("hello"))
		}, "hello", []string{"content-differs"}},
	} {
		if i%7 == 6 {
			service.end(syscall.SIGKILL)
			service = serve(t, service.dir, "")
		}
		t.Run(test.name, func(t *testing.T) {
			watched.take(t)
			test.do()
			records := watched.take(t)
			if test.unload != "" {
				mayFail("/sbin/modprobe", "-r", test.unload)
				mayFail("/sbin/rmmod", test.unload)
			}
			public.take(t, test.name, records)
			var got []string
			for _, f := range pack.take(t, test.name, records) {
				if f.Rule != "first-seen" {
					got = append(got, f.Rule)
					t.Log(f.Text)
				}
			}
			if got = unique(got); !slices.Equal(got, unique(test.want)) {
				t.Errorf("found %q; want %q", got, unique(test.want))
				for i := range records {
					t.Logf("%+v, origin %+v", records[i].Action, records[i].Origin)
				}
			}
		})
	}
	pack.checkEach(t)
	public.checkPublic(t)
	service.checkReplay()
}

// checkReplay compares what a service found, which was killed meanwhile, with what a replay of its journal finds, byte
// for byte. What it had no time for before its end, it finds after the next start.
func (s *served) checkReplay() {
	s.t.Helper()
	if status := s.end(syscall.SIGTERM); status != 0 {
		s.t.Errorf("status %d: %s", status, s.said)
	}
	replay, err := exec.Command(roles.Path("kmodtrace"), "rules", "test", "--journal", s.path, "--json").Output()
	if err != nil {
		s.t.Error(err)
	}
	again := serve(s.t, s.dir, "")
	r, err := journal.OpenReadOnly(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	found := func() (all []byte) {
		for rec, err := range r.Query(s.t.Context(), journal.Filter{Kinds: []journal.Kind{journal.KindFinding}, OldestFirst: true}) {
			if err != nil {
				s.t.Fatal(err)
			}
			all = append(append(all, rec.Body...), '\n')
		}
		return all
	}
	if !await.True(func() bool { return len(found()) >= len(replay) }) || !bytes.Equal(found(), replay) || bytes.Count(replay, []byte("\n")) < 15 {
		s.t.Errorf("the service found\n%s\nand a replay of its journal\n%s", found(), replay)
	}
	again.end(syscall.SIGTERM)
}

// installedFile is the file that modprobe takes for a module.
func installedFile(t *testing.T, module string) string {
	t.Helper()
	out, err := exec.Command("/sbin/modprobe", "--show-depends", module).Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) < 2 {
		t.Fatalf("%v: %s", err, out)
	}
	return fields[len(fields)-1]
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Error(err)
	}
}

func unique(rules []string) []string { return slices.Compact(slices.Sorted(slices.Values(rules))) }

func mayFail(args ...string) { _ = exec.Command(args[0], args[1:]...).Run() }

// recordsSeen are the records of what the kernel did since they were last taken.
type recordsSeen struct {
	tracer *tracer.Tracer

	mu      sync.Mutex
	records []record.Record
}

func watchRecords(t *testing.T) *recordsSeen {
	t.Helper()
	k, err := kernel.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := tracer.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &recordsSeen{tracer: tr}
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		q := record.NewPatientInquiry(k, false)
		for a, err := range tr.Actions(ctx) {
			if err != nil {
				t.Error(err)
				return
			}
			if a.Call != nil && strings.HasPrefix(a.Call.Text, "kmodtrace_self_test_") {
				continue // the service beside it tests itself now and then; only its own tracer leaves that out
			}
			r := q.All(context.Background(), &a)
			s.mu.Lock()
			s.records = append(s.records, r)
			s.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		stop()
		done.Wait()
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// take waits until all that was done before is recorded.
func (s *recordsSeen) take(t *testing.T) []record.Record {
	t.Helper()
	passed, err := s.tracer.Fence()
	if err != nil {
		t.Fatal(err)
	}
	await.Receive(t, "the fence", passed)
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.records
	s.records = nil
	return taken
}
