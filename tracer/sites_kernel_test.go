package tracer_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// occupants are how many modules are loaded at once so that one lies where another was. Nobody
// reads meanwhile: all rounds have room in the ring.
const occupants = 8

// TestUnread does with one tracer what is about events that nobody reads until all is over.
func TestUnread(t *testing.T) {
	inLab(t)
	sh(t, "/sbin/insmod", specimen("asker")) // is there before the tracer, for askAndGo
	t.Cleanup(func() { _ = unix.DeleteModule("asker", unix.O_NONBLOCK) })
	tr, err := tracer.Open(&tracer.Options{RingSize: 512 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}()
	t.Run("auto", func(t *testing.T) { testAuto(t, tr) })
	t.Run("gone", func(t *testing.T) { testGone(t, tr) }) // first: what is told once, or was there at first, one reader has
	t.Run("no event per symbol", func(t *testing.T) { testNoEventPerSymbol(t, tr) })
	t.Run("ring is kept for loads", func(t *testing.T) { testRingIsKeptForLoads(t, tr) }) // loses events
}

// testGone: of processes and modules that are gone when their actions are read all is known.
func testGone(t *testing.T, tr *tracer.Tracer) {
	pid := actAndGo(t)
	const between = "gone_fence"
	if err := unix.DeleteModule(between, unix.O_NONBLOCK); err == nil {
		t.Fatal("there is a module of the fence's name")
	}
	sh(t, "ip", "link", "del", "gone0")
	sh(t, "/sbin/rmmod", "hello")
	sh(t, "/sbin/rmmod", "dummy")

	const most = 5 // the kernel may put code of its own there first, such as a trampoline that is late
	for range most {
		if at := askAndGo(t); occupy(t, at) {
			break
		}
	}
	defer vacate()
	restore := hideAddresses(t)
	defer restore()
	all := queued(t, tr)
	restore()
	if loss, err := tr.Loss(); err != nil || loss.Any() {
		t.Errorf("loss %+v, %v", loss, err)
	}
	fence := slices.IndexFunc(all, func(a tracer.Action) bool { return a.Module == between })
	if fence < 0 {
		t.Fatalf("no %s in %d actions", between, len(all))
	}
	t.Run("actor", func(t *testing.T) { checkActorOfTheGone(t, all[:fence], pid) })
	t.Run("sites", func(t *testing.T) { checkSites(t, all[fence:]) })
}

// askAndGo has modules make requests: one that was there before the tracer, if it still is, one
// in its init's code, and one in what stays, whose address it gives.
func askAndGo(t *testing.T) tracer.Address {
	t.Helper()
	asker, nested := specimen("asker"), specimen("nested")
	switch err := os.WriteFile("/sys/module/asker/parameters/ask", []byte("site_present"), 0); {
	case err == nil:
		sh(t, "/sbin/rmmod", "asker")
	case !errors.Is(err, os.ErrNotExist):
		t.Fatal(err)
	}
	sh(t, "/sbin/insmod", nested, "want=site_init")
	sh(t, "/sbin/rmmod", "nested")
	sh(t, "/sbin/insmod", asker, "want=site_core")
	text, err := os.ReadFile("/sys/module/asker/sections/.text")
	if err != nil {
		t.Fatal(err)
	}
	at, err := strconv.ParseUint(strings.TrimSpace(string(text)), 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	sh(t, "/sbin/rmmod", "asker")
	return tracer.Address(at + 1) // as that of a call there
}

// occupy loads modules, and tells whether one of them lies at an address; else it takes them
// away again.
func occupy(t *testing.T, at tracer.Address) bool {
	t.Helper()
	for i := range occupants {
		if err := finit(specimen(fmt.Sprint("nap", i)), "ms=0"); err != nil {
			t.Error(err)
		}
	}
	lies := liesThere(t, at)
	if strings.HasPrefix(lies, "nap") {
		return true
	}
	t.Logf("where asker lay, %q is now", lies)
	vacate()
	return false
}

func vacate() {
	for i := range occupants {
		_ = unix.DeleteModule(fmt.Sprint("nap", i), unix.O_NONBLOCK)
	}
}

// hideAddresses has the kernel hide its addresses from everybody, root included.
func hideAddresses(t *testing.T) (restore func()) {
	t.Helper()
	const file = "/proc/sys/kernel/kptr_restrict"
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	set := func(text []byte) {
		if err := os.WriteFile(file, text, 0); err != nil {
			t.Fatal(err)
		}
	}
	set([]byte("2"))
	return func() { set(before) }
}

// checkSites: a request is said to come from the module that made it, and never from another
// one that lies at its address by now. That does not depend on the kernel's list of symbols,
// which was hidden meanwhile. Where a hook reads the caller from, with each backend, testActors
// sees.
func checkSites(t *testing.T, actions []tracer.Action) {
	t.Helper()
	requests := make(map[string]tracer.Request)
	for _, a := range actions {
		if a.Request != nil {
			requests[a.Request.Name] = *a.Request
		}
	}
	occupied := 0
	for name, wanted := range map[string]struct{ function, module string }{
		"site_present": {`asker_ask\+0x[0-9a-f]+ \[asker\]`, `\[asker\]\+0x[0-9a-f]+`},
		"site_core":    {`asker_ask\+0x[0-9a-f]+ \[asker\]`, `\[asker\]\+0x[0-9a-f]+`},
		"site_init":    {`nested_init\+0x[0-9a-f]+ \[nested\]`, `\[nested\]\.init\+0x[0-9a-f]+`},
	} {
		r, found := requests[name]
		if !found {
			t.Errorf("no request of %s", name)
			continue
		}
		want := wanted.function
		if !namesFunctions(t) {
			want = wanted.module
		}
		if !regexp.MustCompile("^" + want + "$").MatchString(r.Symbol) {
			t.Errorf("%s: asked for at %s in %q, want %s", name, r.Site, r.Symbol, want)
		}
		lies := liesThere(t, r.Site)
		t.Logf("%s: asked for at %s in %q, where %q is now", name, r.Site, r.Symbol, lies)
		if strings.HasPrefix(lies, "nap") {
			occupied++
		}
	}
	if occupied == 0 {
		t.Error("no module lies where one was that asked")
	}
}

// namesFunctions tells whether the kernel says who asks (from 5.13).
func namesFunctions(t *testing.T) bool {
	t.Helper()
	release, err := tracer.Release()
	if err != nil {
		t.Fatal(err)
	}
	return !strings.HasPrefix(release, "5.10.")
}

// liesThere is the module that the kernel's list of symbols has at an address now.
func liesThere(t *testing.T, address tracer.Address) string {
	t.Helper()
	symbols := tracer.Symbols{Around: address}
	if err := symbols.Read(); err != nil {
		t.Fatal(err)
	}
	symbol, _ := symbols.FindCall(address)
	return symbol.Module
}
