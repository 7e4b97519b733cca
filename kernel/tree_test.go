package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const treeOf = "lib/modules/" + release + "/"

func TestTree(t *testing.T) {
	k := running(files{
		treeOf + "modules.dep":           "kernel/a.ko.xz: kernel/b.ko.xz\nkernel/b.ko.xz:\nkernel/gone.ko:\nupdates/c-d.ko:\n\nnonsense\n",
		treeOf + "kernel/a.ko.xz":        "",
		treeOf + "kernel/b.ko.xz":        "",
		treeOf + "kernel/c_d.ko":         "",
		treeOf + "updates/c-d.ko":        "",
		treeOf + "extra/new.ko":          "",
		treeOf + "extra/gone.ko":         "", // of a name whose listed file is gone: depmod will take it
		treeOf + "extra/README":          "",
		treeOf + "kernel/dir.ko/dir.txt": "",
	}).open(t)
	dir := filepath.Join(k.root, treeOf)
	for link, target := range map[string]string{"weak-updates-b.ko": "nowhere", "extra/b.ko": "../kernel/b.ko.xz"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	future := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "modules.dep"), future, future); err != nil {
		t.Fatal(err)
	}
	want := &Tree{
		Gone:     []string{dir + "/kernel/gone.ko"},
		Unlisted: []string{dir + "/extra/new.ko"},
		Hidden:   []HiddenFile{{Path: dir + "/kernel/c_d.ko", Taken: dir + "/updates/c-d.ko"}},
	}
	got, err := k.Tree()
	if err != nil {
		t.Fatal(err)
	}
	// A link to nothing is no file, and its name is not that of one that is listed.
	got.Unlisted = without(got.Unlisted, "weak-updates-b.ko")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "modules.dep"), past, past); err != nil {
		t.Fatal(err)
	}
	if got, err := k.Tree(); err != nil || len(got.Hidden) != 1 || !got.Hidden[0].Later {
		t.Errorf("after depmod: %+v, %v", got, err)
	}
}

func without(paths []string, ending string) (rest []string) {
	for _, path := range paths {
		if !strings.HasSuffix(path, ending) {
			rest = append(rest, path)
		}
	}
	return rest
}

// TestTreeBehindLink: the kernel's directory can be a link.
func TestTreeBehindLink(t *testing.T) {
	k := running(files{"real/modules.dep": "a.ko:\n", "real/a.ko": "", "real/b.ko": "", "lib/modules/x": ""}).open(t)
	if err := os.Symlink("../../real", filepath.Join(k.root, "lib/modules", release)); err != nil {
		t.Fatal(err)
	}
	got, err := k.Tree()
	if err != nil || len(got.Gone) > 0 || len(got.Unlisted) != 1 || len(got.Hidden) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTreeUnknown(t *testing.T) {
	for name, f := range map[string]files{"no directory": {}, "nothing": {treeOf + "build/Makefile": ""}} {
		if got, err := running(f).open(t).Tree(); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got, err := running(files{treeOf + "kernel/a.ko": ""}).open(t).Tree(); err != nil || !got.NoList || len(got.Unlisted) != 1 {
		t.Errorf("no list: %+v, %v", got, err)
	}
	if got, err := running(files{treeOf + "modules.dep": "", treeOf + "a.ko": ""}).open(t).Tree(); err != nil || len(got.Unlisted) != 1 {
		t.Errorf("an empty list: %+v, %v", got, err)
	}
}
