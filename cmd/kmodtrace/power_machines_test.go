package main

import (
	"bufio"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/await"
)

// passed is a record as an output passed it on, or as history has it.
type passed struct {
	Seq      int64
	ID, Hash string
	Kind     string
	Note     struct{ Text string }
}

// A guest whose disk has a journal: it says what is in that, and whether that is whole,
// and then serves while modules come and go, passing records on to the host.
const powerScript = `
set -e
modprobe -a virtio_blk ext4
mkdir -p /mnt
mount -t ext4 /dev/vda /mnt
if [ -e /mnt/journal.db ]; then
	kmodtrace audit verify --journal /mnt/journal.db
	kmodtrace history --json --kind action,finding,discarded,inventory,present,gap --journal /mnt/journal.db
fi
echo served
[ "$1" = storm ] || exit 0
printf 'journal:\n  path: /mnt/journal.db\noutputs:\n  - type: stdout\n' >config.yaml
while :; do insmod $KMODTRACE_MODULES/hello.ko; rmmod hello; done 2>/dev/null &
exec kmodtrace serve --config config.yaml
`

// TestPowerCut: a machine that loses its power in a storm has on its disk all that was
// passed on, unchanged, the journal is whole, and the next start says what happened.
// KMODTRACE_TIMES says how often. The guest's memory is lost, as in a real cut; that the
// disk keeps what it was told to flush is the host's part. With the journal's
// synchronous=OFF or NORMAL it fails in the first cut or the second.
func TestPowerCut(t *testing.T) {
	arch, series, ok := strings.Cut(os.Getenv("KMODTRACE_MACHINES"), "/")
	if !ok {
		t.Skip("boots machines of the lab: scripts/lab-tests amd64/6.12/machines")
	}
	times, err := strconv.Atoi(os.Getenv("KMODTRACE_TIMES"))
	if err != nil {
		times = 3
	}
	p := &powered{t: t, arch: arch, series: series, disk: filepath.Join(t.TempDir(), "disk")}
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", p.disk, "64M").CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	known := make(map[int64]passed)
	for n := range times {
		p.check(p.boot("storm"), known)
		p.cut(5+rand.IntN(60), known)
		t.Logf("cut %d: %d records were passed on", n+1, len(known))
	}
	records := p.check(p.boot("look"), known)
	ended := 0
	for _, r := range records {
		if r.Kind == "started" && strings.Contains(r.Note.Text, "ended with the machine") {
			ended++
		}
	}
	if ended != times-1 {
		t.Errorf("%d of %d cuts before a start are told", ended, times-1)
	}
	p.end()
}

// powered is a machine with a disk.
type powered struct {
	t                  *testing.T
	arch, series, disk string
	cmd                *exec.Cmd
	lines              *bufio.Scanner
	said               *strings.Builder
}

func (p *powered) boot(what string) *bufio.Scanner {
	p.t.Helper()
	p.cmd = exec.Command("../../bin/kmodtrace", "lab", "run", "--kernel", p.series, "--arch", p.arch, "--disk", p.disk,
		"--timeout", "0", "--", "sh", "-c", powerScript, "sh", what)
	p.said = new(strings.Builder)
	p.cmd.Stderr = p.said
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	p.lines = bufio.NewScanner(out)
	p.lines.Buffer(nil, 1<<20)
	return p.lines
}

// check reads what the machine says of its journal: it is whole, and has all that was
// passed on.
func (p *powered) check(lines *bufio.Scanner, known map[int64]passed) (records []passed) {
	p.t.Helper()
	there := make(map[int64]passed)
	for lines.Scan() {
		switch text := lines.Text(); {
		case text == "served":
			for seq, k := range known {
				if got, ok := there[seq]; !ok || got.ID != k.ID || got.Hash != k.Hash {
					p.t.Errorf("record %d was passed on as %s, %s; the journal has %+v", seq, k.ID, k.Hash, got)
				}
			}
			return records
		case strings.HasPrefix(text, "{"):
			r := p.record(text)
			there[r.Seq] = r
			records = append(records, r)
		case !strings.Contains(text, "as they were written"):
			p.t.Errorf("it says of its journal: %s", text)
		}
	}
	p.t.Fatalf("the machine ended: %v; %s", p.cmd.Wait(), p.said)
	return nil
}

// cut waits until some more records were passed on, and kills the machine.
func (p *powered) cut(after int, known map[int64]passed) {
	p.t.Helper()
	late := time.AfterFunc(await.Bound, func() { _ = p.cmd.Process.Kill() })
	for range after {
		if !p.lines.Scan() {
			p.t.Fatalf("nothing more is passed on: %v; %s", p.cmd.Wait(), p.said)
		}
		r := p.record(p.lines.Text())
		known[r.Seq] = r
	}
	late.Stop()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	// What was on its way when it was killed, was passed on.
	for p.lines.Scan() {
		var r passed
		if json.Unmarshal(p.lines.Bytes(), &r) == nil && r.ID != "" {
			known[r.Seq] = r
		}
	}
	_ = p.cmd.Wait()
}

func (p *powered) record(text string) (r passed) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.ID == "" || r.Hash == "" {
		p.t.Fatalf("%v: no record: %s", err, text)
	}
	return r
}

func (p *powered) end() {
	p.t.Helper()
	for p.lines.Scan() {
		p.t.Errorf("it says more: %s", p.lines.Text())
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%v; %s", err, p.said)
	}
}
