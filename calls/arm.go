package calls

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ArmOptions are for [Arm]. The zero value is the default.
type ArmOptions struct {
	// Tracefs is where the kernel's tracefs is mounted; by default it is looked for.
	Tracefs string
}

// Armed are the probes of a plan, defined in the kernel.
type Armed struct {
	plan    *Plan
	root    string // tracefs
	group   string // of the events, and the instance's name
	pipe    int    // -1 where it is not open
	events  []Event
	missed  int // returns
	lost    loss
	unseen  []Unseen
	refused int // probes

	stop    chan struct{}
	stopped sync.WaitGroup
	once    sync.Once
	err     error
}

// loss is what is known to be missing.
type loss struct {
	overwritten int // by the kernel, because nobody read in time
	unread      int // lines that were not understood
	dropped     int // for the bound in memory
}

// maxEvents bounds what is kept of one init.
const maxEvents = 100_000

// bufferKiB is the size of the instance's buffers, all processors together.
const bufferKiB = 16 << 10

// Arm defines and enables the probes. What an owner that was killed has left is removed first. Nothing
// is left when it errs.
func Arm(plan *Plan, opts *ArmOptions) (a *Armed, err error) {
	var o ArmOptions
	if opts != nil {
		o = *opts
	}
	if o.Tracefs == "" {
		if o.Tracefs, err = Tracefs(); err != nil {
			return nil, err
		}
	}
	if err := Sweep(o.Tracefs); err != nil {
		return nil, err
	}
	a = &Armed{plan: plan, root: o.Tracefs, pipe: -1, stop: make(chan struct{})}
	if err := a.arm(); err != nil {
		return nil, errors.Join(err, a.remove())
	}
	a.stopped.Go(a.read)
	return a, nil
}

// Tracefs finds where tracefs is mounted, and whether it takes probes.
func Tracefs() (string, error) {
	var first error
	for _, root := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		_, err := os.Stat(filepath.Join(root, "kprobe_events"))
		if err == nil {
			return root, nil
		}
		if first == nil || errors.Is(first, fs.ErrNotExist) && !errors.Is(err, fs.ErrNotExist) {
			first = err
		}
	}
	if isLockedDown() { // tracefs is empty then
		return "", explain(unix.EPERM)
	}
	if _, err := os.Stat("/sys/kernel/tracing/trace"); err == nil {
		return "", errors.New("this kernel has no kprobe_events (it was built without CONFIG_KPROBE_EVENTS)")
	}
	if errors.Is(first, fs.ErrNotExist) {
		return "", errors.New("tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing")
	}
	return "", explain(first)
}

// explain says what a refusal of tracefs means.
func explain(err error) error {
	if (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) && isLockedDown() {
		return fmt.Errorf("the kernel is locked down for confidentiality, and refuses probes: %w", err)
	}
	return err
}

func isLockedDown() bool {
	text, _ := os.ReadFile("/sys/kernel/security/lockdown")
	return strings.Contains(string(text), "[confidentiality]")
}

func (a *Armed) arm() error {
	if err := a.makeInstance(); err != nil {
		return explain(err)
	}
	// It is not removed by others as long as this is open, not even by those who see another /proc.
	var err error
	if a.pipe, err = unix.Open(a.instance("trace_pipe"), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
		return explain(fmt.Errorf("open %s: %w", a.instance("trace_pipe"), err))
	}
	size := max(64, bufferKiB/runtime.NumCPU())
	for file, text := range map[string]string{"trace_clock": "boot", "options/sym-addr": "1", "buffer_size_kb": fmt.Sprint(size)} {
		if err := write(a.instance(file), text); err != nil {
			return explain(err)
		}
	}
	defined, err := a.define()
	if err != nil {
		return explain(err)
	}
	if defined == 0 {
		return fmt.Errorf("the kernel takes no probe in %s: %s", a.plan.Module, a.unseen[0].Why)
	}
	return explain(write(a.instance("events", a.group, "enable"), "1"))
}

// makeInstance chooses a name that nobody has: one process may arm several plans.
func (a *Armed) makeInstance() error {
	for n := 0; ; n++ {
		group := fmt.Sprintf("%s%d_%d", prefix, os.Getpid(), n)
		err := os.Mkdir(filepath.Join(a.root, "instances", group), 0o700)
		if errors.Is(err, fs.ErrExist) && n < 1000 {
			continue
		}
		if err == nil {
			a.group = group
		}
		return err
	}
}

func (a *Armed) instance(elements ...string) string {
	return filepath.Join(append([]string{a.root, "instances", a.group}, elements...)...)
}

// define writes one definition at a time: so it is known which one the kernel refuses.
func (a *Armed) define() (defined int, err error) {
	events, err := os.OpenFile(filepath.Join(a.root, "kprobe_events"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return 0, err
	}
	defer events.Close()
	for _, p := range a.plan.probes(a.group, runtime.GOARCH) {
		if _, err := events.WriteString(p.text + "\n"); err != nil {
			if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOMEM) {
				return 0, err
			}
			a.unsee(p, err)
			continue
		}
		defined++
	}
	return defined, nil
}

func (a *Armed) unsee(p probe, err error) {
	a.refused++
	var errno unix.Errno
	errors.As(err, &errno)
	why := fmt.Sprintf("the kernel does not take a probe there (%s)", unix.ErrnoName(errno))
	if p.site >= 0 {
		a.unseen = append(a.unseen, Unseen{a.plan.sites[p.site].callee, why})
		return
	}
	a.unseen = append(a.unseen, Unseen{a.plan.functions[p.function].name, why})
}

// write does not create: a file that the kernel does not have is an error.
func write(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// read takes events until it is to stop, and then what there is.
func (a *Armed) read() {
	const pause = 20 * time.Millisecond
	var p parser
	buffer := make([]byte, 64<<10)
	for last := false; ; {
		n, err := unix.Read(a.pipe, buffer)
		if n > 0 {
			a.take(&p, buffer[:n])
			continue
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if last || err != nil && !errors.Is(err, unix.EAGAIN) {
			a.lost.overwritten, a.lost.unread = p.lost, p.unread
			return
		}
		select {
		case <-a.stop:
			last = true
		case <-time.After(pause):
		}
	}
}

func (a *Armed) take(p *parser, text []byte) {
	for _, e := range p.add(text) {
		if len(a.events) == maxEvents {
			a.lost.dropped++
			continue
		}
		a.events = append(a.events, e)
	}
}

// Stop removes the probes, and reports what the thread did; of all threads, if none is named.
func (a *Armed) Stop(thread uint32) (*Report, error) {
	err := a.Close()
	return a.report(thread), err
}

// Close removes the probes. It may be called again.
func (a *Armed) Close() error {
	a.once.Do(func() {
		// The events come to an end before the last ones are read.
		disabled := write(a.instance("events", a.group, "enable"), "0")
		close(a.stop)
		a.stopped.Wait()
		a.missed = a.countMissed()
		a.err = errors.Join(disabled, a.remove())
	})
	return a.err
}

// countMissed counts the returns that the kernel had no room to wait for. The file tells events by name only,
// so that those of another owner may be counted too: it is a bound.
func (a *Armed) countMissed() int {
	text, err := os.ReadFile(filepath.Join(a.root, "kprobe_profile"))
	if err != nil {
		return 0
	}
	return missedIn(string(text))
}

func (a *Armed) remove() error {
	var err error
	if a.pipe >= 0 {
		err = unix.Close(a.pipe)
		a.pipe = -1
	}
	if a.group == "" {
		return err
	}
	return errors.Join(err, removeGroup(a.root, a.group))
}
