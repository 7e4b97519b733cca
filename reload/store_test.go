package reload

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// keptWorld is a directory that shows modules as loaded, and a store of their files.
type keptWorld struct {
	*testing.T
	*Store
}

func newKeptWorld(t *testing.T) *keptWorld {
	k, err := OpenStore(filepath.Join(t.TempDir(), "kept"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	k.root.Root = t.TempDir()
	return &keptWorld{t, k}
}

// load shows a module as loaded, and gives its file.
func (w *keptWorld) load(name string, buildID ...byte) []byte {
	w.Helper()
	w.unload(name)
	note := append([]byte{4, 0, 0, 0, byte(len(buildID)), 0, 0, 0, 3, 0, 0, 0, 'G', 'N', 'U', 0}, buildID...)
	for file, data := range map[string][]byte{
		"initstate": []byte("live\n"), "notes/.note.gnu.build-id": note, "parameters/whom": []byte("World\n"),
	} {
		path := filepath.Join(w.root.Root, "sys/module", name, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			w.Fatal(err)
		}
	}
	m := koimage.Module{This: true, BuildID: buildID, Info: []string{"license=GPL", "name=" + name}}
	return m.Bytes()
}

func (w *keptWorld) unload(name string) {
	w.Helper()
	if err := os.RemoveAll(filepath.Join(w.root.Root, "sys/module", name)); err != nil {
		w.Fatal(err)
	}
}

func (w *keptWorld) find(name string, buildID string) *kept {
	k, err := w.Store.find(name, kmod.Identity{BuildID: buildID})
	if err != nil {
		w.Logf("find %s: %v", name, err)
		return nil
	}
	return k
}

func TestKeep(t *testing.T) {
	w := newKeptWorld(t)
	image := w.load("a", 0xab)
	if _, err := w.keep("a", image, "/build/a.ko", []byte("whom=\xff")); err != nil {
		t.Fatal(err)
	}
	k := w.find("a", "ab")
	if k == nil || k.File != "/build/a.ko" || string(k.Params) != "whom=\xff" || len(k.Values) != 1 || k.Values[0] != (kmod.Setting{Name: "whom", Value: "World"}) {
		t.Fatalf("%+v", k)
	}
	if got, err := os.ReadFile(k.path); err != nil || string(got) != string(image) {
		t.Errorf("another content is kept: %v", err)
	}
	if info, err := os.Stat(k.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others may read it", info.Mode(), err)
	}
	if w.find("a", "cd") != nil || w.find("b", "ab") != nil {
		t.Error("another build, or another module, is found")
	}

	// What is loaded decides: a file that has been overwritten meanwhile is not kept.
	w.load("a", 0xcd)
	if _, err := w.keep("a", image, "/build/a.ko", nil); err == nil {
		t.Error("a file is kept that is not what is loaded")
	}
	for _, bad := range []string{"../a", "", "a/b"} {
		if _, err := w.keep(bad, image, "/build/a.ko", nil); err == nil {
			t.Errorf("%q is kept", bad)
		}
	}
	// A module that is gone is forgotten with the next one that comes.
	w.unload("a")
	if err := os.WriteFile(filepath.Join(w.dir, unfinished+"1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := OpenStore(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	if w.prune(); w.find("a", "ab") == nil {
		t.Error("it is forgotten while somebody reloads it")
	}
	_ = other.Close()
	if _, err := w.keep("b", w.load("b", 1), "/build/b.ko", nil); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(w.dir, "*"))
	if len(left) != 2 || filepath.Base(left[0]) != "b.json" || filepath.Base(left[1]) != "b.ko" {
		t.Errorf("there is %v", left)
	}
	if k := w.find("b", "01"); k == nil || k.Params != nil {
		t.Errorf("%+v: want parameters that nobody knows", k)
	}
}

// TestKeptDamaged: nothing is put back that is not what was loaded.
func TestKeptDamaged(t *testing.T) {
	for name, spoil := range map[string]func(w *keptWorld){
		"another content": func(w *keptWorld) { _ = os.WriteFile(w.path("a", ".ko"), []byte("x"), 0o600) },
		"cut":             func(w *keptWorld) { _ = os.Truncate(w.path("a", ".ko"), 100) },
		"no content":      func(w *keptWorld) { _ = os.Remove(w.path("a", ".ko")) },
		"no record":       func(w *keptWorld) { _ = os.Remove(w.path("a", ".json")) },
		"a record cut":    func(w *keptWorld) { _ = os.Truncate(w.path("a", ".json"), 40) },
		"an empty record": func(w *keptWorld) { _ = os.WriteFile(w.path("a", ".json"), []byte("{}"), 0o600) },
		"another boot":    func(w *keptWorld) { w.boot = "of tomorrow" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newKeptWorld(t)
			if _, err := w.keep("a", w.load("a", 0xab), "/build/a.ko", nil); err != nil {
				t.Fatal(err)
			}
			spoil(w)
			if k := w.find("a", "ab"); k != nil {
				t.Errorf("%+v", k)
			}
		})
	}
}

// TestOpenStoreRefuses: a directory in which others may write is not trusted.
func TestOpenStoreRefuses(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{open, link, file, filepath.Join(file, "below")} {
		if _, err := OpenStore(dir); err == nil {
			t.Errorf("%s is taken", dir)
		}
	}
}
