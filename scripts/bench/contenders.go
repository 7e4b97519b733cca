package main

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

// packages are Debian's, of the contenders that are not ours.
func packages() []string {
	return []string{"bpftrace", "linux-perf", "trace-cmd", "auditd", "dash", "coreutils"}
}

// contender is a way to watch modules, run as its users run it.
type contender struct {
	name string
	argv []string
	// inside says that it runs in the contenders' root directory.
	inside bool
	// before are commands that have to succeed first, and after ones that undo them.
	before, after [][]string
	// last says that the machine is another one once it has run.
	last bool
	// stop is the signal that ends it.
	stop syscall.Signal
	// ready tells whether it is attached. It is asked until it is.
	ready func() bool
	// records are the files in which it leaves what it saw, if not its output.
	records []string
	// report is the command that makes text of that; nil where it is text.
	report []string
	// claims reads what it says was done.
	claims func(text []byte) deeds
	// event gives the kernel's time of the load that a line tells; nil where no line
	// comes before the end.
	event func(line []byte) (kernelTime, bool)
	// exact are more arguments, with which it shows events and counts those that it
	// lost; nil where it does neither.
	exact []string
}

const (
	readyFile  = "/run/bench-ready"
	outputFile = "/run/bench-output"
	errorsFile = "/run/bench-errors"
	auditLog   = "/var/log/audit/audit.log"
	specimens  = "/root/modules"
	noSuch     = "nosuch_bench"
)

// script is what people write down for bpftrace: the module tracepoints, and probes on
// the functions that kmodtrace's own hooks are on, with what tells results.
const script = `tracepoint:module:module_load { printf("load %s by %s[%d]\n", str(args.name), comm, pid); }
tracepoint:module:module_free { printf("free %s by %s[%d]\n", str(args.name), comm, pid); }
tracepoint:module:module_request { printf("request %s by %s[%d]\n", str(args.name), comm, pid); }
kprobe:__x64_sys_finit_module, kprobe:__x64_sys_init_module, kprobe:__x64_sys_delete_module { printf("%s by %s[%d]\n", func, comm, pid); }
kretprobe:__x64_sys_finit_module, kretprobe:__x64_sys_init_module, kretprobe:__x64_sys_delete_module { printf("%s gave %d at %llu\n", func, retval, nsecs); }
kprobe:do_init_module, kprobe:free_module { printf("%s by %s[%d]\n", func, comm, pid); }
kretprobe:do_init_module { printf("do_init_module gave %d\n", retval); }
`

// contenders lists them; also kmodtrace of an earlier revision, unless that is empty.
func contenders(earlier string) []contender {
	// Until it is stopped; the command that it runs says that it is attached.
	wrapped := []string{"sh", "-c", "echo >" + readyFile + "; exec sleep 10000"}
	attached := func() bool { return exists(readyFile) }
	watch := func(program, name, backend string) contender {
		return contender{
			name: name + " " + backend, argv: []string{program, "watch", "--json", "--backend", backend, "--ready-file", readyFile},
			stop: syscall.SIGTERM, ready: attached, claims: kmodtraceClaims, event: kmodtraceEvent,
			exact: []string{"--events"},
		}
	}
	all := []contender{watch("kmodtrace", thisTree, "fentry"), watch("kmodtrace", thisTree, "kprobe")}
	if earlier != "" {
		all = append(all, watch(earlierProgram, thisTree+" "+earlier, "fentry"), watch(earlierProgram, thisTree+" "+earlier, "kprobe"))
	}
	return append(all, []contender{
		{
			name: "bpftrace", inside: true, argv: []string{"bpftrace", "-B", "line", "-e", script}, stop: syscall.SIGINT,
			ready:  func() bool { return poked(outputFile, "__x64_sys_delete_module gave") },
			claims: bpftraceClaims, event: bpftraceEvent,
		},
		{
			name: "perf record", inside: true, argv: append([]string{"perf", "record", "-q", "-a", "-e", "module:*", "-o", "/run/perf.data", "--"}, wrapped...),
			stop: syscall.SIGINT, ready: attached, records: []string{"/run/perf.data"},
			report: []string{"perf", "script", "-i", "/run/perf.data", "-F", "event,trace"}, claims: tracepointClaims,
		},
		{
			name: "trace-cmd record", inside: true, argv: append([]string{"trace-cmd", "record", "-q", "-e", "module", "-o", "/run/trace.dat"}, wrapped...),
			stop: syscall.SIGINT, ready: attached, records: []string{"/run/trace.dat"},
			report: []string{"trace-cmd", "report", "-i", "/run/trace.dat"}, claims: tracepointClaims,
		},
		auditd(),
	}...)
}

// thisTree is the name of kmodtrace as it is here.
const thisTree = "kmodtrace"

// auditd with the rules that hardening guides give. After it the kernel gives every
// process a context for audit.
func auditd() contender {
	rules := [][]string{{"auditctl", "-e", "1"}}
	for _, arch := range []string{"b64", "b32"} {
		rules = append(rules, []string{"auditctl", "-a", "always,exit", "-F", "arch=" + arch,
			"-S", "init_module,finit_module,delete_module", "-k", "modules"})
	}
	return contender{
		name: "auditd", inside: true, argv: []string{"auditd", "-n"}, before: rules,
		after: [][]string{{"auditctl", "-D"}, {"auditctl", "-e", "0"}}, last: true, stop: syscall.SIGTERM,
		ready:   func() bool { return poked(auditLog, `key="modules"`) },
		records: []string{auditLog + ".4", auditLog + ".3", auditLog + ".2", auditLog + ".1", auditLog},
		claims:  auditClaims, event: auditEvent,
	}
}

// command gives it as one would type it.
func (c contender) command() string {
	var lines []string
	for _, argv := range append(slices.Clone(c.before), c.argv) {
		var words []string
		for _, word := range argv {
			if strings.ContainsAny(word, " \n;>") {
				word = "'" + word + "'"
			}
			words = append(words, word)
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return strings.Join(lines, "\n")
}

// poked makes a refused unload, which a contender that is attached reports. It is made
// by a new process: audit leaves those alone that began before it.
func poked(file, text string) bool {
	_ = exec.Command("/bin/busybox", "rmmod", noSuch).Run()
	data, err := os.ReadFile(file)
	return err == nil && bytes.Contains(data, []byte(text))
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
