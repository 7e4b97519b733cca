package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// reloadRecord is what these tests look at in the JSON of a reload.
type reloadRecord struct {
	Result    string
	ErrnoName string `json:"errno_name"`
	Reason    string
	Cause     struct{ Code, Text string }
	Before    *struct{ Content string }
	After     struct {
		Copy    string
		BuildID string `json:"build_id"`
	}
	Params struct {
		Exact  bool
		Params []string
		Left   []reload.LeftParam
	}
	Unload, Load, Restore *reloadStep
}

type reloadStep struct {
	Result  string
	Actions []struct{ Messages []string }
}

// said gives what the module printed meanwhile.
func (r *reloadRecord) said() string {
	var texts []string
	for _, part := range []*reloadStep{r.Unload, r.Load, r.Restore} {
		if part == nil {
			continue
		}
		for _, a := range part.Actions {
			texts = append(texts, a.Messages...)
		}
	}
	return strings.Join(texts, "\n")
}

// TestReload has all that a kernel can be left with that goes on well: TestReloadCrash has
// the rest. Commands share a tracer; "interrupted" runs a program with its own.
func TestReload(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	shared := &sharedTracer{t: t}
	for _, test := range []struct {
		name string
		run  func(*reloadLab)
	}{
		{"new text", testReloadNewText},
		{"params", testReloadParams},
		{"put back", testReloadPutBack},
		{"no way back", testReloadNoWayBack},
		{"in use", testReloadInUse},
		{"refused before", testReloadRefusedBefore},
		{"interrupted", testReloadInterrupted},
		{"again", testReloadAgain},
		{"permanent", testReloadPermanent},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(newReloadLab(t, shared)) })
	}
}

// reloadLab is a directory to build in, with nothing loaded of what the tests load.
type reloadLab struct {
	*testing.T
	dir    string
	shared *sharedTracer
}

func newReloadLab(t *testing.T, shared *sharedTracer) *reloadLab {
	names := []string{"user", "base", "hello", "refuse", "params", "slowexit", "chardev"} // noexit stays until reboot
	unload(t, names)
	t.Cleanup(func() { unload(t, names) })
	return &reloadLab{t, t.TempDir(), shared}
}

// build puts a specimen into the directory, as a build of its own: with a build ID that
// ends in n, and with one text in the place of another.
func (l *reloadLab) build(name string, n byte, texts ...string) string {
	l.Helper()
	data, err := os.ReadFile(labModule(name))
	if err != nil {
		l.Fatal(err)
	}
	f, err := kmod.Parse(data)
	if err != nil {
		l.Fatal(err)
	}
	id, err := hex.DecodeString(f.BuildID)
	if err != nil || len(id) == 0 {
		l.Fatalf("%s has no build ID: %v", name, err)
	}
	own := bytes.Clone(id)
	own[len(own)-1] = n
	data = bytes.ReplaceAll(data, id, own)
	for i := 0; i+1 < len(texts); i += 2 {
		if !bytes.Contains(data, []byte(texts[i])) || len(texts[i]) != len(texts[i+1]) {
			l.Fatalf("%s cannot have %q for %q", name, texts[i+1], texts[i])
		}
		data = bytes.ReplaceAll(data, []byte(texts[i]), []byte(texts[i+1]))
	}
	path := filepath.Join(l.dir, name+".ko")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		l.Fatal(err)
	}
	return path
}

// kmodtrace runs a command that must end with that status.
func (l *reloadLab) kmodtrace(status int, args ...string) (out, errs string) {
	l.Helper()
	var stdout, stderr bytes.Buffer
	if got := l.shared.run(args, &stdout, &stderr); got != status {
		l.Fatalf("kmodtrace %q ended with %d, want %d\n%s%s", args, got, status, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String(), stderr.String()
}

func (l *reloadLab) insmod(args ...string) {
	l.Helper()
	if text, err := exec.Command("insmod", args...).CombinedOutput(); err != nil {
		l.Fatalf("insmod %q: %v\n%s", args, err, text)
	}
}

func (l *reloadLab) reload(status int, args ...string) (*reloadRecord, string) {
	l.Helper()
	out, errs := l.kmodtrace(status, append([]string{"reload", "--json"}, args...)...)
	return l.record(out), errs
}

func (l *reloadLab) record(out string) *reloadRecord {
	l.Helper()
	if err := validateText("reload", []byte(out)); err != nil {
		l.Errorf("%v\n%s", err, out)
	}
	r := new(reloadRecord)
	if err := json.Unmarshal([]byte(out), r); err != nil {
		l.Fatalf("%v: %s", err, out)
	}
	l.Logf("%s: %s, %s copy is in the kernel; %s", r.Result, r.Reason, r.After.Copy, r.Cause.Code)
	return r
}

// shows checks the end of the build ID that is loaded, and its parameters.
func (l *reloadLab) shows(module string, n byte, params ...string) {
	l.Helper()
	now, err := kmod.Look(module, nil)
	if err != nil {
		l.Fatal(err)
	}
	if end := hex.EncodeToString([]byte{n}); !strings.HasSuffix(now.BuildID, end) || now.State != "live" {
		l.Errorf("%s is %s, build %s, want one that ends in %s", module, now.State, now.BuildID, end)
	}
	shown, _, _ := kmod.LoadedParams(module, nil)
	for _, want := range params {
		name, value, _ := strings.Cut(want, "=")
		if !slices.Contains(shown, kmod.Setting{Name: name, Value: value}) {
			l.Errorf("%s shows %v, want %s", module, shown, want)
		}
	}
}

func (l *reloadLab) is(r *reloadRecord, result, after string) {
	l.Helper()
	if r.Result != result || r.After.Copy != after {
		l.Errorf("%s, %s; want %s, %s: %s", r.Result, r.After.Copy, result, after, r.Reason)
	}
}

func testReloadNewText(l *reloadLab) {
	// Not loaded: it is just loaded.
	r, _ := l.reload(exitOK, l.build("hello", 1), "whom=old world")
	l.is(r, "confirmed", "new")
	if r.Unload != nil || r.Before != nil {
		l.Errorf("what is not loaded was unloaded: %+v", r)
	}
	// The usual rebuild, in place.
	r, errs := l.reload(exitOK, l.build("hello", 2, "Hello, ", "Howdy, "))
	l.is(r, "confirmed", "new")
	l.shows("hello", 2, "whom=old world")
	if said := r.said(); !strings.Contains(said, "Goodbye!") || !strings.Contains(said, "Howdy, old world!") || errs != "" {
		l.Errorf("said %q, and %q", said, errs)
	}
	if r.Before.Content != "kept" || !r.Params.Exact {
		l.Errorf("%+v", r)
	}
	// By another file name, as text, with parameters of its own, and without any.
	third := filepath.Join(l.dir, "third.ko")
	if err := os.Rename(l.build("hello", 3), third); err != nil {
		l.Fatal(err)
	}
	out, errs := l.kmodtrace(exitOK, "reload", third, "whom=Bob")
	l.Log(out)
	if !strings.Contains(out, "\n  now        the new copy is in the kernel (build ") || errs != "" {
		l.Errorf("%s%s", out, errs)
	}
	l.shows("hello", 3, "whom=Bob")
	l.reload(exitOK, l.build("hello", 4), "--fresh")
	l.shows("hello", 4, "whom=(null)")
}

func testReloadParams(l *reloadLab) {
	// Of a copy that insmod loaded, all that it shows.
	l.insmod(l.build("params", 1), `text="big world"`, "triple=1,2", "flag", "number=-7")
	r, _ := l.reload(exitOK, l.build("params", 2))
	l.shows("params", 2, "text=big world", "triple=1,2", "flag=Y", "number=-7", "level=0")
	if r.Params.Exact || r.Before.Content != "" || !slices.Contains(r.Params.Params, "level=0") {
		l.Errorf("%+v", r.Params)
	}
	unload(l.T, []string{"params"})

	// Of one that kmodtrace loaded, what it was given and what was changed since.
	l.kmodtrace(exitOK, "load", l.build("params", 3), "triple=1,2", "number=5", "text=a b")
	if err := os.WriteFile("/sys/module/params/parameters/number", []byte("9"), 0); err != nil {
		l.Fatal(err)
	}
	r, _ = l.reload(exitOK, l.build("params", 4))
	l.shows("params", 4, "text=a b", "triple=1,2", "flag=N", "number=9", "level=0")
	if got := strings.Join(r.Params.Params, " "); !r.Params.Exact || got != "triple=1,2 text=a b number=9" {
		l.Errorf("%q", got)
	}
	// What the new one does not know any more is left out.
	r, _ = l.reload(exitOK, l.build("params", 5, "number", "lumber"))
	if len(r.Params.Left) != 1 || r.Params.Left[0].Name != "number" {
		l.Errorf("%+v", r.Params)
	}
	l.shows("params", 5, "text=a b", "lumber=0")
}

// testReloadPutBack: the new one's init fails, and its file has overwritten the old one's.
func testReloadPutBack(l *reloadLab) {
	l.kmodtrace(exitOK, "load", l.build("refuse", 1), "err=0")
	r, errs := l.reload(exitRefused, l.build("refuse", 2, "refusing", "REFUSING"), "err=5")
	l.is(r, "refused", "back")
	l.shows("refuse", 1, "err=0")
	if r.Cause.Code != "init-refused" || r.ErrnoName != "EIO" || r.Restore == nil || r.Restore.Result != "confirmed" || !strings.Contains(r.said(), "REFUSING with 5\nrefuse: refusing with 0") {
		l.Errorf("%+v, said %q", r, r.said())
	}
	if !strings.HasPrefix(errs, "kmodtrace: load "+filepath.Join(l.dir, "refuse.ko")+`: init-refused: its own init returned EIO: "refuse: REFUSING with 5"; the old copy is back`+"\n") {
		l.Errorf("%q", errs)
	}
	// Again, and as text: what was put back is kept too.
	out, _ := l.kmodtrace(exitRefused, "reload", filepath.Join(l.dir, "refuse.ko"), "err=6")
	l.Log(out)
	l.shows("refuse", 1, "err=0")
	if !strings.Contains(out, "\n  now        the old copy is back (build ") {
		l.Error(out)
	}
}

// testReloadNoWayBack: the old file is gone. The command says so before it removes anything.
func testReloadNoWayBack(l *reloadLab) {
	l.insmod(l.build("refuse", 11), "err=0")
	r, errs := l.reload(exitUnconfirmed, l.build("refuse", 12), "err=5")
	l.is(r, "down", "none")
	if !strings.HasPrefix(errs, "kmodtrace: the loaded copy of refuse cannot be restored: ") || !strings.Contains(r.Reason, "no way back") {
		l.Errorf("%q, %s", errs, r.Reason)
	}
	// Where the file is the loaded one, there is: the parameter alone was wrong.
	l.insmod(filepath.Join(l.dir, "refuse.ko"), "err=0")
	r, errs = l.reload(exitRefused, filepath.Join(l.dir, "refuse.ko"), "err=5")
	l.is(r, "refused", "back")
	l.shows("refuse", 12, "err=0")
	if r.Before.Content != "file" || strings.Contains(errs, "cannot be restored") {
		l.Errorf("%+v: %s", r.Before, errs)
	}
}

// testReloadInUse: what holds the old one is named, and nothing is touched.
func testReloadInUse(l *reloadLab) {
	l.insmod(l.build("base", 1))
	l.insmod(labModule("user"))
	r, errs := l.reload(exitRefused, l.build("base", 2))
	l.is(r, "refused", "untouched")
	l.shows("base", 1)
	if r.Cause.Code != "held-by-modules" || !strings.Contains(r.Cause.Text, "user") || !strings.Contains(errs, "held-by-modules: user uses base") || r.Load != nil {
		l.Errorf("%+v: %s", r.Cause, errs)
	}

	l.insmod(l.build("chardev", 1))
	var f *os.File
	await.Until(l, "/dev/specimen_chardev", func() (is bool) { // devtmpfs makes it a little later
		var err error
		f, err = os.Open("/dev/specimen_chardev")
		return err == nil
	})
	defer f.Close()
	r, _ = l.reload(exitRefused, l.build("chardev", 2))
	l.is(r, "refused", "untouched")
	if r.Cause.Code != "held-by-references" || !strings.Contains(r.Cause.Text, "open file /dev/specimen_chardev by ") {
		l.Errorf("%+v", r.Cause)
	}
	// Its last user goes while it is waited for.
	time.AfterFunc(2*time.Second, func() { f.Close() })
	r, _ = l.reload(exitOK, filepath.Join(l.dir, "chardev.ko"), "--wait", "--timeout", "1m")
	l.is(r, "confirmed", "new")
}

// testReloadRefusedBefore: what this kernel would refuse does not cost the old copy.
func testReloadRefusedBefore(l *reloadLab) {
	l.kmodtrace(exitOK, "load", l.build("hello", 1))
	before, _ := kmod.Look("hello", nil)
	for _, name := range []string{"text", "random", "truncated", "headonly", "damaged", "stripped", "object", "wrong_arch", "bad_vermagic", "notype"} {
		l.Run(name, func(t *testing.T) {
			l := &reloadLab{t, l.dir, l.shared}
			r, errs := l.reload(exitRefused, labModule(name))
			if r.Result != "refused" || r.Unload != nil || strings.Count(errs, "kmodtrace: ") != 1 {
				l.Errorf("%+v: %s", r, errs)
			}
			if now, err := kmod.Look("hello", nil); err != nil || now.Instance != before.Instance {
				l.Errorf("the old copy was touched: %v", err)
			}
		})
	}
	// Unchecked, the kernel says it, and the old one is back.
	r, _ := l.reload(exitRefused, "--unchecked", labModule("bad_vermagic"))
	l.is(r, "refused", "back")
	l.shows("hello", 1)
}

func inKernel(module string) bool {
	_, err := kmod.Look(module, nil)
	return err == nil
}

// awaitExit waits until a module is on its way out, or until that does not come because what was to
// unload it has ended.
func awaitExit(module string, ended <-chan struct{}) {
	await.True(func() bool {
		select {
		case <-ended:
			return true
		default:
		}
		now, err := kmod.Look(module, nil)
		return err != nil || now.State == "going"
	})
}

// testReloadInterrupted: in the exit of the old one, which nothing can stop.
func testReloadInterrupted(l *reloadLab) {
	if err := roles.Install("kmodtrace"); err != nil {
		l.Fatal(err)
	}
	l.kmodtrace(exitOK, "load", l.build("slowexit", 1), "ms=3000")
	cmd := exec.Command(roles.Path("kmodtrace"), "reload", "--json", l.build("slowexit", 2))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		l.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	awaitExit("slowexit", ended)
	_ = cmd.Process.Signal(syscall.SIGINT) // else it has ended, as its status shows
	<-ended
	if cmd.ProcessState.ExitCode() != exitUnconfirmed {
		l.Errorf("%v: %s", cmd.ProcessState, errs.Bytes())
	}
	r := l.record(out.String())
	l.is(r, "unconfirmed", "back")
	l.shows("slowexit", 1, "ms=3000")
	if !strings.Contains(errs.String(), "not begun: interrupted; the old copy is back") {
		l.Errorf("%s", errs.Bytes())
	}
}

// testReloadAgain: one reloader in one session reloads again and again, whatever came of
// the time before.
func testReloadAgain(l *reloadLab) {
	s, end, err := act.OpenSession(l.shared.context(l.Context()), tracer.Auto)
	if err != nil {
		l.Fatal(err)
	}
	defer end()
	r, err := reload.Open(&reload.Options{Kernel: s.Kernel()})
	if err != nil {
		l.Fatal(err)
	}
	defer r.Close()
	for i, step := range []struct {
		build  func() string
		params kmod.Params
		want   proof.Verdict
		after  reload.Copy
	}{
		{func() string { return l.build("refuse", 21) }, kmod.Params{"err=0"}, proof.Confirmed, reload.CopyNew},
		{func() string { return l.build("refuse", 22) }, nil, proof.Confirmed, reload.CopyNew},
		{func() string { return l.build("refuse", 23) }, kmod.Params{"err=3"}, proof.Refused, reload.CopyBack},
		{func() string { return labModule("text") }, nil, proof.Refused, reload.CopyUntouched},
		{func() string { return l.build("refuse", 24) }, nil, proof.Confirmed, reload.CopyNew},
		{func() string { return l.build("slowexit", 25) }, kmod.Params{"ms=12000"}, proof.Confirmed, reload.CopyNew},
		{func() string { return l.build("refuse", 26) }, nil, proof.Confirmed, reload.CopyNew},
	} {
		if res, err := r.Reload(l.Context(), s, step.build(), step.params); res.Verdict != step.want || res.After.Copy != step.after {
			l.Errorf("%d: %s, %s: %v", i, res.Verdict, res.After.Copy, err)
		}
	}
	l.shows("refuse", 26, "err=0")

	// An exit takes longer than anybody waits: that one is without a verdict, and the next
	// is as if nothing had been.
	stopped, stop := context.WithCancel(l.Context())
	go func() { awaitExit("slowexit", stopped.Done()); stop() }()
	if res, err := r.Reload(stopped, s, l.build("slowexit", 27), nil); res.Verdict != proof.Unconfirmed || res.After.Copy != reload.CopyUnfinished {
		l.Errorf("%s, %s: %v", res.Verdict, res.After.Copy, err)
	}
	if res, err := r.Reload(l.Context(), s, l.build("refuse", 28), nil); res.Verdict != proof.Confirmed || res.After.Copy != reload.CopyNew {
		l.Errorf("%s, %s: %v", res.Verdict, res.After.Copy, err)
	}
	await.Until(l, "slowexit leaves", func() bool { return !inKernel("slowexit") })
}

// testReloadPermanent: one without an exit stays, and so do what is built in and a
// name that the kernel cannot have.
func testReloadPermanent(l *reloadLab) {
	if !inKernel("noexit") { // another test may have loaded it, for good
		l.insmod(l.build("noexit", 1))
	}
	r, errs := l.reload(exitRefused, l.build("noexit", 2))
	l.is(r, "refused", "untouched")
	if r.Cause.Code == "" || !strings.Contains(errs, "it has no exit function") {
		l.Errorf("%+v: %s", r.Cause, errs)
	}
	r, _ = l.reload(exitRefused, l.build("hello", 1, "hello\x00", "hel/o\x00"))
	if r.Result != "refused" || r.Load != nil {
		l.Errorf("%+v", r)
	}
}

// TestReloadCrash: an init that crashes takes the name with it until reboot. It runs
// alone in a machine, which it leaves damaged.
func TestReloadCrash(t *testing.T) {
	if os.Getenv("KMODTRACE_CRASH") == "" {
		t.Skip("crashes the kernel: runs only when asked to, alone in a machine of the lab (KMODTRACE_CRASH)")
	}
	l := &reloadLab{t, t.TempDir(), &sharedTracer{t: t}}
	l.kmodtrace(exitOK, "load", l.build("hello", 1))
	r, errs := l.reload(exitUnconfirmed, l.build("crash", 2, "crash", "hello"))
	l.is(r, "down", "unfinished")
	if r.Restore != nil || !strings.Contains(errs, ": init-crashed: its init crashed: ") || !strings.Contains(errs, "until reboot") {
		t.Errorf("%+v: %s", r.Restore, errs)
	}
	// Again: it is neither live nor to be removed, and nothing hangs.
	r, errs = l.reload(exitRefused, l.build("hello", 3))
	l.is(r, "refused", "untouched")
	t.Logf("%s", errs)
}
