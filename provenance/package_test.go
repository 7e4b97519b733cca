package provenance

import (
	"crypto/md5"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// debian writes a small database. All times are long ago, so that it is read once.
func debian(t *testing.T, merged bool) string {
	t.Helper()
	root := t.TempDir()
	if merged {
		write(t, root, "usr/lib/x", "")
		if err := os.Symlink("usr/lib", filepath.Join(root, "lib")); err != nil {
			t.Fatal(err)
		}
	}
	write(t, root, dpkgInfo+"/linux-image-6.12.list", "/.\n/lib\n/lib/modules/6.12/kernel/a.ko.xz\n/usr/lib/modules/6.12/kernel/b.ko\n/boot/vmlinuz.ko.txt\n")
	write(t, root, dpkgInfo+"/foo-modules:amd64.list", "/lib/modules/6.12/updates/foo.ko.zst\n/opt/foo/foo.ko.gz\n")
	write(t, root, dpkgInfo+"/bar.list", "/lib/modules/6.12/updates/foo.ko.zst\n")
	write(t, root, dpkgInfo+"/koala.list", "/usr/bin/a.koala\n")
	write(t, root, dpkgInfo+"/linux-image-6.12.md5sums", "x  lib/modules/6.12/kernel/c.ko\n")
	write(t, root, dpkgDiversions, "/lib/modules/6.12/updates/foo.ko.zst\n/lib/modules/6.12/updates/foo.distrib.ko.zst\nfoo-modules\n")
	write(t, root, dpkgStatus, "Package: linux-image-6.12\nStatus: install ok installed\nVersion: 6.12.9-1\nDescription: x\n Version: no\n\n"+
		"Package: foo-modules\nArchitecture: i386\nVersion: 0\n\nPackage: foo-modules\nArchitecture: amd64\nVersion: 2:1.0-3\n\nPackage: other\nVersion: 1")
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{dpkgInfo, dpkgDiversions} {
		if err := os.Chtimes(filepath.Join(root, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestDpkg(t *testing.T) {
	image := &Package{Name: "linux-image-6.12", Version: "6.12.9-1", Manager: "dpkg"}
	foo := &Package{Name: "foo-modules", Version: "2:1.0-3", Manager: "dpkg"}
	bar := &Package{Name: "bar", Manager: "dpkg"}
	for _, merged := range []bool{true, false} {
		want := map[string]*Package{
			"/lib/modules/6.12/kernel/a.ko.xz":             image,
			"/usr/lib/modules/6.12/kernel/b.ko":            image,
			"/lib/modules/6.12/updates/foo.ko.zst":         foo,
			"/lib/modules/6.12/updates/foo.distrib.ko.zst": bar,
			"/opt/foo/foo.ko.gz":                           foo,
			"/lib/modules/6.12/kernel/c.ko":                nil,
			"/boot/vmlinuz.ko.txt":                         nil,
			"/usr/bin/a.koala":                             nil,
			"/a.ko\n/lib":                                  nil,
			"":                                             nil,
			"/usr/lib/modules/6.12/kernel/a.ko.xz":         nil,
			"/lib/modules/6.12/kernel/b.ko":                nil,
		}
		if merged {
			want["/usr/lib/modules/6.12/kernel/a.ko.xz"] = image
			want["/lib/modules/6.12/kernel/b.ko"] = image
		}
		d := &dpkg{root: debian(t, merged)}
		for path, p := range want {
			if diff := cmp.Diff(p, d.owner(path).compared("", "")); diff != "" {
				t.Errorf("merged %v, %q (-want +got):\n%s", merged, path, diff)
			}
		}
	}
}

// TestDpkgRefresh: the database is read again when it has changed, and only then.
func TestDpkgRefresh(t *testing.T) {
	root := debian(t, true)
	d := &dpkg{root: root}
	const path = "/lib/modules/6.12/updates/new.ko"
	d.owner(path)
	first := d.read
	if d.owner(path) != nil || d.read != first {
		t.Error("read twice")
	}
	write(t, root, dpkgInfo+"/new.list", path+"\n")
	if p := d.owner(path); p == nil || p.Name != "new" {
		t.Errorf("after the install: %v", p)
	}
	if err := os.RemoveAll(filepath.Join(root, "var")); err != nil {
		t.Fatal(err)
	}
	if p := d.owner(path); p != nil {
		t.Errorf("without a database: %v", p)
	}
}

func TestRPM(t *testing.T) {
	root := t.TempDir()
	program := filepath.Join(root, "rpm")
	script := `#!/bin/sh
printf '%s\n' "$*" >>"` + root + `/asked"
for path; do :; done
case $path in
*kernel.ko) printf 'kernel-core\t6.12.9-200.fc41\nkernel-core\t6.11\n' ;;
*slow.ko) exec sleep 30 ;;
*odd.ko) echo odd ;;
*) echo "file $path is not owned by any package"; exit 1 ;;
esac
`
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	r := newRPM(root, program)
	if p := r.owner(t.Context(), "/kernel.ko"); p != nil {
		t.Errorf("without a database: %v", p)
	}
	database := "usr/lib/sysimage/rpm/rpmdb.sqlite"
	write(t, root, database, "")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(root, database), old, old); err != nil {
		t.Fatal(err)
	}
	want := &Package{Name: "kernel-core", Version: "6.12.9-200.fc41", Manager: "rpm"}
	for range 2 {
		for path, p := range map[string]*Package{"/kernel.ko": want, "/none.ko": nil, "/odd.ko": nil, "/slow.ko": nil} {
			if diff := cmp.Diff(p, r.owner(t.Context(), path).compared("", "")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		}
	}
	asked, err := os.ReadFile(filepath.Join(root, "asked"))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, path := range []string{"kernel", "none", "odd", "slow"} {
		line := fmt.Sprintf(`-qf --queryformat %%{NAME}\t%%{VERSION}-%%{RELEASE}\n[%%{FILENAMES}\t%%{FILEDIGESTS}\n] -- /%s.ko`, path)
		count[path] = strings.Count(string(asked), line+"\n")
	}
	if diff := cmp.Diff(map[string]int{"kernel": 1, "none": 1, "odd": 1, "slow": 2}, count); diff != "" {
		t.Errorf("asked (-want +got):\n%s\n%s", diff, asked)
	}
	if newRPM(root, "").program != "" {
		t.Error("the machine's rpm is asked about another root")
	}
}

// TestPackageOfLoad: through the front door.
func TestPackageOfLoad(t *testing.T) {
	root := debian(t, true)
	write(t, root, "proc/sys/kernel/osrelease", "6.12\n")
	const path = "/usr/lib/modules/6.12/kernel/b.ko"
	write(t, root, path, elf)
	a := loadOf(t, root, path)
	o := NewLookup(&Options{Root: root}).Of(t.Context(), a)
	if o.Package == nil || o.Package.Name != "linux-image-6.12" || !o.InTree || o.SHA256 != sum(elf) {
		t.Errorf("%+v", o)
	}
	if o := NewLookup(&Options{Root: root, Brief: true}).Of(t.Context(), a); o.Package != nil || o.SHA256 != "" || !o.InTree {
		t.Errorf("brief: %+v", o)
	}
}

// BenchmarkDpkg compares the reading of dpkg's database with dpkg's own program, on this
// machine's packages: the first question, each further one, and what the program takes for
// one.
func BenchmarkDpkg(b *testing.B) {
	const path = "/usr/bin/dpkg-query" // no module: the program's work is the same for every path
	if _, err := os.Stat(path); err != nil {
		b.Skip("no dpkg here")
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			(&dpkg{root: "/"}).owner(path)
		}
	})
	b.Run("further", func(b *testing.B) {
		d := &dpkg{root: "/"}
		d.owner(path)
		for b.Loop() {
			d.owner(path)
		}
	})
	b.Run("program", func(b *testing.B) {
		for b.Loop() {
			out, err := exec.Command(path, "-S", path).Output()
			if err != nil {
				b.Fatal(err)
			}
			name, _, _ := strings.Cut(string(out), ":")
			if _, err := exec.Command(path, "-W", "-f", "${Version}", name).Output(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestContent: a file is compared with the hash that its package lists, by dpkg or rpm; without one nothing is said.
func TestContent(t *testing.T) {
	root := debian(t, true)
	write(t, root, "proc/sys/kernel/osrelease", "6.12\n")
	const a, b, c = "/usr/lib/modules/6.12/kernel/a.ko", "/usr/lib/modules/6.12/kernel/b.ko", "/usr/lib/modules/6.12/kernel/d.ko"
	write(t, root, dpkgInfo+"/linux-image-6.12.list", "/lib/modules/6.12/kernel/a.ko\n"+b+"\n"+c+"\n")
	hash := md5.Sum([]byte(elf))
	write(t, root, dpkgInfo+"/linux-image-6.12.md5sums", fmt.Sprintf("%x  lib/modules/6.12/kernel/a.ko\n%x  usr/lib/modules/6.12/kernel/b.ko\nshort  usr/lib/modules/6.12/kernel/d.ko\n\n", hash, md5.Sum(nil)))
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(root, dpkgInfo), old, old); err != nil {
		t.Fatal(err)
	}
	l := NewLookup(&Options{Root: root})
	for path, want := range map[string]Content{a: AsPackaged, b: Differs, c: ""} {
		write(t, root, path, elf)
		for range 2 { // the second time from what is remembered
			if o := l.Of(t.Context(), loadOf(t, root, path)); o.Package == nil || o.Package.Content != want {
				t.Errorf("%s: %+v, want %q", path, o.Package, want)
			}
		}
	}
	p := &packaged{&Package{Name: "kernel-core", Manager: "rpm"}, strings.Repeat("ab", 32)}
	for sum, want := range map[string]Content{strings.Repeat("ab", 32): AsPackaged, strings.Repeat("cd", 32): Differs, "": ""} {
		if got := p.compared(strings.Repeat("ef", 16), sum); got.Content != want || p.Content != "" {
			t.Errorf("%.8q: %q, want %q", sum, got.Content, want)
		}
	}
}

// TestDKMS: a copy of what DKMS built for the running kernel is told; another file of its name is not, nor one of
// another kernel, nor where others than root may have built it.
func TestDKMS(t *testing.T) {
	root := t.TempDir()
	write(t, root, "proc/sys/kernel/osrelease", "6.12\n")
	write(t, root, "var/lib/dkms/foo/1.0/6.12/x86_64/module/foo.ko", elf)
	write(t, root, "var/lib/dkms/foo/1.1/6.12/x86_64/module/foo.ko", elf+"x")
	write(t, root, "var/lib/dkms/foo/1.2/6.13/x86_64/module/bar.ko", elf)
	l := NewLookup(&Options{Root: root})
	for path, test := range map[string]struct{ text, want string }{
		"/lib/modules/6.12/updates/dkms/foo.ko": {elf, "foo/1.0"},
		"/opt/foo.ko":                           {elf, "foo/1.0"},
		"/opt/sub/foo.ko":                       {strings.Replace(elf, "ELF", "FLE", 1), ""},
		"/opt/bar.ko":                           {elf, ""},
		"/opt/*.ko":                             {elf, ""},
	} {
		write(t, root, path, test.text)
		if o := l.Of(t.Context(), loadOf(t, root, path)); o.DKMS != test.want {
			t.Errorf("%s: %q, want %q (%s)", path, o.DKMS, test.want, o.Why)
		}
	}
	if err := os.Chmod(filepath.Join(root, dkmsTree), 0o777); err != nil {
		t.Fatal(err)
	}
	if o := NewLookup(&Options{Root: root}).Of(t.Context(), loadOf(t, root, "/opt/foo.ko")); o.DKMS != "" {
		t.Errorf("anybody may write the tree, and %q", o.DKMS)
	}
}
