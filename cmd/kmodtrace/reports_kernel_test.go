package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/oops"
	"github.com/kmodtrace/kmodtrace/record"
)

// complaint is a way to have a kernel report something, and what of it must be read.
type complaint struct {
	how, where string
	kind       oops.Kind
	at         string // the function of the place, where it is the same on all kernels
}

// complaints are those of the specimen complain, in an order that a machine survives: an init that
// crashes leaves its stack in the kernel's table of loads, which later ones may trip over.
var complaints = []complaint{
	{"warn", "init", oops.Warning, "complain_now"},
	{"warn", "exit", oops.Warning, "complain_now"},
	{"warn", "other", oops.Warning, "complain_now"},
	{"warn-text", "init", oops.Warning, "complain_now"},
	{"warn-once", "init", oops.Warning, "warn_once"},
	{"warn-taint", "init", oops.Warning, "complain_now"},
	{"refcount", "init", oops.Warning, "refcount_warn_saturate"},
	{"dump-stack", "init", oops.Backtrace, ""}, // the last call of complain_now, which is a jump
	{"dump-stack", "other", oops.Backtrace, ""},
	{"duplicate", "init", oops.Warning, ""},
	{"bounds", "init", oops.UBSAN, "complain_now"},
	{"atomic", "init", oops.AtomicSchedule, ""},
	{"null", "exit", oops.Oops, "complain_now"},
	{"bug", "exit", oops.Bug, "complain_now"},
	{"divide", "exit", oops.Oops, "divide"},
	{"wild", "exit", oops.Oops, "complain_now"},
	{"jump", "exit", oops.Oops, ""},
	{"null", "other", oops.Oops, "complain_now"},
	{"bug", "init", oops.Bug, "complain_now"},
	{"null", "init", oops.Oops, "complain_now"},
}

// TestReports has a kernel report everything that it can, in an init, in an exit and in a module that
// the init calls, and reads what it prints. With KMODTRACE_RECORD it leaves the messages there, for
// package oops: scripts/record-reports.
func TestReports(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" || os.Getenv("KMODTRACE_BOOT") != "reports" {
		t.Skip("has the kernel crash: runs in a machine of its own (scripts/record-reports)")
	}
	w := &world{kernel: mustOpenKernel(t), specimens: os.Getenv("KMODTRACE_MODULES"), watch: startWatch(t)}
	t.Cleanup(func() { w.watch.stop(t) })
	var recorded []recordedReport
	dir := t.TempDir() // of all: an inode that is used again would be met in that table
	for i, c := range complaints {
		t.Run(c.how+"/"+c.where, func(t *testing.T) {
			copied := copyOfComplain(t, w, dir, fmt.Sprintf("%02d", i))
			r := recordedReport{Name: c.how + "/" + c.where, Kind: c.kind, At: c.at}
			before := consoleText(t)
			r.Messages = copied.messages(w, c.how, c.where)
			if after, ok := strings.CutPrefix(consoleText(t), before); ok && (i == 0 || c.how == "null" && c.where == "exit") {
				r.Console = strings.Split(strings.TrimSpace(copied.restore(after)), "\n")
			}
			recorded = append(recorded, r)
			r.check(t)
		})
	}
	if dir := os.Getenv("KMODTRACE_RECORD"); dir != "" {
		leaveReports(t, filepath.Join(dir, "reports.json"), w.kernel, recorded)
	}
}

// recordedReport is what a kernel printed.
type recordedReport struct {
	Name     string    `json:"name"`
	Kind     oops.Kind `json:"kind"`
	At       string    `json:"at,omitempty"`
	Messages []string  `json:"messages"`
	Console  []string  `json:"console,omitempty"`
}

func (r *recordedReport) check(t *testing.T) {
	t.Helper()
	parts := oops.Split(r.Messages)
	if len(parts.Reports) == 0 {
		if r.Kind != oops.UBSAN { // not every kernel looks
			t.Errorf("no report in %q", r.Messages)
		}
		return
	}
	got := parts.Reports[0]
	if got.Kind != r.Kind || r.At != "" && got.Place.Function != r.At || got.Incomplete || got.Comm == "" || got.PID == 0 {
		t.Errorf("%s: %+v of %q", r.Name, got, r.Messages)
	}
	if r.Name != "jump/exit" && got.OfModule("") == nil {
		t.Errorf("%s: no frame of a module: %+v", r.Name, got)
	}
}

// complainCopy is the specimen with its user under other names of the same length: what crashed
// stays, and holds its name.
type complainCopy struct {
	dir, name string
}

func copyOfComplain(t *testing.T, w *world, dir, mark string) *complainCopy {
	t.Helper()
	c := &complainCopy{filepath.Join(dir, mark), "compla" + mark}
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"complain.ko", "complainuser.ko"} {
		image := bytes.ReplaceAll(w.readSpecimen(t, file), []byte("complain"), []byte(c.name))
		w.write(t, filepath.Join(c.dir, file), image)
	}
	return c
}

func (c *complainCopy) restore(text string) string {
	return strings.ReplaceAll(text, c.name, "complain")
}

// messages gives what is printed in the load, or in the unload.
func (c *complainCopy) messages(w *world, how, where string) []string {
	base, user := filepath.Join(c.dir, "complain.ko"), filepath.Join(c.dir, "complainuser.ko")
	name := c.name
	var seen []record.Record
	switch where {
	case "init":
		seen = w.during(func() { command("/sbin/insmod", base, "init="+how) })
	case "exit":
		command("/sbin/insmod", base, "exit="+how)
		seen = w.during(func() { command("/bin/busybox", "rmmod", c.name) })
	case "other":
		command("/sbin/insmod", base)
		seen = w.during(func() { command("/sbin/insmod", user, "how="+how) })
		name += "user"
	}
	command("/bin/busybox", "rmmod", c.name+"user")
	command("/bin/busybox", "rmmod", c.name)
	var messages []string
	for _, a := range seen {
		if a.Module == name {
			for _, m := range a.Messages {
				messages = append(messages, c.restore(m))
			}
		}
	}
	return messages
}

// consoleText is the kernel's log as a console has it.
func consoleText(t *testing.T) string {
	t.Helper()
	buffer := make([]byte, 4<<20)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

func leaveReports(t *testing.T, path string, k *kernel.Kernel, recorded []recordedReport) {
	t.Helper()
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	for i := range recorded {
		if err := e.Encode(&recorded[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatalf("%s: %v", k.Release(), err)
	}
}
