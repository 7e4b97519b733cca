package tracer_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// occupants are how many modules are loaded so that some lie where others were.
const occupants = 32

// TestUnread does with one tracer what is about events that nobody reads until all is over.
func TestUnread(t *testing.T) {
	inLab(t)
	sh(t, "/sbin/insmod", specimen("asker")) // is there before the tracer, for testSites
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
	t.Run("actor of the gone", func(t *testing.T) { testActorOfTheGone(t, tr) }) // is told of each process once
	t.Run("sites", func(t *testing.T) { testSites(t, tr) })
	t.Run("no event per symbol", func(t *testing.T) { testNoEventPerSymbol(t, tr) })
	t.Run("ring is kept for loads", func(t *testing.T) { testRingIsKeptForLoads(t, tr) }) // loses events
}

// testSites: a request is said to come from the module that made it, which is gone when the
// action is read, and never from another one that lies at its address by then. That does
// not depend on the kernel's list of symbols, which is hidden meanwhile. Where a hook reads
// the caller from, with each backend, testActors sees.
func testSites(t *testing.T, tr *tracer.Tracer) {
	asker, nested := specimen("asker"), specimen("nested")
	restore := hideAddresses(t)
	defer restore()
	// One that was there before the tracer, one in its init's code, and one in what stays.
	if err := os.WriteFile("/sys/module/asker/parameters/ask", []byte("site_present"), 0); err != nil {
		t.Fatal(err)
	}
	sh(t, "/sbin/rmmod", "asker")
	sh(t, "/sbin/insmod", nested, "want=site_init")
	sh(t, "/sbin/rmmod", "nested")
	sh(t, "/sbin/insmod", asker, "want=site_core")
	sh(t, "/sbin/rmmod", "asker")
	for i := range occupants {
		if err := finit(specimen(fmt.Sprint("nap", i)), "ms=0"); err != nil {
			t.Error(err)
		}
		defer unix.DeleteModule(fmt.Sprint("nap", i), unix.O_NONBLOCK)
	}
	requests := requestsUntilNow(t, tr)
	restore()
	checkSites(t, requests)
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

// requestsUntilNow reads what the tracer has seen, and gives the requests by what they ask for.
func requestsUntilNow(t *testing.T, tr *tracer.Tracer) map[string]tracer.Request {
	t.Helper()
	const fence = "sites_fence"
	if err := unix.DeleteModule(fence, unix.O_NONBLOCK); err == nil {
		t.Fatal("there is a module of the fence's name")
	}
	requests := make(map[string]tracer.Request)
	for a, err := range tr.Actions(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if a.Module == fence {
			break
		}
		if a.Request != nil {
			requests[a.Request.Name] = *a.Request
		}
	}
	return requests
}

func checkSites(t *testing.T, requests map[string]tracer.Request) {
	t.Helper()
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
		t.Errorf("of %d modules none lies where one was that asked", occupants)
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
