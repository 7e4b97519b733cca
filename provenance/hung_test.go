package provenance

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/deadfuse"
	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// hanging gives a Lookup for which paths below /covered answer only when release is closed.
func hanging(root string, release chan struct{}) *Lookup {
	l := NewLookup(&Options{Root: root})
	l.open = func(root, path string) (*os.File, error) {
		if strings.HasPrefix(path, "/covered/") {
			<-release
		}
		return openBelow(root, path)
	}
	return l
}

// by makes it a load of a user's need.
func by(a *tracer.Action, uid uint32) *tracer.Action {
	with, file := *a, *a.File
	with.File = &file
	with.Requester = &tracer.Requester{Thread: tracer.Thread{UID: uid}}
	return &with
}

// TestHungLookup: paths that do not answer cost their time, and then nothing more; loads of
// other users, and from other devices, have their hashes all the same.
func TestHungLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute) // until no goroutine waits for a job any more
		root := t.TempDir()
		write(t, root, "covered/x.ko", elf)
		write(t, root, "x.ko", elf)
		covered, open := loadOf(t, root, "/covered/x.ko"), loadOf(t, root, "/x.ko")
		release := make(chan struct{})
		l := hanging(root, release)
		look := func(a *tracer.Action) (*Origin, time.Duration) {
			began := time.Now()
			o := l.Of(t.Context(), a)
			return o, time.Since(began)
		}
		began := time.Now()
		for i := range maxEach {
			o, took := look(by(covered, 1000))
			if took != DefaultTimeout || o.State != Unchecked || o.SHA256 != "" || o.Mode != "0644" || !strings.Contains(o.Why, "no answer within 3s") {
				t.Errorf("lookup %d that hangs: after %v, %+v", i, took, o)
			}
		}
		if o, took := look(by(open, 1000)); took != 0 || o.State != Unchecked || !strings.Contains(o.Why, "earlier lookups have had no answer yet (4 on") || !strings.Contains(o.Why, "for user 1000") {
			t.Errorf("of that user and device: after %v, %+v", took, o)
		}
		elsewhere := by(open, 1000)
		elsewhere.File.Device.Minor++
		if o, took := look(elsewhere); took != 0 || o.State != Replaced {
			t.Errorf("of that user on another device: after %v, %+v", took, o)
		}
		for _, uid := range []uint32{0, 1001} {
			if o, took := look(by(open, uid)); took != 0 || o.State != Same || o.SHA256 != sum(elf) {
				t.Errorf("of user %d: after %v, %+v", uid, took, o)
			}
		}
		hung := l.Hung()
		if len(hung) != maxEach || hung[0].User != 1000 || !hung[0].Since.Equal(began) || hung[0].What != "the file" {
			t.Errorf("hung: %+v", hung)
		}
		close(release)
		synctest.Wait()
		if hung := l.Hung(); len(hung) != 0 {
			t.Errorf("after all have ended: %+v", hung)
		}
		if o, _ := look(by(covered, 1000)); o.State != Same || o.SHA256 != sum(elf) {
			t.Errorf("afterwards: %+v", o)
		}
	})
}

// TestReserve: however many users' lookups hang, root's loads have theirs.
func TestReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute) // until no goroutine waits for a job any more
		root := t.TempDir()
		write(t, root, "covered/x.ko", elf)
		write(t, root, "x.ko", elf)
		covered, open := loadOf(t, root, "/covered/x.ko"), loadOf(t, root, "/x.ko")
		release := make(chan struct{})
		defer close(release)
		l := hanging(root, release)
		for i := range uint32(maxPending) {
			l.Of(t.Context(), by(covered, 1000+i))
		}
		if n := len(l.Hung()); n != maxPending-maxReserved {
			t.Errorf("%d lookups of users hang, of %d that they may have", n, maxPending-maxReserved)
		}
		if o := l.Of(t.Context(), by(open, 5000)); o.State != Unchecked || !strings.Contains(o.Why, "earlier lookups") {
			t.Errorf("another user's: %+v", o)
		}
		if o := l.Of(t.Context(), open); o.State != Same || o.SHA256 != sum(elf) {
			t.Errorf("root's: %+v", o)
		}
	})
}

// TestOwnModules: whatever directories root loaded from that do not answer now, the modules of
// the machine on the same device are looked at.
func TestOwnModules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute) // until no goroutine waits for a job any more
		const path = "/usr/lib/modules/6.12/kernel/x.ko"
		root := t.TempDir()
		write(t, root, "covered/x.ko", elf)
		write(t, root, path, elf)
		covered, own := loadOf(t, root, "/covered/x.ko"), loadOf(t, root, path)
		release := make(chan struct{})
		defer close(release)
		l := hanging(root, release)
		for range maxEach + 1 {
			l.Of(t.Context(), covered)
		}
		if o := l.Of(t.Context(), own); o.State != Same || o.SHA256 != sum(elf) {
			t.Errorf("%+v", o)
		}
		contained := by(own, 0)
		contained.Requester = nil
		contained.Actor = new(tracer.Actor)
		contained.Actor.Namespaces.Mount = tracer.Namespace{ID: 5}
		if o := l.Of(t.Context(), contained); o.State != Unchecked || !strings.Contains(o.Why, "earlier lookups") {
			t.Errorf("of that name in a container: %+v", o)
		}
	})
}

// TestMayLoad: for a caller whom the kernel does not let load, nothing is looked at at all.
func TestMayLoad(t *testing.T) {
	const all = tracer.Capabilities(1) << tracer.CapSysModule
	actor := func(c tracer.Capabilities, initial bool) *tracer.Actor {
		a := &tracer.Actor{Capabilities: c}
		a.Namespaces.User = tracer.Namespace{ID: 7, Initial: initial}
		return a
	}
	for name, test := range map[string]struct {
		call  *tracer.Enter
		actor *tracer.Actor
		want  bool
	}{
		"nothing known":             {want: true},
		"call, capable":             {call: &tracer.Enter{Capable: true}, want: true},
		"call, not capable":         {call: &tracer.Enter{}},
		"actor, capable":            {actor: actor(all, true), want: true},
		"actor, not capable":        {actor: actor(^all, true)},
		"root of a user namespace":  {actor: actor(all, false)},
		"actor of an old recording": {actor: new(tracer.Actor), want: true},
		"the call decides":          {call: &tracer.Enter{}, actor: actor(all, true)},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, "x.ko", elf)
			a := loadOf(t, root, "/x.ko")
			a.Call, a.Actor = test.call, test.actor
			l := NewLookup(&Options{Root: root})
			var opened atomic.Int32
			l.open = func(root, path string) (*os.File, error) {
				opened.Add(1)
				return openBelow(root, path)
			}
			s := l.Find(a)
			defer s.Close()
			o := s.Origin(t.Context())
			_, err := s.Inspect(t.Context())
			if looked := opened.Load() != 0; looked != test.want {
				t.Errorf("looked at: %v", looked)
			}
			if !test.want && (o.State != Unchecked || o.Why != "not looked at: its caller may not load modules" || !errors.Is(err, ErrNotLookedAt)) {
				t.Errorf("%+v, %v", o, err)
			}
		})
	}
}

// TestSubject: what was found is a descriptor; the path may lead elsewhere afterwards.
func TestSubject(t *testing.T) {
	module := koimage.Module{This: true}
	module.Info = []string{"license=GPL", "name=first"}
	other := koimage.Module{This: true}
	other.Info = []string{"license=GPL", "name=other"}
	for name, test := range map[string]struct {
		opts   Options
		before bool // something happens before it is found
		after  func(t *testing.T, file string)
		says   string // of an error
	}{
		"as it was": {},
		"replaced afterwards": {after: func(t *testing.T, f string) {
			rewrite(t, f+".new", string(other.Bytes()))
			if err := os.Rename(f+".new", f); err != nil {
				t.Fatal(err)
			}
		}},
		"replaced before": {before: true, says: "another file", after: func(t *testing.T, f string) {
			rewrite(t, f+".new", string(other.Bytes()))
			if err := os.Rename(f+".new", f); err != nil {
				t.Fatal(err)
			}
		}},
		"gone":    {before: true, says: "nothing at its path", after: func(_ *testing.T, f string) { os.Remove(f) }},
		"too big": {opts: Options{MaxSize: 8}, says: "more than 8 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, "x.ko", string(module.Bytes()))
			a := loadOf(t, root, "/x.ko")
			file := filepath.Join(root, "x.ko")
			if test.before {
				test.after(t, file)
			}
			opts := test.opts
			opts.Root = root
			s := NewLookup(&opts).Find(a)
			defer s.Close()
			s.Origin(t.Context())
			if test.after != nil && !test.before {
				test.after(t, file)
			}
			f, err := s.Inspect(t.Context())
			switch {
			case test.says == "" && (err != nil || f.Name != "first" || f.Path != "/x.ko"):
				t.Errorf("%+v, %v", f, err)
			case test.says != "" && (!errors.Is(err, ErrNotLookedAt) || !strings.Contains(err.Error(), test.says)):
				t.Errorf("%v, want %q", err, test.says)
			}
		})
	}
	var none *Subject
	if _, err := none.Inspect(t.Context()); !errors.Is(err, ErrNotLookedAt) {
		t.Error(err)
	}
	root := t.TempDir()
	write(t, root, "x.ko", "no module at all")
	s := NewLookup(&Options{Root: root}).Find(loadOf(t, root, "/x.ko"))
	defer s.Close()
	if _, err := s.Inspect(t.Context()); !errors.Is(err, kmod.ErrNotModule) || errors.Is(err, ErrNotLookedAt) {
		t.Errorf("no module: %v", err)
	}
	if mode, err := s.Mode(t.Context()); err != nil || !mode.IsRegular() {
		t.Errorf("%v, %v", mode, err)
	}
}

// TestClosed: a lookup that is left behind ends without its Subject, and gives back what
// it opened.
func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute) // until no goroutine waits for a job any more
		root := t.TempDir()
		write(t, root, "covered/x.ko", elf)
		release := make(chan struct{})
		l := hanging(root, release)
		s := l.Find(loadOf(t, root, "/covered/x.ko"))
		s.Origin(t.Context())
		if _, err := s.Inspect(t.Context()); !errors.Is(err, ErrNotLookedAt) || !strings.Contains(err.Error(), "no answer within 3s") {
			t.Errorf("after one that hangs: %v", err)
		}
		s.Close()
		close(release)
		synctest.Wait()
		if s.search.file == nil {
			t.Fatal("it was not found in the end")
		}
		if err := s.search.file.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("its file was left open: %v", err)
		}
		if _, err := s.Inspect(t.Context()); !errors.Is(err, ErrNotLookedAt) {
			t.Errorf("of a closed one: %v", err)
		}
	})
}

const mountinfo = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:20 / /proc rw - proc proc rw
30 22 0:30 / /home/u/mnt rw - fuse.sshfs host: rw
31 22 0:31 / /auto rw - autofs systemd-1 rw
32 31 8:2 / /auto rw - ext4 /dev/sda2 rw
33 22 0:33 / /net rw - autofs /etc/auto rw
34 22 0:34 / /hidden/below rw - nfs4 host:/ rw
35 22 0:35 / /hidden rw - tmpfs tmpfs rw
36 22 0:36 / /with\040blank rw - fuse x rw
37 22 8:3 / /data rw master:1 propagate_from:2 - ext4 /dev/sda3 rw
38 37 0:38 / /data/x.ko rw - fuse x rw
broken
`

func TestRemoteMount(t *testing.T) {
	mounts := readMounts(strings.NewReader(mountinfo))
	for path, want := range map[string]string{
		"/x.ko":               "",
		"/home/u/mnt/x.ko":    "fuse.sshfs",
		"/home/u/mnt":         "fuse.sshfs",
		"/home/u/mnt2/x.ko":   "",
		"/home/u/x.ko":        "",
		"/auto/x.ko":          "", // the disk is there already
		"/net/host/x.ko":      "autofs",
		"/hidden/below/x.ko":  "", // which a mount above it hides
		"/with blank/a/x.ko":  "fuse",
		"/data/x.ko":          "fuse",
		"/data/y.ko":          "",
		"/proc/self/fd/3":     "",
		"":                    "",
		"relative/x.ko":       "",
		"/home/u/mnt/../x.ko": "fuse.sshfs",
	} {
		if got := remoteMount(mounts, path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := remoteMount(readMounts(strings.NewReader("")), "/x"); got != "" {
		t.Errorf("nothing known: %q", got)
	}
}

// TestCovered: a path that leads through such a mount by now is not followed.
func TestCovered(t *testing.T) {
	root := t.TempDir()
	write(t, root, "home/u/mnt/x.ko", elf)
	write(t, root, "proc/self/mountinfo", mountinfo)
	a := loadOf(t, root, "/home/u/mnt/x.ko")
	l := NewLookup(&Options{Root: root})
	l.open = func(string, string) (*os.File, error) {
		t.Error("it is looked at")
		return nil, unix.EIO
	}
	if o := l.Of(t.Context(), a); o.State != Unchecked || !strings.Contains(o.Why, "of type fuse.sshfs is mounted on its path") {
		t.Errorf("%+v", o)
	}
	if o := NewLookup(&Options{Root: root, Remote: true}).Of(t.Context(), a); o.State != Same {
		t.Errorf("with Remote: %+v", o)
	}
}

// TestMountsChange: each mount is seen by the next look, however often the runtime polls
// what is open meanwhile.
func TestMountsChange(t *testing.T) {
	dir := t.TempDir()
	var table mountTable
	table.now("/proc/self/mountinfo")
	for n := range 200 {
		if err := unix.Mount("change", dir, "tmpfs", 0, "size=4k"); err != nil {
			t.Skipf("needs the right to mount: %v", err)
		}
		time.Sleep(time.Microsecond) // lets the runtime poll
		if len(table.now("/proc/self/mountinfo")[dir]) != 1 {
			t.Errorf("mount %d is not seen", n)
		}
		if err := unix.Unmount(dir, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Microsecond)
		if len(table.now("/proc/self/mountinfo")[dir]) != 0 {
			t.Errorf("unmount %d is not seen", n)
		}
		if t.Failed() {
			return
		}
	}
}

// TestFUSE: the same on a real file system that never answers, both where the mounts are
// known and where that is not so.
func TestFUSE(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "covered")
	write(t, root, "covered/x.ko", elf)
	write(t, root, "x.ko", elf)
	covered, open := loadOf(t, root, "/covered/x.ko"), loadOf(t, root, "/x.ko")
	before := NewLookup(nil) // which has looked at the mounts already
	here := by(open, 0)
	here.File.Path = filepath.Join(root, "x.ko")
	if o := before.Of(t.Context(), here); o.State != Same {
		t.Errorf("before the mount: %+v", o)
	}
	deadfuse.Mount(t, dir)

	known := by(covered, 0)
	known.File.Path = filepath.Join(dir, "x.ko")
	if o := before.Of(t.Context(), known); o.State != Unchecked || !strings.Contains(o.Why, "of type fuse is mounted on its path") {
		t.Errorf("a known mount: %+v", o)
	}
	l := NewLookup(&Options{Root: root, Timeout: 100 * time.Millisecond})
	for i := range maxEach + 1 {
		if o := l.Of(t.Context(), by(covered, 1000)); o.State != Unchecked || o.SHA256 != "" {
			t.Errorf("lookup %d that hangs: %+v", i, o)
		}
	}
	if n := len(l.Hung()); n != maxEach {
		t.Errorf("%d hang, want %d", n, maxEach)
	}
	l.opts.Timeout = time.Hour // this machine may be slow
	if o := l.Of(context.Background(), open); o.State != Same || o.SHA256 != sum(elf) {
		t.Errorf("the next load: %+v", o)
	}
}
