package oops

import (
	"fmt"
	"strings"
	"time"
)

// Kind says what a kernel reports. The values are stable: programs may rely on them.
type Kind string

// The kinds.
const (
	Panic          Kind = "panic"
	Oops           Kind = "oops"              // a fault in the kernel's own code
	Bug            Kind = "bug"               // BUG()
	Warning        Kind = "warning"           // WARN()
	KASAN          Kind = "kasan"             // memory used wrongly
	KFENCE         Kind = "kfence"            // the same, by samples
	KCSAN          Kind = "kcsan"             // a data race
	KMSAN          Kind = "kmsan"             // memory used before it was written
	UBSAN          Kind = "ubsan"             // undefined behaviour
	Lockdep        Kind = "lockdep"           // locks taken wrongly
	AtomicSleep    Kind = "atomic-sleep"      // sleeping function called from invalid context
	AtomicSchedule Kind = "atomic-schedule"   // scheduling while atomic
	HungTask       Kind = "hung-task"         // blocked for minutes
	SoftLockup     Kind = "soft-lockup"       // a CPU that does not schedule
	HardLockup     Kind = "hard-lockup"       // a CPU that takes no interrupts
	RCUStall       Kind = "rcu-stall"         // a CPU or task that holds up RCU
	OutOfMemory    Kind = "out-of-memory"     // the OOM killer
	NoAllocation   Kind = "allocation-failed" // a request for memory that failed
	Backtrace      Kind = "backtrace"         // dump_stack() and nothing else
)

// Fatal tells whether the kernel ends the thread, or stops, after a report of this kind.
func (k Kind) Fatal() bool { return k == Panic || k == Oops || k == Bug }

// Report is one thing that a kernel reported.
type Report struct {
	Kind Kind `json:"kind"`
	// Text is the kernel's first line about it, and Message what a WARN says of its own.
	Text    string `json:"text"`
	Message string `json:"message,omitempty"`
	// Place is where it happened: the instruction that failed or warned, or the caller of what
	// printed the backtrace. It is empty where that was not printed.
	Place Frame `json:"place,omitzero"`
	// Comm, PID and CPU are of the task that ran; PID 0 is that of an idle CPU.
	Comm string `json:"comm,omitempty"`
	PID  int    `json:"pid,omitempty"`
	CPU  *int   `json:"cpu,omitempty"`
	// Frames are the callers, the innermost first.
	Frames        []Frame `json:"frames,omitempty"`
	FramesLeftOut int     `json:"frames_left_out,omitempty"`
	// Incomplete says that its end was not printed, or is not there any more.
	Incomplete bool `json:"incomplete,omitempty"`
	// After is when its first line was printed, counted from the start of the action; nil where
	// that is not known. Lines is how many there are of it.
	After *time.Duration `json:"after_ns,omitempty"`
	Lines int            `json:"lines"`
}

// Frame is a place in code.
type Frame struct {
	// Function is the function's name, Offset where in it, and Module whose it is; empty for
	// the kernel itself.
	Function string `json:"function,omitempty"`
	Offset   uint64 `json:"offset,omitempty"`
	Module   string `json:"module,omitempty"`
	// Source is file and line, where the kernel printed them or debug information has them.
	Source string `json:"source,omitempty"`
	// Unsure says that the kernel does not vouch for the frame: an address that lay on the
	// stack ("?"), or one that is behind the end of the function which it is named after.
	Unsure bool `json:"unsure,omitempty"`

	returns bool // the offset is where a call returns to
}

// String gives the frame as the kernel does: function+offset [module].
func (f *Frame) String() string {
	if f.Function == "" {
		return ""
	}
	text := fmt.Sprintf("%s+%#x", f.Function, f.Offset)
	if f.Module != "" {
		text += " [" + f.Module + "]"
	}
	return text
}

// Where is String with the line of the source, without the directories of the build.
func (f *Frame) Where() string {
	source := f.Source[strings.LastIndexByte(f.Source, '/')+1:]
	switch {
	case source == "":
		return f.String()
	case f.Function == "":
		return source
	}
	return f.String() + ", " + source
}

// Instruction is the offset of the instruction that failed, or of the call: the byte before
// the address to which it returns is of it.
func (f *Frame) Instruction() uint64 {
	if f.returns && f.Offset > 0 {
		return f.Offset - 1
	}
	return f.Offset
}

// Where says where it happened: the function, and the line of the source where that is known.
func (r *Report) Where() string { return r.Place.Where() }

// Task gives the task as comm[pid]; empty where it was not printed.
func (r *Report) Task() string {
	if r.Comm == "" {
		return ""
	}
	return fmt.Sprintf("%s[%d]", r.Comm, r.PID)
}

// Callers are the frames that the kernel vouches for.
func (r *Report) Callers() []Frame {
	var sure []Frame
	for _, f := range r.Frames {
		if !f.Unsure {
			sure = append(sure, f)
		}
	}
	return sure
}

// OfModule gives the innermost place that is of a module: where it happened, or a caller; nil where
// none is. With a name it is that module's.
func (r *Report) OfModule(name string) *Frame {
	of := func(f *Frame) bool { return f.Module != "" && (name == "" || f.Module == name) && !f.Unsure }
	if of(&r.Place) {
		return &r.Place
	}
	for i := range r.Frames {
		if of(&r.Frames[i]) {
			return &r.Frames[i]
		}
	}
	return nil
}
