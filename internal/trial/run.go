package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab"
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
	console, err := os.CreateTemp("", "kmodtrace-trial-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(console.Name())
	defer console.Close()
	m.Console = console.Name()
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
	told := &teller{files: p.Files, inside: inside.Files, end: func() { time.AfterFunc(endWithin, stop) }}
	var complaint bytes.Buffer
	status, err := lab.Run(running, m, inside.argv(), told, &complaint)
	ended, err := how(ctx, err, status, complaint.String(), told)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(console.Name())
	if err != nil {
		return nil, err
	}
	r := Judge(p, told.events, ReadConsole(string(text)), ended)
	r.Took, r.Accel = time.Since(begun), string(m.Accel)
	if !told.ready.IsZero() {
		r.Booting = told.ready.Sub(begun)
	}
	if r.Release == "" {
		r.Release = m.Kernel.Release
	}
	return r, nil
}

// bootWithin is what a slow machine may take until its guest is ready.
const bootWithin = 3 * time.Minute

// endWithin is what a guest that has told everything may take to power off.
const endWithin = 2 * time.Second

// longest is when a machine that has not ended is not going to.
func longest(p Plan) time.Duration {
	steps := 2*len(p.Files) + 2
	return bootWithin + time.Duration(p.Times*steps)*(p.Patience+settle)
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

// how tells how the machine ended. What a module can have done is no error.
func how(ctx context.Context, err error, status int, complaint string, told *teller) (Ended, error) {
	var crash *lab.CrashError
	switch {
	case ctx.Err() != nil:
		return Ended{}, context.Cause(ctx)
	case told.err != nil:
		return Ended{}, told.err
	case told.done:
		return Ended{}, nil
	case errors.As(err, &crash) && told.ready.IsZero():
		return Ended{}, err // not the module's fault
	case errors.As(err, &crash):
		if reason, ok := strings.CutPrefix(crash.Reason, "kernel panic: "); ok {
			return Ended{Panic: reason}, nil
		}
		return Ended{Silent: true}, nil
	case err != nil:
		return Ended{}, err
	case status != 0:
		why := lastLine(complaint)
		if why == "" { // as when the kernel killed it for want of memory
			why = fmt.Sprintf("what carries out the plan ended by itself, with status %d", status)
		}
		return Ended{}, fmt.Errorf("in the machine: %s", why)
	}
	return Ended{}, nil
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// teller reads events as they come.
type teller struct {
	files, inside []string
	events        []Event
	ready         time.Time
	done          bool
	end           func() // called when it has told everything
	rest          []byte
	err           error
}

// Write takes what the guest prints.
func (t *teller) Write(text []byte) (int, error) {
	t.rest = append(t.rest, text...)
	for {
		line, rest, whole := bytes.Cut(t.rest, []byte("\n"))
		if !whole {
			return len(text), nil
		}
		t.rest = rest
		t.take(line)
	}
}

var _ io.Writer = (*teller)(nil)

func (t *teller) take(line []byte) {
	e, err := ParseEvent(line)
	if err != nil {
		t.err = fmt.Errorf("the guest said what is no event: %.200q", line)
		return
	}
	for i, inside := range t.inside {
		if e.Target == inside {
			e.Target = t.files[i]
		}
	}
	switch {
	case e.Ready != nil:
		t.ready = time.Now()
	case e.Error != "":
		t.err = errors.New(e.Error)
	case e.Step == StepDone:
		t.done = true
		t.end()
	}
	t.events = append(t.events, e)
}
