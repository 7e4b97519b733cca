package tracer_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// directoryCase is a load by a process in some directory.
type directoryCase struct {
	name    string
	command *exec.Cmd
	want    tracer.Directory
}

// testDirectories: the working directory is that of the moment of the call, and what has no path says so.
func testDirectories(t *testing.T, w *watch) {
	installRoles(t, "loader")
	hello := specimen("hello")
	home := madeDirectory(t, "/root/directories")
	defer os.RemoveAll(home)
	// in is a command of a shell that goes to a directory of its own.
	in := func(script string) *exec.Cmd {
		cmd := exec.Command("sh", "-c", script+"; exit $?", "sh", hello)
		cmd.Dir = home
		return cmd
	}
	cases := []directoryCase{
		{"a relative path", in("mkdir near && cd near && cp $1 ./hello.ko && insmod ./hello.ko"), tracer.Directory{Path: home + "/near"}},
		{"the root", in("cd / && insmod $1"), tracer.Directory{Path: "/"}},
		{"a name that ends like a removed one", in("mkdir 'x (deleted)' && cd 'x (deleted)' && insmod $1"), tracer.Directory{Path: home + "/x (deleted)"}},
		{"removed", in("mkdir gone && cd gone && rmdir ../gone && insmod $1"), tracer.Directory{Path: home + "/gone", Deleted: true}},
		{"below a mount", in("mkdir m && mount -t tmpfs none m && mkdir m/sub && cd m/sub && insmod $1"), tracer.Directory{Path: home + "/m/sub"}},
		{"the root of a mount", in("cd m && insmod $1"), tracer.Directory{Path: home + "/m"}},
		{"a mount that was detached", in("cd m/sub && umount -l ../../m && insmod $1"), tracer.Directory{Path: "…/sub", Unreachable: true}},
		{"the root of one", in("mount -t tmpfs none m && cd m && umount -l ../m && insmod $1"), tracer.Directory{Path: "…/", Unreachable: true}},
		{"chroot", inRoot(t, home+"/jail", hello), tracer.Directory{Path: home + "/jail/in"}},
		{"a mount namespace", inNamespace(home, hello), tracer.Directory{Path: home + "/own"}},
		{"another mount namespace", inOtherNamespace(t, home, hello), tracer.Directory{Path: "…" + home, Unreachable: true}},
		{"out of what is mounted", outOfMount(home, hello), tracer.Directory{Path: "…/moved", Unreachable: true}},
		{"hostile", in(`d=$(printf 'a\nb\033[31m') && mkdir "$d" && cd "$d" && insmod $1`), tracer.Directory{Path: home + "/a\nb\x1b[31m"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := directoryOf(t, w, c.command); got == nil || *got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
	// More names than there is room for.
	t.Run("long names", func(t *testing.T) { testDeepDirectory(t, w, home, strings.Repeat("d", 200), 4, 2) })
	t.Run("the longest names", func(t *testing.T) { testDeepDirectory(t, w, home, strings.Repeat("e", 255), 4, 1) })
	t.Run("many names", func(t *testing.T) { testDeepDirectory(t, w, home, "f", 60, 30) })
	t.Run("a request has none", func(t *testing.T) {
		got := w.during(t, func() { _ = exec.Command("ip", "link", "add", "nodir0", "type", "nosuchkind").Run() })
		for _, a := range got {
			if a.Actor == nil || a.Actor.WorkingDirectory != nil {
				t.Errorf("%s: %+v", brief(a), a.Actor)
			}
		}
		if len(got) == 0 {
			t.Error("no request")
		}
	})
}

func madeDirectory(t *testing.T, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// directoryOf gives the working directory of a command's load of hello, and of the unload that follows.
func directoryOf(t *testing.T, w *watch, cmd *exec.Cmd) *tracer.Directory {
	t.Helper()
	got := w.during(t, func() {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
			return
		}
		sh(t, "/sbin/rmmod", "hello")
	})
	expect(t, got, "load hello live", "unload hello unloaded")
	if t.Failed() {
		return nil
	}
	own, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if d := got[1].Actor.WorkingDirectory; d == nil || *d != (tracer.Directory{Path: own}) {
		t.Errorf("of the unload: %+v, want %s", d, own)
	}
	return got[0].Actor.WorkingDirectory
}

// testDeepDirectory: of a path that is too long the last names are kept, whole, and at least so many of them.
func testDeepDirectory(t *testing.T, w *watch, home, name string, depth, least int) {
	t.Helper()
	cmd := exec.Command("sh", "-c", `i=0; while [ $i -lt $3 ]; do mkdir -p $2 && cd $2 || exit 1; i=$((i+1)); done; insmod $1; exit $?`, "sh", specimen("hello"), name, strconv.Itoa(depth))
	cmd.Dir = home
	got := directoryOf(t, w, cmd)
	if got == nil || !got.PathCut || got.Unreachable || got.Deleted {
		t.Errorf("%d names: %+v", depth, got)
		return
	}
	names := strings.Split(got.Path, "/")
	if names[0] != "…" || len(names) < 1+least {
		t.Errorf("%d names: %q", depth, got.Path)
	}
	for _, n := range names[1:] {
		if n != name {
			t.Errorf("%d names: %q in %q", depth, n, got.Path)
		}
	}
}

// inRoot is a load by a process whose root is not that of its mount namespace.
func inRoot(t *testing.T, root, module string) *exec.Cmd {
	madeDirectory(t, root+"/in")
	for from, to := range map[string]string{roles.Path("loader"): root + "/loader", module: root + "/hello.ko"} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/loader", "../hello.ko")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Dir = "/in"
	return cmd
}

// inNamespace is a load by a process in a mount namespace of its own, on a mount that is only there.
func inNamespace(home, module string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", "mkdir own && mount -t tmpfs none own && cd own && insmod $1; exit $?", "sh", module)
	cmd.Dir = home
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	return cmd
}

// inOtherNamespace is a load by a process that was left a directory of another mount namespace.
func inOtherNamespace(t *testing.T, home, module string) *exec.Cmd {
	dir, err := os.Open(home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	cmd := exec.Command("sh", "-c", "cd /proc/self/fd/3/ && insmod $1; exit $?", "sh", module)
	cmd.ExtraFiles = []*os.File{dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	return cmd
}

// outOfMount is a load by a process in a directory that was moved out of the bind mount that it went there by.
func outOfMount(home, module string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", "mkdir -p fs && mount -t tmpfs none fs && mkdir -p fs/part/moved bind && mount --bind fs/part bind && cd bind/moved && mv "+
		filepath.Join(home, "fs/part/moved")+" "+filepath.Join(home, "fs/moved")+" && insmod $1; s=$?; cd /; umount "+filepath.Join(home, "bind")+" "+filepath.Join(home, "fs")+"; exit $s", "sh", module)
	cmd.Dir = home
	return cmd
}
