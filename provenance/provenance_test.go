package provenance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/tracer"
)

const elf = "\x7fELF not really a module\n"

// loadOf gives the action of a load of a file below root, as the kernel would have it.
func loadOf(t *testing.T, root, path string) *tracer.Action {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(root, path), &st); err != nil {
		t.Fatal(err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(root, &fs); err != nil {
		t.Fatal(err)
	}
	return loadOfStat(path, &st, uint64(fs.Type))
}

func loadOfStat(path string, st *unix.Stat_t, magic uint64) *tracer.Action {
	return &tracer.Action{
		Kind: tracer.Load, Time: time.Now().Add(time.Hour),
		Thread: tracer.Thread{PID: 1 << 30},
		Call:   &tracer.Enter{Call: tracer.FinitModule, Capable: true, FD: -1},
		File: &tracer.File{
			Path: path, Device: deviceOf(st), Inode: st.Ino, Size: uint64(st.Size), FSMagic: magic,
			Mode: st.Mode, UID: st.Uid, GID: st.Gid, ChangeTimeNS: st.Ctim.Nano(),
		},
	}
}

func write(t *testing.T, root, path, text string) {
	t.Helper()
	name := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func sum(text string) Digest {
	h := sha256.Sum256([]byte(text))
	return Digest(hex.EncodeToString(h[:]))
}

// TestState: what is said of a file to which something happened after its load.
func TestState(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		path   string
		after  func(t *testing.T, file string)
		change func(a *tracer.Action)
		opts   Options
		state  State
		hashed bool
		why    string
	}{
		"same":               {state: Same, hashed: true},
		"written again":      {state: Changed, why: "have changed since", after: func(t *testing.T, f string) { rewrite(t, f, strings.ToUpper(elf)) }},
		"longer":             {state: Changed, why: "has 27 now", after: func(t *testing.T, f string) { rewrite(t, f, elf+"xx") }},
		"mode changed":       {state: Changed, why: "attributes", after: func(_ *testing.T, f string) { later(); must(os.Chmod(f, 0o600)) }},
		"vanished":           {state: Gone, why: "nothing at its path", after: func(_ *testing.T, f string) { must(os.Remove(f)) }},
		"its directory went": {path: "/a/b/x.ko", state: Gone, after: func(_ *testing.T, f string) { must(os.RemoveAll(filepath.Dir(f))) }},
		"directory is file":  {path: "/a/x.ko", state: Gone, after: func(t *testing.T, f string) { must(os.RemoveAll(filepath.Dir(f))); rewrite(t, filepath.Dir(f), "") }},
		"replaced": {state: Replaced, why: "another file", after: func(t *testing.T, f string) {
			rewrite(t, f+".new", elf)
			must(os.Rename(f+".new", f))
		}},
		"pipe":      {state: Replaced, why: "a pipe", after: func(_ *testing.T, f string) { must(os.Remove(f)); must(unix.Mkfifo(f, 0o600)) }},
		"directory": {state: Replaced, why: "a directory", after: func(_ *testing.T, f string) { must(os.Remove(f)); must(os.Mkdir(f, 0o700)) }},
		"socket": {state: Replaced, why: "a socket", after: func(_ *testing.T, f string) {
			must(os.Remove(f))
			must(unix.Mknod(f, unix.S_IFSOCK|0o600, 0))
		}},
		"link to itself": {state: Replaced, why: "a symbolic link", after: func(_ *testing.T, f string) {
			must(os.Rename(f, f+".real"))
			must(os.Symlink(f+".real", f))
		}},
		"link on the way": {path: "/a/x.ko", state: Replaced, why: "a symbolic link is on its path", after: func(_ *testing.T, f string) {
			dir := filepath.Dir(f)
			must(os.Rename(dir, dir+".real"))
			must(os.Symlink(dir+".real", dir))
		}},

		"newline":    {path: "/a\nb/x\n.ko", state: Same, hashed: true},
		"not UTF-8":  {path: "/\xff\xfe.ko", state: Same, hashed: true, change: func(a *tracer.Action) { a.File.Path = `/\xff\xfe.ko` }},
		"backslash":  {path: `/\xff.ko`, state: Same, hashed: true},
		"dashes":     {path: "/--help.ko", state: Same, hashed: true},
		"long":       {path: strings.Repeat("/"+strings.Repeat("d", 200), 15) + "/x.ko", state: Same, hashed: true},
		"too long":   {state: Unchecked, why: "name too long", change: func(a *tracer.Action) { a.File.Path = "/" + strings.Repeat("n", 300) }},
		"NUL":        {state: Unchecked, why: "cannot be followed", change: func(a *tracer.Action) { a.File.Path = "/x\x00.ko" }},
		"no path":    {state: Unchecked, why: "whole path", change: func(a *tracer.Action) { a.File.Path = "" }},
		"cut path":   {state: Unchecked, why: "whole path", change: func(a *tracer.Action) { a.File.Path, a.File.PathCut = "…/x.ko", true }},
		"root":       {state: Replaced, why: "a directory", change: func(a *tracer.Action) { a.File.Path = "/" }},
		"upwards":    {state: Unchecked, why: "cannot be followed", change: func(a *tracer.Action) { a.File.Path = "/../../../../../../etc/passwd" }},
		"other disk": {state: Replaced, change: func(a *tracer.Action) { a.File.Device.Minor++ }},
		"memfd":      {state: Gone, why: "never had a name", change: func(a *tracer.Action) { a.File.Memfd = true }},
		"deleted":    {state: Gone, why: "gone when it was loaded", change: func(a *tracer.Action) { a.File.Deleted = true }},

		"too big":       {state: Same, why: "more than 8 bytes", opts: Options{MaxSize: 8}},
		"brief":         {state: Same, why: "switched off", opts: Options{Brief: true}},
		"not capable":   {state: Unchecked, why: "not looked at: its caller may not load modules", change: func(a *tracer.Action) { a.Call.Capable = false }},
		"network":       {state: Unchecked, why: "nfs files are not looked at", change: func(a *tracer.Action) { a.File.FSMagic = 0x6969 }},
		"network, read": {state: Same, hashed: true, opts: Options{Remote: true}, change: func(a *tracer.Action) { a.File.FSMagic = 0x6969 }},
		"FUSE":          {state: Unchecked, why: "fuse files are not looked at", change: func(a *tracer.Action) { a.File.FSMagic = 0x65735546 }},
		"overlay":       {state: Same, hashed: true, change: func(a *tracer.Action) { a.File.FSMagic = 0x794c7630; a.File.Device.Minor++ }},

		"no time, before":  {state: Same, hashed: true, change: func(a *tracer.Action) { a.File.ChangeTimeNS = 0 }},
		"no time, after":   {state: Unchecked, why: "not known whether", change: func(a *tracer.Action) { a.File.ChangeTimeNS, a.Time = 0, time.Now().Add(-time.Hour) }},
		"no time at all":   {state: Unchecked, why: "not known whether", change: func(a *tracer.Action) { a.File.ChangeTimeNS, a.Time = 0, time.Time{} }},
		"no time, overlay": {state: Unchecked, why: "neither", change: func(a *tracer.Action) { a.File.ChangeTimeNS, a.File.FSMagic = 0, 0x794c7630 }},
		"another namespace": {state: Same, hashed: true, change: func(a *tracer.Action) {
			a.Actor = new(tracer.Actor)
			a.Actor.Namespaces.Mount.ID = 1
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			path := test.path
			if path == "" {
				path = "/x.ko"
			}
			write(t, root, path, elf)
			a := loadOf(t, root, path)
			if test.after != nil {
				test.after(t, filepath.Join(root, path))
			}
			if test.change != nil {
				test.change(a)
			}
			opts := test.opts
			opts.Root = root
			o := NewLookup(&opts).Of(t.Context(), a)
			if o.State != test.state || !strings.Contains(o.Why, test.why) || test.why == "" && o.Why != "" && o.State == Same {
				t.Errorf("state %s, %q; want %s, %q", o.State, o.Why, test.state, test.why)
			}
			want := Digest("")
			if test.hashed {
				want = sum(elf)
			}
			if o.SHA256 != want {
				t.Errorf("hash %q, want %q", o.SHA256, want)
			}
		})
	}
}

// later waits for another tick of the clock of file times: within one, nothing tells.
func later() { time.Sleep(20 * time.Millisecond) }

func rewrite(t *testing.T, file, text string) {
	t.Helper()
	later()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestHuge: a file that is nearly all hole is not read to its end.
func TestHuge(t *testing.T) {
	root := t.TempDir()
	write(t, root, "x.ko", elf)
	if err := os.Truncate(filepath.Join(root, "x.ko"), 1<<40); err != nil {
		t.Skipf("the file system has no files of that size: %v", err)
	}
	o := NewLookup(&Options{Root: root}).Of(t.Context(), loadOf(t, root, "/x.ko"))
	if o.State != Same || o.SHA256 != "" || !strings.Contains(o.Why, "more than 67108864 bytes") {
		t.Errorf("%+v", o)
	}
}

func TestUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	for name, why := range map[string]string{"a": "may not be followed", "a/x.ko": "cannot be opened"} {
		root := t.TempDir()
		write(t, root, "a/x.ko", elf)
		if err := os.Chmod(filepath.Join(root, name), 0); err != nil {
			t.Fatal(err)
		}
		var a *tracer.Action
		if name == "a" {
			a = loadOf(t, root, "/a")
			a.File.Path = "/a/x.ko"
		} else {
			a = loadOf(t, root, "/a/x.ko")
		}
		o := NewLookup(&Options{Root: root}).Of(t.Context(), a)
		if o.State != Unreadable || o.SHA256 != "" || !strings.Contains(o.Why, why) {
			t.Errorf("%s: %+v", name, o)
		}
		if err := os.Chmod(filepath.Join(root, name), 0o700); err != nil {
			t.Error(err)
		}
	}
}

// self gives a load by this process, by that descriptor.
func self(t *testing.T, fd int, path string) *tracer.Action {
	t.Helper()
	var st unix.Stat_t
	var fs unix.Statfs_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fstatfs(fd, &fs); err != nil {
		t.Fatal(err)
	}
	a := loadOfStat(path, &st, uint64(fs.Type))
	stat := procfs.FirstLine("/proc/self/stat")
	rest := stat[strings.LastIndex(stat, ")")+1:]
	var ticks int64
	if _, err := fmt.Sscan(strings.Fields(rest)[19], &ticks); err != nil {
		t.Fatal(err)
	}
	a.Thread = tracer.Thread{PID: uint32(os.Getpid()), Start: time.Duration(ticks)*10*time.Millisecond + 1}
	a.Call.FD = int32(fd)
	return a
}

// TestDescriptor: while its loader has it open, also a file without a name is hashed.
func TestDescriptor(t *testing.T) {
	memfd, err := unix.MemfdCreate("x", unix.MFD_CLOEXEC)
	if err != nil {
		t.Skipf("no memfd: %v", err)
	}
	f := os.NewFile(uintptr(memfd), "memfd")
	defer f.Close()
	if _, err := f.WriteString(elf); err != nil {
		t.Fatal(err)
	}
	a := self(t, memfd, "/memfd:x")
	a.File.Memfd = true
	look := func(a *tracer.Action) *Origin { return NewLookup(nil).Of(t.Context(), a) }
	if o := look(a); o.State != Same || o.SHA256 != sum(elf) || !o.Temporary || o.Why != "" {
		t.Errorf("memfd: %+v", o)
	}
	reused := *a
	reused.Thread.Start += time.Second // another process of that number
	if o := look(&reused); o.State != Gone || o.SHA256 != "" {
		t.Errorf("another process's: %+v", o)
	}
	other := self(t, memfd, "/memfd:x")
	other.File.Memfd, other.Call.FD = true, 0
	if o := look(other); o.State != Gone || o.SHA256 != "" {
		t.Errorf("another descriptor: %+v", o)
	}
	a.File.Memfd, a.File.Path, a.File.PathCut = false, "…/x", true
	if o := look(a); o.State != Same || o.SHA256 != sum(elf) {
		t.Errorf("cut path: %+v", o)
	}
}

// TestForeign: a path of another mount namespace says nothing about this one's.
func TestForeign(t *testing.T) {
	root := t.TempDir()
	const path = "/lib/modules/6.1/x.ko"
	write(t, root, "proc/sys/kernel/osrelease", "6.1\n")
	write(t, root, "proc/7/root"+path, elf)
	write(t, root, path, "another")
	for process, ns := range map[string]string{"self": "mnt:[10]", "7": "mnt:[20]", "8": "mnt:[30]"} {
		dir := filepath.Join(root, "proc", process, "ns")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(ns, filepath.Join(dir, "mnt")); err != nil {
			t.Fatal(err)
		}
	}
	a := loadOf(t, filepath.Join(root, "proc/7/root"), path)
	a.Actor = new(tracer.Actor)
	look := func(mount uint32) *Origin {
		a.Actor.Namespaces.Mount.ID = mount
		return NewLookup(&Options{Root: root}).Of(t.Context(), a)
	}
	if o := look(20); o.State != Same || o.SHA256 != sum(elf) || o.InTree {
		t.Errorf("by another process in it: %+v", o)
	}
	if o := look(40); o.State != Unchecked || o.InTree || !strings.Contains(o.Why, "namespace") {
		t.Errorf("with nobody left in it: %+v", o)
	}
	if o := look(10); o.State != Replaced || !o.InTree {
		t.Errorf("of this one: %+v", o)
	}
}

func TestInTree(t *testing.T) {
	for path, want := range map[string]Origin{
		"/lib/modules/6.12/kernel/x.ko":     {InTree: true},
		"/usr/lib/modules/6.12/extra/x.ko":  {InTree: true},
		"/lib/modules/6.1/x.ko":             {OtherRelease: "6.1"},
		"/usr/lib/modules/6.12.1/x.ko":      {OtherRelease: "6.12.1"},
		"/lib/modules/x.ko":                 {},
		"/home/lib/modules/6.12/x.ko":       {},
		"/lib/modulesx/6.12/x.ko":           {},
		"/usr/usr/lib/modules/6.12/x.ko":    {},
		"/tmp/6.12/x.ko":                    {},
		"/lib/modules/6.12/../6.1/x/../y.o": {InTree: true}, // no path of the kernel's
	} {
		s := &search{Lookup: &Lookup{release: "6.12"}, action: &tracer.Action{File: &tracer.File{Path: path}}, origin: new(Origin)}
		s.place()
		if diff := cmp.Diff(&want, s.origin); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestOwner(t *testing.T) {
	for _, test := range []struct {
		gid, mode uint32
		text      string
		others    bool
	}{
		{0, 0o100644, "0644", false},
		{0, 0o100664, "0664", false},
		{5, 0o100664, "0664", true},
		{0, 0o100646, "0646", true},
		{5, 0o104755, "4755", false},
		{0, 0o100000, "0000", false},
	} {
		o := fromEvent(&tracer.File{Mode: test.mode, UID: 7, GID: test.gid})
		want := &Origin{State: Unchecked, Owner: &Owner{UID: 7, GID: test.gid}, Mode: test.text, WritableByOthers: test.others}
		if diff := cmp.Diff(want, o); diff != "" {
			t.Errorf("%o (-want +got):\n%s", test.mode, diff)
		}
	}
	root := t.TempDir()
	write(t, root, "x.ko", elf)
	a := loadOf(t, root, "/x.ko")
	a.File.Mode = 0
	if o := NewLookup(&Options{Root: root}).Of(t.Context(), a); o.Mode != "0644" || o.Owner == nil || o.Owner.UID != uint32(os.Getuid()) {
		t.Errorf("of the file itself: %+v", o)
	}
}

func TestRemovable(t *testing.T) {
	root := t.TempDir()
	sys := "sys/devices/pci0000:00/"
	usb, card, disk := sys+"usb2/2-1/2-1:1.0/block/sdb", sys+"mmc/block/mmcblk0", sys+"ata1/block/sda"
	write(t, root, usb+"/removable", "0\n")
	write(t, root, card+"/removable", "1\n")
	write(t, root, card+"/mmcblk0p1/partition", "1\n")
	write(t, root, disk+"/removable", "0\n")
	write(t, root, disk+"/sda1/partition", "1\n")
	write(t, root, "sys/devices/virtual/block/dm-0/removable", "0\n")
	write(t, root, "sys/devices/virtual/block/dm-1/removable", "0\n")
	link := func(target, name string) {
		t.Helper()
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(root, target), name); err != nil {
			t.Fatal(err)
		}
	}
	link(card+"/mmcblk0p1", "sys/devices/virtual/block/dm-0/slaves/mmcblk0p1")
	link("sys/devices/virtual/block/dm-1", "sys/devices/virtual/block/dm-1/slaves/dm-1") // for ever
	for number, target := range map[string]string{
		"8:16": usb, "179:0": card, "179:1": card + "/mmcblk0p1", "8:0": disk, "8:1": disk + "/sda1",
		"253:0": "sys/devices/virtual/block/dm-0", "253:1": "sys/devices/virtual/block/dm-1",
	} {
		link(target, "sys/dev/block/"+number)
	}
	l := NewLookup(&Options{Root: root})
	for d, want := range map[tracer.Device]bool{
		{Major: 8, Minor: 16}: true, {Major: 179}: true, {Major: 179, Minor: 1}: true, {Major: 253}: true,
		{Major: 8}: false, {Major: 8, Minor: 1}: false, {Major: 253, Minor: 1}: false, {Minor: 30}: false, {Major: 99}: false,
	} {
		if got := l.removable(d); got != want {
			t.Errorf("%d:%d: %v, want %v", d.Major, d.Minor, got, want)
		}
	}
}

func TestNothingToLookFor(t *testing.T) {
	l := NewLookup(nil)
	for name, a := range map[string]*tracer.Action{
		"unload": {Kind: tracer.Unload, File: new(tracer.File)}, "memory": {Kind: tracer.Load}, "request": {Kind: tracer.Autoload}, "none": {},
	} {
		if o := l.Of(t.Context(), a); o != nil {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

// TestBroken: a lookup that takes too long ends without a claim.
func TestBroken(t *testing.T) {
	root := t.TempDir()
	write(t, root, "x.ko", elf)
	a := loadOf(t, root, "/x.ko")
	l := NewLookup(&Options{Root: root})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if o := l.Of(ctx, a); o.State == Same && o.SHA256 != sum(elf) {
			t.Errorf("interrupted: %+v", o)
		}
	}
	l = NewLookup(&Options{Root: root, Timeout: time.Nanosecond})
	if o := l.Of(t.Context(), a); o.SHA256 != "" && o.SHA256 != sum(elf) {
		t.Errorf("no time: %+v", o)
	}
}

// TestChangedMeanwhile: a file that does not stay as it was while it is read.
func TestChangedMeanwhile(t *testing.T) {
	root := t.TempDir()
	write(t, root, "x.ko", elf)
	f, err := os.Open(filepath.Join(root, "x.ko"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before, err := statOf(f)
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, f.Name(), elf+elf)
	s := &search{Lookup: NewLookup(&Options{Root: root}), action: loadOf(t, root, "/x.ko"), origin: new(Origin)}
	if _, err := s.digest(t.Context(), f, before); err != errMoved {
		t.Errorf("%v, want %v", err, errMoved)
	}
}

func TestContents(t *testing.T) {
	var c contents
	for i := range uint64(2 * maxRemembered) {
		c.put(version{ino: i}, digested{sum: Digest(fmt.Sprint(i))})
		c.get(version{ino: 0})
	}
	if d, ok := c.get(version{ino: 0}); !ok || d.sum != "0" || len(c.known) != maxRemembered || c.order.Len() != maxRemembered {
		t.Errorf("%v %v, %d known, %d in order", d, ok, len(c.known), c.order.Len())
	}
	if _, ok := c.get(version{ino: 1}); ok {
		t.Error("the oldest is still known")
	}
}

func TestSigner(t *testing.T) {
	for name, data := range map[string][]byte{
		"empty": nil, "elf": []byte(elf), "mark": []byte("\x7fELF~Module signature appended~\n"), "xz": []byte("\xfd7zXZ\x00" + elf), "gzip": []byte("\x1f\x8b" + elf),
		"zeros": bytes.Repeat([]byte{0}, 4096),
	} {
		if signer := signerOf(bytes.NewReader(data), int64(len(data))); signer != "" {
			t.Errorf("%s: %q", name, signer)
		}
	}
}
