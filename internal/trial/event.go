package trial

import (
	"encoding/json"
	"time"

	"github.com/kmodtrace/kmodtrace/proof"
)

// Plan is what the guest is to do.
type Plan struct {
	// Files are loaded in this order, and unloaded the other way round.
	Files []string `json:"files"`
	// Params are for the last of them.
	Params []string `json:"params,omitempty"`
	Times  int      `json:"times"`
	// Command runs between loading and unloading.
	Command []string `json:"command,omitempty"`
	// Patience is how long one step may take before it counts as hung.
	Patience time.Duration `json:"patience_ns"`
}

// Step is something that the guest does in a round.
type Step string

// The steps.
const (
	StepPrepare Step = "prepare" // attach, and load what the files depend on
	StepLoad    Step = "load"
	StepCommand Step = "command"
	StepUnload  Step = "unload"
	StepLook    Step = "look" // for what is left
	StepDone    Step = "done"
)

func (s Step) known() bool {
	switch s {
	case StepPrepare, StepLoad, StepCommand, StepUnload, StepLook, StepDone:
		return true
	}
	return false
}

// Event is what the guest tells: that it begins a step, or what came of it.
type Event struct {
	Round  int    `json:"round"` // from 1 on; 0 before
	Step   Step   `json:"step"`
	Target string `json:"target,omitempty"` // the file
	Begins bool   `json:"begins,omitempty"`

	Result  *proof.Result `json:"result,omitempty"` // of a load or an unload
	Command *Command      `json:"command,omitempty"`
	Left    *Leftovers    `json:"left,omitempty"`
	Error   string        `json:"error,omitempty"` // why the guest could not take the step
	Ready   *ReadyGuest   `json:"ready,omitempty"`
}

// ReadyGuest is the guest when it has prepared itself.
type ReadyGuest struct {
	Release string `json:"release"`
	Taints  uint64 `json:"taints"`
	// Tracks tells whether its kernel keeps the places of allocations.
	Tracks bool `json:"tracks_allocations"`
}

// Command is what the command in between came to.
type Command struct {
	Status int           `json:"status"`
	Took   time.Duration `json:"took_ns"`
	Output string        `json:"output,omitempty"`
	Error  string        `json:"error,omitempty"`
}

// ParseEvent reads a line.
func ParseEvent(line []byte) (Event, error) {
	var e Event
	err := json.Unmarshal(line, &e)
	return e, err
}

// Mark is the line that the guest writes into the kernel's log when it begins a step, so
// that the console tells when what was printed.
func (e *Event) Mark() string {
	text, err := json.Marshal(markText{e.Round, e.Step, e.Target})
	if err != nil {
		return markPrefix
	}
	return markPrefix + string(text)
}

const markPrefix = "kmodtrace-trial: "

type markText struct {
	Round  int    `json:"round"`
	Step   Step   `json:"step"`
	Target string `json:"target,omitempty"`
}
