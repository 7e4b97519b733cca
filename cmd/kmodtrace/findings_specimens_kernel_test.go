package main

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/willscott/go-nfs"
	"github.com/willscott/go-nfs/helpers"
	"golang.org/x/sys/unix"
)

// publicRows says of each rule of examples/rules/public.yaml in which case of TestFindings it finds something, and in which
// one that is much like it, it does not.
var publicRows = map[string]struct{ match, miss string }{
	"elastic-kernel-module-load-by-utility":            {"unsigned", "by a program in memory"},
	"elastic-kernel-driver-load":                       {"unsigned", "refused"},
	"elastic-kernel-driver-load-by-non-root":           {"by a user with the capability", "by a user without it"},
	"elastic-kernel-module-load-from-unusual-location": {"from a deleted file", "of another release"},
	"elastic-tainted-kernel-module-load":               {"unsigned", "in the place of an installed one"},
	"elastic-tainted-out-of-tree-kernel-module-load":   {"by a key that the kernel does not have", "of the distribution, by modprobe"},
	"elastic-kernel-module-with-tainting-flags":        {"by force", "with another parameter"},
	"elastic-kernel-module-removal":                    {"removed in a shell", "and is gone at once"},
	"elastic-kernel-module-creation":                   {"of nobody, among the kernel's", "from a temporary filesystem"},
	"elastic-kernel-module-modification":               {"and is gone at once", "from memory"},
	"elastic-rare-driver-load":                         {"five times", "refused ten times"},
	"elastic-rare-module-file":                         {"from another machine", "refused ten times"},
	"elastic-module-loaded-via-loader":                 {"by an interpreter", "below a program in tmp"},
	"elastic-module-loaded-via-unusual-parent":         {"below a program in tmp", "removed in a shell"},
	"elastic-msr-write-access":                         {"with a parameter that lets programs write registers", "with another parameter"},
	"sigma-insmod":                                     {"unsigned", "by a program in memory"},
	"sigma-authencesn-request":                         {"for authencesn", "for a user without rights"},
	"sigma-nfsd-stub":                                  {"under a name of a known group", "unsigned"},
	"sigma-insmod-rmmod":                               {"and is gone at once", "by an interpreter"},
	"falco-module-injection":                           {"by a container's root", "from a container"},
	"falco-fileless-loader":                            {"by a program in memory", "from memory"},
	"tetragon-monitor-kernel-modules":                  {"by another program than modprobe", "refused"},
	"tetragon-monitor-signed-kernel-modules":           {"by a key that the kernel does not have", "refused"},
	"tetragon-modules-nohost":                          {"for a container", "with another parameter"},
	"tracee-kernel-module-loading":                     {"from memory", "refused"},
	"tracee-do-init-module":                            {"refused", "by a user without it"},
	"tracee-module-free":                               {"removed in a shell", "refused ten times"},
	"datadog-unfamiliar-module":                        {"in the place of an installed one", "refused"},
	"datadog-module-from-memory":                       {"from memory", "by a program in memory"},
	"datadog-rootkit-installation":                     {"by a program in memory", "not as its package brought it"},
	"auditd-modules":                                   {"by a user without it", "by another program than modprobe"},
	"gadget-trace-init-module":                         {"by a user without it", "by another program than modprobe"},
	"osquery-kernel-modules":                           {"and is gone at once", "refused"},
}

// ruleCases are the rules that find something, by the names of the cases.
type ruleCases struct {
	set   *rule.Set
	found map[string][]string
}

func newRuleCases(set *rule.Set) *ruleCases {
	return &ruleCases{set: set, found: make(map[string][]string)}
}

// take looks at the records of a case with rules that remember nothing, and gives what they find.
func (c *ruleCases) take(t *testing.T, name string, records []record.Record) []rule.Finding {
	t.Helper()
	var all []rule.Finding
	c.found[name] = []string{}
	findings := c.set.Begin()
	for i := range records {
		found, err := findings.Add(&records[i])
		if err != nil {
			t.Error(err)
		}
		all = append(all, found...)
		for _, f := range found {
			c.found[name] = append(c.found[name], f.Rule)
		}
	}
	return all
}

// checkEach tells the rules of the pack that found nothing in any case, but for checks and what crashes the kernel (TestWreck).
func (c *ruleCases) checkEach(t *testing.T) {
	t.Helper()
	every := slices.Concat(slices.Collect(maps.Values(c.found))...)
	for _, r := range c.set.Rules() {
		if !r.Check && r.ID != "kernel-fault" && !slices.Contains(every, r.ID) {
			t.Errorf("%s finds nothing in any case", r.ID)
		}
	}
}

// checkPublic compares with publicRows, where each rule has one.
func (c *ruleCases) checkPublic(t *testing.T) {
	t.Helper()
	for _, r := range c.set.Rules() {
		row, ok := publicRows[r.ID]
		match, matchRan := c.found[row.match]
		miss, missRan := c.found[row.miss]
		switch {
		case !ok || !matchRan || !missRan:
			t.Errorf("%s has no row, or one of cases that there are not: %+v", r.ID, row)
		case !slices.Contains(match, r.ID):
			t.Errorf("%s finds nothing in the case %q", r.ID, row.match)
		case slices.Contains(miss, r.ID):
			t.Errorf("%s finds something in the case %q", r.ID, row.miss)
		}
	}
}

// mountDisk gives a directory on a filesystem in memory that is not the root's.
func mountDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func madeDir(t *testing.T, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// copied copies a file, or what a link leads to, under its own name.
func copied(t *testing.T, file, dir string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, filepath.Base(file))
	if err := os.WriteFile(to, text, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

func memfdOf(t *testing.T, file string) *os.File {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.MemfdCreate("hello", 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "memfd")
	if _, err := f.Write(text); err != nil {
		t.Fatal(err)
	}
	return f
}

func loadFrom(t *testing.T, f *os.File) {
	t.Helper()
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
		t.Error(err)
	}
}

// algRestrict tells a kernel of 7.3, once af_alg is loaded, to refuse what is not on its list of algorithms, before it asks for a
// module.
const algRestrict = "/proc/sys/crypto/af_alg_restrict"

// bindAlgorithm asks the kernel for a kind of algorithms as a user without rights, who gets an error for
// the algorithm, which there is not.
func bindAlgorithm(t *testing.T, kind, algorithm string) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread ends with the user that it has become
		const nobody = 65534
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			done <- errno
			return
		}
		fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET, 0)
		if errno != 0 {
			done <- fmt.Errorf("socket: %w", errno)
			return
		}
		address := unix.RawSockaddrALG{Family: unix.AF_ALG}
		for i := range kind {
			address.Type[i] = kind[i]
		}
		copy(address.Name[:], algorithm)
		_, _, _ = unix.Syscall(unix.SYS_BIND, fd, uintptr(unsafe.Pointer(&address)), unsafe.Sizeof(address))
		_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// mountRemovable gives a directory on a disk that says of itself that it can be taken out.
func mountRemovable(t *testing.T) string {
	t.Helper()
	const disk = "/dev/sda"
	dir := madeDir(t, "/media/disk")
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	run("/sbin/modprobe", "sd_mod")
	run("/sbin/modprobe", "scsi_debug", "removable=1", "dev_size_mb=8")
	t.Cleanup(func() { mayFail("/sbin/modprobe", "-r", "scsi_debug") })
	await.Until(t, disk, func() bool { _, err := os.Stat(disk); return err == nil })
	run("/bin/busybox", "mkdosfs", disk)
	run("/bin/busybox", "mount", "-t", "vfat", disk, dir)
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	return dir
}

// mountNFS gives the directory of the specimens as an NFS server has it, which is this process.
func mountNFS(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	handler := helpers.NewCachingHandler(helpers.NewNullAuthHandler(osfs.New(filepath.Dir(labModule("hello")))), 1000)
	nfs.Log.SetLevel(nfs.PanicLevel) // it reports each call of another protocol
	go func() { _ = nfs.Serve(listener, handler) }()
	dir, port := madeDir(t, "/net/specimens"), listener.Addr().(*net.TCPAddr).Port
	options := fmt.Sprintf("vers=3,proto=tcp,mountproto=tcp,nolock,soft,addr=127.0.0.1,port=%d,mountport=%d", port, port)
	if out, err := exec.Command("/sbin/modprobe", "-a", "nfs", "nfsv3").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := unix.Mount("127.0.0.1:/", dir, "nfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// busyboxAs copies BusyBox to a file.
func busyboxAs(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file) })
	return file
}

// runAs runs a program under another name than its file's, as BusyBox is run.
func runAs(t *testing.T, program string, files []*os.File, args ...string) {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Args, cmd.ExtraFiles = args, files
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s as %q: %v: %s", program, args, err, out)
	}
}

// runInMemory runs BusyBox from a file that only ever is in memory.
func runInMemory(t *testing.T, args ...string) {
	t.Helper()
	program := memfdOf(t, "/bin/busybox")
	defer program.Close()
	runAs(t, "/proc/self/fd/3", []*os.File{program}, args...)
}

// insideContainer runs a command in a control group and namespaces as a container has them.
func insideContainer(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(roles.Path("contain"), append([]string{"docker/" + strings.Repeat("0123456789abcdef", 4)}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%q: %v: %s", args, err, out)
	}
}

// insmodAsUser loads a module as a user that is not root, and may load modules or not.
func insmodAsUser(t *testing.T, module string, may bool) {
	t.Helper()
	cmd := exec.Command("/sbin/insmod", module)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	if may {
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_MODULE}
	}
	if out, err := cmd.CombinedOutput(); (err == nil) != may {
		t.Errorf("%v: %s", err, out)
	}
}

func release(t *testing.T) string {
	t.Helper()
	var running unix.Utsname
	if err := unix.Uname(&running); err != nil {
		t.Fatal(err)
	}
	return unix.ByteSliceToString(running.Release[:])
}
