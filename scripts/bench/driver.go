package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// deed is one thing that was done to a module, or that a contender says was.
type deed struct {
	action string // load or unload
	module string // empty where nobody learns it
	failed bool
}

// deeds counts them.
type deeds map[deed]int

// add is for several goroutines, each with its own deeds, in the end.
func (d deeds) add(more deeds) {
	for k, n := range more {
		d[k] += n
	}
}

// MarshalJSON gives them as a list: its keys are not strings.
func (d deeds) MarshalJSON() ([]byte, error) {
	list := []counted{}
	for k, n := range d {
		list = append(list, counted{k.action, k.module, k.failed, n})
	}
	return json.Marshal(list)
}

func (d *deeds) UnmarshalJSON(text []byte) error {
	var list []counted
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	*d = make(deeds, len(list))
	for _, c := range list {
		(*d)[deed{c.Action, c.Module, c.Failed}] = c.N
	}
	return nil
}

type counted struct {
	Action string
	Module string
	Failed bool
	N      int
}

const (
	load   = "load"
	unload = "unload"
)

// driver makes the system calls of a storm and keeps count of what the kernel answered.
// It is for one goroutine.
type driver struct {
	did deeds
	// inside is the time that the system calls took.
	inside time.Duration
}

func newDriver() *driver { return &driver{did: make(deeds)} }

// add takes over what another one did.
func (d *driver) add(more *driver) {
	d.did.add(more.did)
	d.inside += more.inside
}

// load gives what the kernel answered.
func (d *driver) load(module string, f *os.File, params string) error {
	err := d.call(func() error { return unix.FinitModule(int(f.Fd()), params, 0) })
	d.did[deed{load, module, err != nil}]++
	return err
}

func (d *driver) unload(module string) error {
	name := module
	if name == "" {
		name = noSuch
	}
	err := d.call(func() error { return unix.DeleteModule(name, unix.O_NONBLOCK) })
	d.did[deed{unload, module, err != nil}]++
	return err
}

// call times a system call.
func (d *driver) call(do func() error) error {
	start := time.Now()
	err := do()
	d.inside += time.Since(start)
	return err
}

// cycle loads and unloads.
func (d *driver) cycle(module string, f *os.File) error {
	if err := d.load(module, f, ""); err != nil {
		return fmt.Errorf("load %s: %w", module, err)
	}
	if err := d.unload(module); err != nil {
		return fmt.Errorf("unload %s: %w", module, err)
	}
	return nil
}

// undisturbed keeps the goroutine on a thread of its own that the Go runtime's own
// signals do not reach: delete_module answers them with EINTR.
func undisturbed() {
	runtime.LockOSThread()
	var set unix.Sigset_t
	const urgent = uint(unix.SIGURG - 1)
	set.Val[urgent/64] |= 1 << (urgent % 64)
	_ = unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil)
}

// copies makes n modules of other names out of one, in dir: the kernel knows a module
// by the name inside the file.
func copies(from, name, dir string, n int) ([]string, error) {
	image, err := os.ReadFile(from)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(image, []byte("name="+name+"\x00")) {
		return nil, fmt.Errorf("%s does not call itself %s", from, name)
	}
	var files []string
	for i := range n {
		own := fmt.Sprintf("%c%0*d", 'a'+i/1000, len(name)-1, i%1000)
		file := filepath.Join(dir, own+".ko")
		if err := os.WriteFile(file, bytes.ReplaceAll(image, []byte(name), []byte(own)), 0o600); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func moduleOf(file string) string {
	base := filepath.Base(file)
	return base[:len(base)-len(filepath.Ext(base))]
}

// storm is a lot of module activity, done by a process of its own, which prints a line
// at each quarter and in the end what it did.
type storm struct {
	name string
	does string // for the reader of the results
	n    int
	do   func(n int, quarter func()) (*driver, error)
}

func storms() []storm {
	return []storm{
		{"cycles", "cycles of load and unload on both CPUs", 10000, cycles},
		{"parallel", "loads at once, asleep in their inits", 256, parallel},
		{"refusals", "refused loads and unloads, 1,000 a second where the machine can", 60000, refusals(time.Millisecond)},
		{"fewer refusals", "the same, 200 a second", 6000, refusals(5 * time.Millisecond)},
		{"installed", "modprobe and modprobe -r of an installed module", 300, installed},
	}
}

// smallStorms are parts of other measurements.
func smallStorms() []storm {
	return []storm{
		{name: "stages", do: inStages},
		{name: "calm", do: calm},
		{name: "unloads", do: refusedUnloads},
	}
}

// stormResult is the last line that the process prints.
type stormResult struct {
	Did  deeds
	Took time.Duration
	// Inside is the part of it that the system calls took, of all threads.
	Inside time.Duration
	Error  string `json:",omitempty"`
}

// doStorm is that process.
func doStorm(name string, n int, stdout io.Writer) error {
	all := append(storms(), smallStorms()...)
	i := slices.IndexFunc(all, func(s storm) bool { return s.name == name })
	if i < 0 {
		return fmt.Errorf("no storm %q", name)
	}
	return all[i].run(n, stdout)
}

func (s storm) run(n int, stdout io.Writer) error {
	out := json.NewEncoder(stdout)
	quarter := func() { fmt.Fprintln(stdout, "quarter") }
	start := time.Now()
	d, err := s.do(n, quarter)
	r := stormResult{Did: d.did, Took: time.Since(start), Inside: d.inside}
	if err != nil {
		r.Error = err.Error()
	}
	return out.Encode(r)
}

// cycles are made by two threads, each on its own CPU with its own module.
func cycles(n int, quarter func()) (*driver, error) {
	all := newDriver()
	var mu sync.Mutex
	var errs []error
	var group sync.WaitGroup
	modules := []string{"hello", "chatty"}
	for cpu, module := range modules {
		group.Go(func() {
			d := newDriver()
			err := d.cyclesOn(cpu, module, n/len(modules), func() {
				if cpu == 0 {
					quarter()
				}
			})
			mu.Lock()
			defer mu.Unlock()
			all.add(d)
			errs = append(errs, err)
		})
	}
	group.Wait()
	return all, errors.Join(errs...)
}

func (d *driver) cyclesOn(cpu int, module string, n int, quarter func()) error {
	undisturbed()
	var set unix.CPUSet
	set.Set(cpu % runtime.NumCPU())
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	f, err := os.Open(specimen(module))
	if err != nil {
		return err
	}
	defer f.Close()
	for i := range n {
		if i > 0 && i%max(n/4, 1) == 0 {
			quarter()
		}
		if err := d.cycle(module, f); err != nil {
			return err
		}
	}
	return nil
}

// parallel has all loads under way at once: each sleeps in its init until the last has
// long begun.
func parallel(n int, _ func()) (*driver, error) {
	all := newDriver()
	dir, err := os.MkdirTemp("", "parallel")
	if err != nil {
		return all, err
	}
	defer os.RemoveAll(dir)
	files, err := copies(specimen("nap10"), "nap10", dir, n)
	if err != nil {
		return all, err
	}
	var mu sync.Mutex
	var errs []error
	var group sync.WaitGroup
	for _, file := range files {
		group.Go(func() {
			undisturbed()
			d := newDriver()
			err := d.loadFile(file, "ms=10000")
			mu.Lock()
			defer mu.Unlock()
			all.add(d)
			errs = append(errs, err)
		})
	}
	group.Wait()
	d := newDriver()
	undisturbed()
	for _, file := range files {
		errs = append(errs, d.unload(moduleOf(file)))
	}
	all.add(d)
	return all, errors.Join(errs...)
}

func (d *driver) loadFile(file, params string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return d.load(moduleOf(file), f, params)
}

// refusals are of three kinds: a file that is not a module, mostly; a module whose init
// fails; and the unload of one that is not there. One is made each time that the pace
// takes.
func refusals(pace time.Duration) func(int, func()) (*driver, error) {
	return func(n int, _ func()) (*driver, error) {
		d := newDriver()
		return d, d.refuse(n, pace)
	}
}

func (d *driver) refuse(n int, pace time.Duration) error {
	undisturbed()
	junk, err := os.CreateTemp("", "junk*.ko")
	if err != nil {
		return err
	}
	defer os.Remove(junk.Name())
	if _, err := junk.WriteString("this is not a module"); err != nil {
		return err
	}
	// The kernel refuses a file that is open for writing.
	if err := junk.Close(); err != nil {
		return err
	}
	if junk, err = os.Open(junk.Name()); err != nil {
		return err
	}
	defer junk.Close()
	failing, err := os.Open(specimen("refuse"))
	if err != nil {
		return err
	}
	defer failing.Close()
	start := time.Now()
	for i := range n {
		switch {
		case i%100 == 50:
			err = d.load("refuse", failing, "err=5")
		case i%100 == 99:
			err = d.unload("")
		default:
			err = d.load("", junk, "")
		}
		if err == nil {
			return errors.New("the kernel took what it should refuse")
		}
		time.Sleep(time.Until(start.Add(time.Duration(i) * pace)))
	}
	return nil
}

// installed are what people and scripts do: a new process each time, and a file that is looked up.
func installed(n int, _ func()) (*driver, error) {
	d := newDriver()
	for range n {
		for _, step := range []struct {
			action string
			argv   []string
		}{{load, []string{"dummy"}}, {unload, []string{"-r", "dummy"}}} {
			if text, err := exec.Command("/sbin/modprobe", step.argv...).CombinedOutput(); err != nil {
				return d, fmt.Errorf("modprobe %q: %w: %s", step.argv, err, text)
			}
			d.did[deed{step.action, "dummy", false}]++
		}
	}
	return d, nil
}

// inStages are cycles of one module by one thread: first few, twice, with time after
// each to look at what was seen, then n.
func inStages(n int, quarter func()) (*driver, error) {
	d := newDriver()
	for range 2 {
		if err := d.cyclesOn(0, "hello", fewCycles, func() {}); err != nil {
			return d, err
		}
		quarter()
		time.Sleep(stageWait)
	}
	return d, d.cyclesOn(0, "hello", n, func() {})
}

const (
	fewCycles = 100
	stageWait = 5 * time.Second
)

// calm are cycles with pauses, so that each meets a reader that has nothing to do.
func calm(n int, _ func()) (*driver, error) {
	undisturbed()
	d := newDriver()
	for range n {
		if err := cycleHello(d); err != nil {
			return d, err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return d, nil
}

// refusedUnloads are the smallest actions that there are, at a pace that a reader keeps up
// with.
func refusedUnloads(n int, _ func()) (*driver, error) {
	undisturbed()
	d := newDriver()
	start := time.Now()
	for i := range n {
		if d.unload("") == nil {
			return d, errors.New("the kernel unloaded a module that there is not")
		}
		time.Sleep(time.Until(start.Add(time.Duration(i) * unloadPace)))
	}
	return d, nil
}

const unloadPace = 4 * time.Millisecond

// specimen is the path of a test module.
func specimen(name string) string { return filepath.Join(specimens, name+".ko") }
