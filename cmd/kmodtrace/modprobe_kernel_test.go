package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestSeenBefore: list, info and doctor show that modules.dep is stale and that lines of
// modprobe's configuration do not do what they say, before a load fails because of it.
func TestSeenBefore(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	release, err := tracer.Release()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join("/lib/modules", release)
	hello, err := os.ReadFile(labModule("hello"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(path string, text []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(path) })
	}
	say := func(status int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if got := run(args, nil, &out, &errs); got != status {
			t.Errorf("%q ended with %d, want %d: %s", args, got, status, errs.Bytes())
		}
		return out.String() + errs.String()
	}
	notes := func() map[string]string {
		t.Helper()
		var report struct {
			Checks []struct{ Name, Have, Note string }
		}
		text := say(exitOK, "doctor", "--json")
		if err := json.Unmarshal([]byte(text[:strings.LastIndex(text, "}")+1]), &report); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		all := make(map[string]string)
		for _, c := range report.Checks {
			all[c.Name] = c.Have + ": " + c.Note
		}
		return all
	}
	has := func(what, text string, wanted ...string) {
		t.Helper()
		for _, want := range wanted {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q: %s", what, want, text)
			}
		}
	}

	before := notes()
	if before["modules.dep"] != "yes: " || before["modprobe.d"] != "yes: " {
		t.Errorf("as the kernel came: %v", before)
	}

	const blacklist = "/etc/modprobe.d/seen-before.conf"
	unseen, hiding := filepath.Join(dir, "extra/unseen.ko"), filepath.Join(dir, "extra/dummy.ko")
	write(unseen, hello)
	write(hiding, hello)
	write(blacklist, []byte("# not this one\nblacklist dummy\noptions dummy numdummies=1\n"))
	write(blacklist+".bak", []byte("blacklist loop\n"))
	if text, err := exec.Command("/sbin/modprobe", "dummy").CombinedOutput(); err != nil {
		t.Fatalf("modprobe dummy: %v: %s", err, text)
	}
	defer func() { _ = exec.Command("/sbin/rmmod", "dummy").Run() }()

	after := notes()
	has("doctor", after["modules.dep"], "no: it is stale", unseen, "depmod -a", "and not "+hiding)
	has("doctor", after["modprobe.d"], `no: `, blacklist+`:2 says "blacklist dummy": dummy is loaded all the same`, blacklist+".bak:1", "only files that end in .conf")
	has("list", say(exitOK, "list", "dummy"), "live, blacklisted")
	listed := say(exitOK, "list", "dummy", "--json")
	has("list --json", listed, "blacklist dummy")
	if err := validateText("module", []byte(listed)); err != nil {
		t.Error(err)
	}
	described := say(exitOK, "info", "dummy", "--json")
	has("info --json", described, "blacklist dummy", hiding)
	if err := validateText("file", []byte(described)); err != nil {
		t.Error(err)
	}
	has("info", say(exitOK, "info", "dummy"), blacklist+":2: blacklist dummy (it is loaded all the same)")
	has("info", say(exitRefused, "info", "unseen"), unseen, "depmod was not run since", "depmod -a")
}
