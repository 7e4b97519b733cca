package cause

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/deadfuse"
	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// needing is a load whose cause the file would tell: its licence.
func needing(t *testing.T, licence string) tracer.Action {
	t.Helper()
	e := explained{
		Action: failing(tracer.StageResolve, unix.ENOENT, "hello: Unknown symbol gpl_only (err -2)"),
		data:   licensed(licence, koimage.Symbol{Name: "gpl_only"}).Bytes(),
	}
	return e.complete(t)
}

// TestReplacedFile: a file that took the place of the one that the kernel had says nothing,
// though it has as many bytes.
func TestReplacedFile(t *testing.T) {
	a := needing(t, "Proprietary")
	other := licensed("Propaganda!", koimage.Symbol{Name: "gpl_only"}).Bytes()
	if err := os.WriteFile(a.File.Path+".new", other, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(a.File.Path+".new", a.File.Path); err != nil {
		t.Fatal(err)
	}
	c := NewExplainer(ordinary().open(t), nil).Explain(t.Context(), a).Cause
	checkCause(t, c, Unknown, "symbol-gpl-only")
	if text := strings.Join(c.Evidence, "\n"); strings.Contains(text, "Propaganda") || !strings.Contains(text, "not looked at: at its path is another file now") {
		t.Errorf("evidence:\n%s", text)
	}
}

// TestFileThatHangs: a file below a mount that never answers is not waited for: where the
// mounts are known it is not looked at, and elsewhere not for long. Others are explained
// as ever.
func TestFileThatHangs(t *testing.T) {
	k := ordinary().open(t)
	a := needing(t, "Proprietary")
	dir := filepath.Dir(a.File.Path)
	knowsNoMounts := provenance.NewLookup(&provenance.Options{Root: dir, Timeout: 100 * time.Millisecond})
	deadfuse.Mount(t, dir)

	c := NewExplainer(k, nil).Explain(t.Context(), a).Cause
	checkCause(t, c, Unknown, "symbol-gpl-only")
	if text := strings.Join(c.Evidence, "\n"); !strings.Contains(text, "a file system of type fuse is mounted on its path now") {
		t.Errorf("evidence:\n%s", text)
	}

	blind := a
	file := *a.File
	file.Path = "/x.ko"
	blind.File = &file
	x := NewExplainer(k, &Options{Lookup: knowsNoMounts, Timeout: time.Hour})
	for i := range 10 {
		c := x.Explain(t.Context(), blind).Cause
		if c == nil || c.Code != Unknown || !strings.Contains(strings.Join(c.Evidence, "\n"), "not looked at: ") {
			t.Errorf("%d: %+v", i, c)
		}
	}
	hung := x.opts.Lookup.Hung()
	if len(hung) == 0 || len(hung) > 4 || len(x.Hung()) != 0 {
		t.Errorf("hung: %+v, %+v", hung, x.Hung())
	}
	checkCause(t, NewExplainer(k, nil).Explain(t.Context(), needing(t, "Proprietary")).Cause, SymbolGPLOnly, `"Proprietary"`)
}

// TestFactThatHangs: what is asked about the kernel may hang too. Then it is said what did,
// the other users' causes are found, and what hangs is bounded.
func TestFactThatHangs(t *testing.T) {
	root := ordinary()
	k := root.open(t)
	dir := filepath.Join(filepath.Dir(filepath.Dir(dirOf(t, k.ModulesDir))), "modules") // lib/modules
	deadfuse.Mount(t, dir)
	x := NewExplainer(k, &Options{Timeout: 100 * time.Millisecond})
	request := func(uid uint32) *Cause {
		return x.Explain(t.Context(), tracer.Action{
			Kind: tracer.Unload, Module: "inside", Outcome: tracer.Failed, Errno: unix.ENOENT, ErrnoName: "ENOENT",
			Thread: tracer.Thread{UID: uid}, Call: &tracer.Enter{Call: tracer.DeleteModule, Capable: true},
		}).Cause
	}
	for range maxEach {
		c := request(1000)
		checkCause(t, c, Unknown, "what was seen does not say why")
		if text := strings.Join(c.Evidence, "\n"); !strings.Contains(text, "not looked up: the list of built-in modules had no answer within 100ms") {
			t.Errorf("evidence:\n%s", text)
		}
	}
	c := request(1000)
	if text := strings.Join(c.Evidence, "\n"); !strings.Contains(text, "not looked up: earlier lookups have had no answer yet (4 on causes for user 1000)") {
		t.Errorf("evidence:\n%s", text)
	}
	if n := len(x.Hung()); n != maxEach {
		t.Errorf("%d hang, want %d", n, maxEach)
	}
	x.opts.Timeout = time.Hour
	e := explained{Action: failing(before, unix.EPERM)}
	a := e.complete(t)
	a.Call.Capable = false
	checkCause(t, x.Explain(t.Context(), a).Cause, NotPermitted, "CAP_SYS_MODULE")
}

// TestLookThatHangs: a cause that is certain stays, where what would say more of it hangs.
func TestLookThatHangs(t *testing.T) {
	root := ordinary().write(t)
	k, err := kernel.Open(&kernel.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	deadfuse.Mount(t, filepath.Join(root, "sys"))
	e := explained{Action: failing(tracer.StageVerify, unix.EKEYREJECTED, "Loading of unsigned module is rejected")}
	// The file answers, however slow this machine is; the kernel's facts do not.
	x := NewExplainer(k, &Options{Timeout: time.Second})
	c := x.Explain(t.Context(), e.complete(t)).Cause
	checkCause(t, c, SignatureMissing, "no signature")
	if text := strings.Join(c.Evidence, "\n"); !strings.Contains(text, "not looked up: whether signatures are enforced had no answer within 1s") {
		t.Errorf("evidence:\n%s", text)
	}
}

// TestBrokenOff: a service that ends records its last actions with the causes that need
// neither a program nor a file.
func TestBrokenOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := explained{Action: failing(before, unix.EPERM)}
	a := e.complete(t)
	a.Call.Capable = false
	checkCause(t, NewExplainer(ordinary().open(t), nil).Explain(ctx, a).Cause, NotPermitted, "CAP_SYS_MODULE")
}

func dirOf(t *testing.T, f func() (string, bool)) string {
	t.Helper()
	dir, exists := f()
	if !exists {
		t.Fatal(dir + " is not there")
	}
	return dir
}
