package follow

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/kmodtrace/kmodtrace/internal/wire"
)

// tools sees the runs of rmmod, modprobe and insmod that failed: what these refuse by themselves makes
// no event of the kernel with modules.
type tools struct {
	coll   *ebpf.Collection
	links  []link.Link
	reader *ringbuf.Reader
	runs   chan toolRun // closed when the last is in it
}

// toolRun is a run of a tool that failed.
type toolRun struct {
	pid       uint32
	start     time.Duration
	status    syscall.WaitStatus
	comm      string
	argv      []string // nil where it is not known as a whole
	mntNS     uint32
	ancestors []family // its parent first
}

// moreTools is how many are read ahead.
const moreTools = 256

// watchTools begins to see them. The tracepoints of exec and exit are for every process: they are
// attached for as long as a command is followed, and only compare a name for any other program.
func watchTools() (_ *tools, err error) {
	spec, err := loadTools()
	if err != nil {
		return nil, fmt.Errorf("read programs: %w", err)
	}
	t := &tools{runs: make(chan toolRun, moreTools)}
	defer func() {
		if err != nil {
			t.detach()
		}
	}()
	if t.coll, err = ebpf.NewCollection(spec); err != nil {
		return nil, fmt.Errorf("load programs: %w", err)
	}
	for _, name := range []string{toolsProgToolEnds, toolsProgToolBegins} { // the end of none is seen whose beginning was not
		target := spec.Programs[name].AttachTo
		l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: target, Program: t.coll.Programs[name]})
		if err != nil {
			return nil, fmt.Errorf("attach to tracepoint %s: %w", target, err)
		}
		t.links = append(t.links, l)
	}
	if t.reader, err = ringbuf.NewReader(t.coll.Maps[toolsMapRuns]); err != nil {
		return nil, fmt.Errorf("open ring: %w", err)
	}
	go t.read()
	return t, nil
}

func (t *tools) read() {
	defer close(t.runs)
	for {
		record, err := t.reader.Read()
		if err != nil { // flushed, or closed
			return
		}
		if r, err := newToolRun(record.RawSample); err == nil {
			t.runs <- r
		}
	}
}

func newToolRun(raw []byte) (toolRun, error) {
	w, err := wire.View[toolsToolRun](raw)
	if err != nil {
		return toolRun{}, err
	}
	r := toolRun{pid: w.Pid, start: time.Duration(w.Start), status: syscall.WaitStatus(w.Status), comm: wire.Text(w.Comm[:]), mntNS: w.MntNs}
	for i := range min(int(w.Ancestors), len(w.Ancestor)) {
		r.ancestors = append(r.ancestors, family{pid: w.Ancestor[i], start: time.Duration(w.AncestorStart[i])})
	}
	if n := int(w.Length); n > 0 && n <= len(w.Args) {
		r.argv = strings.Split(strings.TrimSuffix(string(w.Args[:n]), "\x00"), "\x00")
	}
	return r, nil
}

// last ends the reading, and gives what was left.
func (t *tools) last() (rest []toolRun) {
	_ = t.reader.Flush()
	for r := range t.runs {
		rest = append(rest, r)
	}
	return rest
}

// lost counts those that found no room.
func (t *tools) lost() (n uint64, err error) {
	err = t.coll.Maps[toolsMapRunsLost].Lookup(uint32(0), &n)
	return n, err
}

// Close detaches. A nil t has nothing.
func (t *tools) Close() error {
	if t == nil {
		return nil
	}
	return t.detach()
}

func (t *tools) detach() error {
	var errs []error
	for _, l := range t.links {
		errs = append(errs, l.Close())
	}
	if t.reader != nil {
		errs = append(errs, t.reader.Close())
	}
	if t.coll != nil {
		t.coll.Close()
	}
	return errors.Join(errs...)
}
