package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// GuestCommand is the command of kmodtrace that carries a plan out in the guest. Its
// argument is the plan, as JSON; it prints an [Event] a line.
const GuestCommand = "trial-guest"

// kernelArguments: all that the kernel prints is on the console, and it keeps who
// allocated what.
const kernelArguments = "ignore_loglevel printk.devkmsg=on slub_debug=U"

// Run boots the machine, has the plan carried out in it, and judges. An error says that
// the machine could not be had, or was stopped.
func Run(ctx context.Context, m lab.Machine, p Plan) (*Report, error) {
	begun := time.Now()
	console := newConsoleParser()
	m.Append = strings.TrimSpace(m.Append + " " + kernelArguments)
	m.Timeout = longest(p)
	inside, err := p.inside(&m)
	if err != nil {
		return nil, err
	}
	if m.Accel == "" {
		if m.Accel, err = lab.ChooseAccel(ctx, m.Cache, m.Kernel); err != nil {
			return nil, err
		}
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	// A guest in which something hangs does not end by itself.
	limit := newDeadline(stop)
	defer limit.stop()
	m.Watch = io.MultiWriter(console, limit)
	told := newTeller(p, inside.Files, limit.within)
	var complaint lastText
	status, err := lab.Run(running, m, inside.argv(), told, &complaint)
	ended, err := how(ctx, err, status, complaint.String(), told)
	if err != nil {
		return nil, err
	}
	r := told.judge.judge(console.end(), ended)
	r.Took, r.Accel = time.Since(begun), string(m.Accel)
	if !told.ready.IsZero() {
		r.Booting = told.ready.Sub(begun)
	}
	if r.Release == "" {
		r.Release = m.Kernel.Release
	}
	return r, nil
}

// bootSilence is for how long the console of a machine that boots may be silent, and
// bootWithin what a slow machine may take until its guest is ready. stepSlack is what it may
// take for a step beyond the plan's patience: it is busy with what it has seen.
const (
	bootSilence = 3 * time.Minute
	bootWithin  = 20 * time.Minute
	stepSlack   = time.Minute
)

// deadline is when a machine is stopped. While it boots, all that its console says puts that
// off, since no module of the plan is in it yet. From the first event on, events do, and the
// console does not any more: that is the module's too.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	booted bool
}

func newDeadline(stop func()) *deadline { return &deadline{timer: time.AfterFunc(bootSilence, stop)} }

// Write takes what the console says.
func (d *deadline) Write(text []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.booted {
		d.timer.Reset(bootSilence)
	}
	return len(text), nil
}

// within says how long the machine may take until the next event.
func (d *deadline) within(rest time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.booted = true
	d.timer.Reset(rest)
}

func (d *deadline) stop() { d.timer.Stop() }

// endWithin is what a guest that has told everything may take to power off.
const endWithin = 2 * time.Second

// longest is when a machine that has not ended is not going to.
func longest(p Plan) time.Duration {
	steps := time.Duration(p.Times * (2*len(p.Files) + 2))
	if p.Patience > math.MaxInt64/2/steps {
		return math.MaxInt64 / 2
	}
	return bootWithin + steps*(p.Patience+settle)
}

// inside gives the plan with the names that the files have in the guest.
func (p Plan) inside(m *lab.Machine) (Plan, error) {
	files := make([]string, len(p.Files))
	for i, file := range p.Files {
		if _, err := os.Stat(file); err != nil {
			return p, err
		}
		files[i] = guestName(i, file)
		m.Files = append(m.Files, lab.File{Host: file, Guest: files[i]})
	}
	p.Files = files
	return p, nil
}

// guestName is what a file of the plan is called in the guest. Two may have one name here.
func guestName(i int, file string) string {
	return path.Join("/trial", fmt.Sprint(i+1), filepath.Base(file))
}

func (p Plan) argv() []string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers
	}
	return []string{"kmodtrace", GuestCommand, string(text)}
}

// how tells how the machine ended. What a module can have done is not an error: from when the
// guest is ready on, all that happens there may be its doing.
func how(ctx context.Context, err error, status int, complaint string, told *teller) (Ended, error) {
	var crash *lab.CrashError
	switch {
	case ctx.Err() != nil:
		return Ended{}, context.Cause(ctx)
	case told.ready.IsZero():
		return Ended{}, notReady(err, status, complaint, told)
	case told.broken != "":
		return Ended{Broken: told.broken}, nil
	case told.done:
		return Ended{}, nil
	case errors.As(err, &crash):
		if reason, ok := strings.CutPrefix(crash.Reason, "kernel panic: "); ok {
			return Ended{Panic: cut(reason, maxText)}, nil
		}
		if errors.Is(err, guest.ErrGarbage) {
			return Ended{Broken: "what the machine sent is not what a machine of the lab sends"}, nil
		}
		return Ended{Silent: true}, nil
	case err != nil:
		return Ended{Broken: "the machine failed: " + cut(strings.ReplaceAll(err.Error(), "\n", "; "), maxText)}, nil
	case status != 0: // as when the kernel killed it for want of memory
		return Ended{Broken: fmt.Sprintf("what carries out the plan ended by itself, with status %d", status)}, nil
	}
	return Ended{}, nil
}

// notReady says why a machine did not come to the first round.
func notReady(err error, status int, complaint string, told *teller) error {
	switch {
	case told.err != nil:
		return told.err
	case told.broken != "":
		return fmt.Errorf("in the machine: %s", told.broken)
	case err != nil:
		return err
	}
	why := lastLine(complaint)
	if why == "" {
		why = fmt.Sprintf("what carries out the plan ended by itself, with status %d", status)
	}
	return fmt.Errorf("in the machine: %s", why)
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// lastText keeps the end of what is written to it.
type lastText struct{ text []byte }

func (l *lastText) Write(p []byte) (int, error) {
	l.text = append(l.text, p[max(0, len(p)-maxText):]...)
	l.text = append(l.text[:0], l.text[max(0, len(l.text)-maxText):]...)
	return len(p), nil
}

func (l *lastText) String() string { return string(l.text) }
