package guest

import (
	"encoding/json"
	"fmt"
	"os"
)

// Places in the guest that the image and the first process agree on.
const (
	InitPath  = "/init"          // what the kernel starts
	AgentPath = "/lab/agent"     // what the guest's systemd starts
	TaskPath  = "/lab/task.json" // what Init or the agent runs
	Busybox   = "/usr/bin/busybox"
	Kmod      = "/usr/bin/kmod"

	// ModulesPath holds the kernel's module tree until Init moves it to
	// /usr/lib/modules: what boots before Init then loads nothing.
	ModulesPath = "/lab/modules"
)

// Task is what the guest does: one command, from the start to the power-off.
// It travels as JSON inside the image or the payload.
type Task struct {
	// Wait says that this is not the task yet: the guest is going to be saved, and each
	// one that is restored finds its own task in the payload, at the same place.
	Wait bool `json:",omitempty"`

	Init     string   // the program that Init becomes, "" for none: Init runs the command itself
	Port     string   // the results port, "/dev/ttyS1"
	Hostname string   // the guest's own
	Argv     []string // the command; an Argv[0] without a slash is looked up in Env's PATH
	Env      []string
	Dir      string   // made when absent
	Bring    []string // paths to bring back when the command has ended
	Terminal *Size    // run on a terminal of this size; nil for pipes
}

// Size is a terminal's, in characters.
type Size struct{ Rows, Columns uint16 }

// ExitStatus is how the command ended.
type ExitStatus struct {
	Status int // its own, or 128 + Signal, or 126/127 when it could not be started
	Signal int // what killed it, 0 for none
}

func readTask() (Task, error) {
	var task Task
	data, err := os.ReadFile(TaskPath)
	if err != nil {
		return task, err
	}
	if err := json.Unmarshal(data, &task); err != nil {
		return task, fmt.Errorf("task %s: %w", TaskPath, err)
	}
	return task, nil
}
