package holders_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/holders"
)

// TestUsers: what this process has open by a module is found, with its number and
// path, on every kernel, and not found when it is closed.
func TestUsers(t *testing.T) {
	inLab(t)
	for _, test := range []struct {
		name, module string
		use          func(*testing.T) (stop func())
		want         holders.User
	}{
		{"character device", "tun", useTun, holders.User{Kind: holders.OpenFile, Path: "/dev/net/tun", Device: "10:200", Detail: "character device"}},
		{"block device", "loop", useLoop, holders.User{Kind: holders.OpenBlockDevice, Path: "/dev/loop7", Device: "7:7"}},
		{"socket", "af_alg", useAlg, holders.User{Kind: holders.OpenSocket, Detail: "address family 38, protocol 0"}},
		{"socket of a protocol", "sctp", useSCTP, holders.User{Kind: holders.OpenSocket, Detail: "address family 2, protocol 132"}},
		{"congestion control", "tcp_bbr", useBBR, holders.User{Kind: holders.OpenSocket, Detail: "congestion control of TCP"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			loadFor(t, test.module)
			stop := test.use(t)
			u, ok := ownUser(findUsers(t, test.module))
			if !ok || u.Kind != test.want.Kind || u.Device != test.want.Device || u.Detail != test.want.Detail || u.Gone || !u.Holds {
				t.Errorf("user %+v, want %+v", u, test.want)
			}
			if test.want.Path != "" && u.Path != test.want.Path || test.want.Path == "" && !strings.HasPrefix(u.Path, "socket:[") {
				t.Errorf("path %q, want %q", u.Path, test.want.Path)
			}
			stop()
			if u, ok := ownUser(findUsers(t, test.module)); ok {
				t.Errorf("still there when closed: %+v", u)
			}
		})
	}
}

// loadFor loads a module for a test, and leaves none behind that can go: sctp has
// sockets of its own and cannot.
func loadFor(t *testing.T, module string) {
	t.Helper()
	sh(t, "/sbin/modprobe", module)
	t.Cleanup(func() { _ = exec.Command("/sbin/modprobe", "-r", module).Run() })
}

func findUsers(t *testing.T, module string) []holders.User {
	t.Helper()
	users, err := holders.Find(module, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		t.Logf("%s: %+v", module, u)
	}
	return users
}

// ownUser is the one that is an open file of this process.
func ownUser(users []holders.User) (holders.User, bool) {
	i := slices.IndexFunc(users, func(u holders.User) bool {
		return int(u.PID) == os.Getpid() && u.FD != nil && u.Kind != holders.FileOnMount
	})
	if i < 0 {
		return holders.User{}, false
	}
	return users[i], true
}

func closing(t *testing.T, fd int, err error) func() {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}
}

// node makes a device's file where devtmpfs has none.
func node(t *testing.T, path string, mode uint32, major, minor uint32) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(path, mode|0o600, int(unix.Mkdev(major, minor))); err != nil {
		t.Fatal(err)
	}
}

func useTun(t *testing.T) func() {
	node(t, "/dev/net/tun", unix.S_IFCHR, 10, 200)
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	return closing(t, fd, err)
}

func useLoop(t *testing.T) func() {
	node(t, "/dev/loop7", unix.S_IFBLK, 7, 7)
	fd, err := unix.Open("/dev/loop7", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return closing(t, fd, err)
}

func useAlg(t *testing.T) func() {
	fd, err := unix.Socket(unix.AF_ALG, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	return closing(t, fd, err)
}

func useSCTP(t *testing.T) func() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	return closing(t, fd, err)
}

func useBBR(t *testing.T) func() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	stop := closing(t, fd, err)
	if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "bbr"); err != nil {
		t.Fatal(err)
	}
	return stop
}

// TestUsersOther: a file of another process; a path that is only a path opens no
// device.
func TestUsersOther(t *testing.T) {
	inLab(t)
	loadFor(t, "loop")
	node(t, "/dev/loop7", unix.S_IFBLK, 7, 7)
	fd, err := unix.Open("/dev/loop7", unix.O_PATH|unix.O_CLOEXEC, 0)
	defer closing(t, fd, err)()
	sleep := exec.Command("sh", "-c", "exec 9</dev/loop7; echo ready; read wait")
	in, err := sleep.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := sleep.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	users := findUsers(t, "loop")
	if len(users) != 1 || int(users[0].PID) != sleep.Process.Pid || users[0].Comm != "sh" || *users[0].FD != 9 || users[0].Start == 0 {
		t.Errorf("users %+v, want sh[%d] with file 9", users, sleep.Process.Pid)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	_ = sleep.Wait() // the shell's read met the end of its input
	if users := findUsers(t, "loop"); len(users) != 0 {
		t.Errorf("users %+v of a module that nobody uses", users)
	}
}

// TestUsersNamespace: in another pid namespace the kernel shows only the processes
// of that one, and the answer says so.
func TestUsersNamespace(t *testing.T) {
	inLab(t)
	const inside = "KMODTRACE_TEST_NAMESPACE"
	if os.Getenv(inside) == "" {
		loadFor(t, "tun")
		defer useTun(t)()
		cmd := exec.Command("/proc/self/exe", "-test.run", "^TestUsersNamespace$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if users, err := holders.Find("tun", nil); len(users) != 0 || !errors.Is(err, holders.ErrNamespace) {
		t.Errorf("users %+v, %v", users, err)
	}
	defer useTun(t)()
	users, err := holders.Find("tun", nil)
	if len(users) != 1 || int(users[0].PID) == os.Getpid() || users[0].Path != "/dev/net/tun" || !errors.Is(err, holders.ErrNamespace) {
		t.Errorf("users %+v, %v", users, err)
	}
}

// TestUsersMount: a mounted file system is one user however often it is mounted;
// taken out of the tree and still in use, its open files are what is left to see.
func TestUsersMount(t *testing.T) {
	inLab(t)
	dir := t.TempDir()
	lower, other, at, again := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "m n"), filepath.Join(dir, "n")
	for _, d := range []string{lower, other, at, again} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(lower, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	loadFor(t, "overlay")
	sh(t, "mount", "-t", "overlay", "over", "-o", "lowerdir="+lower+":"+other, at)
	sh(t, "mount", "--bind", at, again)
	f, err := os.Open(filepath.Join(at, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	users := findUsers(t, "overlay")
	if len(users) != 1 || users[0].Kind != holders.Mounted || users[0].Path != at || users[0].Name != "overlay" || users[0].Detail != "from over, also mounted elsewhere" {
		t.Errorf("mounted: %+v", users)
	}
	sh(t, "umount", again)
	sh(t, "umount", "-l", at)
	users = findUsers(t, "overlay")
	if len(users) != 1 || users[0].Kind != holders.FileOnMount || *users[0].FD != int(f.Fd()) || int(users[0].PID) != os.Getpid() {
		t.Errorf("unmounted and open: %+v", users)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if users := findUsers(t, "overlay"); len(users) != 0 {
		t.Errorf("closed: %+v", users)
	}
}

// TestUsersText: modules that use it, and devices of loop with a file.
func TestUsersText(t *testing.T) {
	inLab(t)
	sh(t, "/sbin/insmod", specimen("base"))
	sh(t, "/sbin/insmod", specimen("user"))
	users := findUsers(t, "base")
	if len(users) != 1 || users[0].Kind != holders.HolderModule || users[0].Name != "user" {
		t.Errorf("users of base: %+v", users)
	}
	sh(t, "/sbin/rmmod", "user", "base")

	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	loadFor(t, "loop")
	node(t, "/dev/loop6", unix.S_IFBLK, 7, 6)
	sh(t, "losetup", "/dev/loop6", file)
	users = findUsers(t, "loop")
	if len(users) != 1 || users[0].Kind != holders.LoopDevice || users[0].Name != "loop6" || users[0].Path != file || users[0].Device != "7:6" {
		t.Errorf("users of loop: %+v", users)
	}
	testUsersDisk(t)
	sh(t, "losetup", "-d", "/dev/loop6")
}

// testUsersDisk: a mount holds its disk's module too, and the number of users is
// that of the references.
func testUsersDisk(t *testing.T) {
	at := t.TempDir()
	sh(t, "mkdosfs", "/dev/loop6")
	sh(t, "mount", "-t", "vfat", "/dev/loop6", at)
	users := findUsers(t, "loop")
	if len(users) != 2 || len(users) != refCount(t, "loop") || users[0].Kind != holders.Mounted || users[0].Path != at || users[0].Device != "7:6" {
		t.Errorf("users of loop, mounted: %+v, %d references", users, refCount(t, "loop"))
	}
	sh(t, "umount", at)
}
