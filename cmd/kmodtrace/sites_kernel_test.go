package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestServeSites: the journal says which module made a request, though the service comes to
// read it only when that module is gone and others lie where it was.
func TestServeSites(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if err := roles.Install("kmodtrace"); err != nil {
		t.Fatal(err)
	}
	var naps []string
	for i := range 32 {
		naps = append(naps, fmt.Sprint("nap", i))
	}
	gone := func() { _ = exec.Command("/sbin/rmmod", naps...).Run() } // those that are there
	gone()                                                            // an earlier test may have left some
	defer gone()
	s := serve(t, t.TempDir(), "")
	pause := func(signal syscall.Signal) {
		if err := s.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	command := func(args ...string) {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	pause(syscall.SIGSTOP)
	const wanted = "site_in_journal"
	command("/sbin/insmod", labModule("asker"), "want="+wanted)
	command("/sbin/rmmod", "asker")
	for _, name := range naps {
		command("/sbin/insmod", labModule(name), "ms=0")
	}
	pause(syscall.SIGCONT)
	want := `^asker_ask\+0x[0-9a-f]+ \[asker\]$`
	if release, err := tracer.Release(); err != nil || strings.HasPrefix(release, "5.10.") {
		want = `^\[asker\]\+0x[0-9a-f]+$`
	}
	if got := s.awaitRequest(wanted); !regexp.MustCompile(want).MatchString(got.Symbol) {
		t.Errorf("asked for at %s in %q, want %s", got.Site, got.Symbol, want)
	}
	s.end(syscall.SIGTERM)
}

// awaitRequest waits for the record of the request of that name.
func (s *served) awaitRequest(name string) (found tracer.Request) {
	s.t.Helper()
	if !await.True(func() bool {
		r, err := journal.OpenReadOnly(s.path)
		if err != nil {
			s.t.Fatal(err)
		}
		defer r.Close()
		for rec, err := range r.Query(context.Background(), journal.Filter{}) {
			if err != nil {
				s.t.Fatal(err)
			}
			var body struct{ Request *tracer.Request }
			if !bytes.Contains(rec.Body, []byte(name)) || json.Unmarshal(rec.Body, &body) != nil || body.Request == nil {
				continue
			}
			found = *body.Request
			return true
		}
		return false
	}) {
		s.t.Fatalf("no request of %s in the journal", name)
	}
	return found
}
