package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updateTutorial = flag.Bool("update-tutorial", false, "write what the tutorial's commands print into docs/tutorial.md")

const tutorialPage = "../../docs/tutorial.md"

// TestTutorial: the commands of docs/tutorial.md, on a machine with a compiler, print what
// the page says that they do, but for times, addresses and the like.
func TestTutorial(t *testing.T) {
	arch, series, ok := strings.Cut(os.Getenv("KMODTRACE_MACHINES"), "/")
	if !ok {
		t.Skip("boots machines of the lab: scripts/lab-tests amd64/6.12/shop")
	}
	page, err := os.ReadFile(tutorialPage)
	if err != nil {
		t.Fatal(err)
	}
	commands := tutorialCommands(string(page))
	script := filepath.Join(t.TempDir(), "tutorial")
	if err := os.WriteFile(script, []byte(tutorialScript(commands)), 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("../../bin/kmodtrace", "lab", "run", "--kernel", series, "--arch", arch, "--disk", shopDisk(t, arch, series), "--timeout", "0",
		"--add", script, "--", "tutorial")
	var said bytes.Buffer
	c.Stdout, c.Stderr = io.MultiWriter(os.Stdout, &said), os.Stderr // at once: see TestDev
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	out := said.String()
	parts := strings.Split(out, tutorialMark)[1:]
	if len(parts) != len(commands) {
		t.Fatalf("%d commands, and what %d of them print:\n%s", len(commands), len(parts), out)
	}
	got := filledTutorial(string(page), parts)
	if *updateTutorial {
		if err := os.WriteFile(tutorialPage, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(alikeText(string(page)), "\n"), strings.Split(alikeText(got), "\n")); diff != "" {
		t.Errorf("docs/tutorial.md (-) shows something else than the commands print (+); go test -run TestTutorial -update-tutorial writes it anew:\n%s", diff)
	}
}

const tutorialMark = "\x01\n"

// tutorialCommands are those after "$ ", with the lines after "> " that belong to them.
func tutorialCommands(page string) (commands []string) {
	inside := false
	for line := range strings.Lines(page) {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console\n"
		case inside && strings.HasPrefix(line, "$ "):
			commands = append(commands, line[2:])
		case inside && (strings.HasPrefix(line, "> ") || line == ">\n"):
			commands[len(commands)-1] += strings.TrimPrefix(strings.TrimPrefix(line, ">"), " ")
		}
	}
	return commands
}

// tutorialScript makes the disk's workshop the root directory, and runs the commands there,
// each after a mark.
func tutorialScript(commands []string) string {
	var b strings.Builder
	b.WriteString(`#!/bin/sh
set -e
modprobe -a virtio_blk ext4
mkdir /shop
mount -t ext4 /dev/vda /shop
cp /usr/bin/kmodtrace /shop/usr/bin/
cat >/shop/tutorial <<'END OF THE TUTORIAL'
cd /root
exec 2>&1
export COLUMNS=100 LC_ALL=C.UTF-8
`)
	for _, c := range commands {
		fmt.Fprintf(&b, "printf '\\001\\n'\n%s[ $? = 0 ] || true\n", statusAfter(c))
	}
	b.WriteString(`END OF THE TUTORIAL
for d in proc sys dev tmp; do mkdir -p /shop/$d; mount --rbind /$d /shop/$d; done
cd /shop
mount --move . /
exec chroot . /bin/sh /tutorial
`)
	return b.String()
}

// statusAfter has a command's exit status printed where that is not 0.
func statusAfter(command string) string {
	return command + `status=$?; [ $status = 0 ] || echo "(exit status $status)"` + "\n"
}

// filledTutorial is the page with what each command printed after it.
func filledTutorial(page string, parts []string) string {
	var b strings.Builder
	inside, n := false, 0
	flush := func() {
		if n > 0 && parts[n-1] != "" {
			b.WriteString(strings.TrimRight(parts[n-1], "\n") + "\n")
			parts[n-1] = ""
		}
	}
	for line := range strings.Lines(page) {
		switch {
		case strings.HasPrefix(line, "```"):
			if inside {
				flush()
			}
			inside = line == "```console\n"
		case inside && strings.HasPrefix(line, "$ "):
			flush()
			n++
		case inside && (strings.HasPrefix(line, "> ") || line == ">\n"):
		case inside:
			continue // what it printed before
		}
		b.WriteString(line)
	}
	return b.String()
}

// alikeText makes equal what differs from run to run.
func alikeText(text string) string {
	for _, r := range []struct{ what, by string }{
		{`\b\d+(\.\d+)?(ns|µs|ms|s)\b`, "TOOK"},
		{`\n\n +note +╷ is shorter than can be drawn\.`, ""},
		{`[█▉▊▋▌▍▎▏▐├┼─╷]+`, ""},
		{`( +TOOK)+`, " TOOK"}, // the scale of a timeline
		{`0x[0-9a-f]{8,}`, "ADDRESS"},
		{`\b[0-9a-f]{40,64}\b`, "HASH"},
		{`\bsrcversion [0-9A-F]+`, "SRCVERSION"},
		{`\b[\d,]+ bytes\b`, "SIZE"},
		{`(?m)^(  (?:text|rodata|data|init text|init data|info)) +[\d,]+`, "$1 SIZE"},
		{`\bbuild [0-9a-f]{12}\b`, "build ID"},
		{`\[\d+\]`, "[PID]"},
		{`\b\d+\.\d+\.\d+[^ ,]*-(amd64|arm64)\b`, "RELEASE"},
		{` +`, " "},
		{` \n`, "\n"},
	} {
		text = regexp.MustCompile(r.what).ReplaceAllString(text, r.by)
	}
	return compiledTogether.ReplaceAllStringFunc(text, func(lines string) string {
		return strings.Join(slices.Sorted(strings.Lines(lines)), "")
	})
}

// compiledTogether are the lines of make's that have no order: it compiles several files at once.
var compiledTogether = regexp.MustCompile(`(?m)(^ (BTF|CC|LD) \[M\] .*\n)+`)
