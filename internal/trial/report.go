package trial

import (
	"time"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Verdict is what a trial comes to.
type Verdict string

// The verdicts, the worst first: of several the worst is the trial's.
const (
	Panicked Verdict = "panicked" // the whole kernel stopped
	Crashed  Verdict = "crashed"  // its code faulted: an oops
	Starved  Verdict = "out-of-memory"
	HungUp   Verdict = "hung"    // a step did not end
	NotLive  Verdict = "refused" // it was not loaded
	Stuck    Verdict = "stuck"   // it could not be unloaded
	Failing  Verdict = "command-failed"
	Warned   Verdict = "warned" // the kernel complained
	Leaking  Verdict = "leaked" // it did not give everything back
	Passed   Verdict = "passed"
)

var worstFirst = []Verdict{Panicked, Crashed, Starved, HungUp, NotLive, Stuck, Failing, Warned, Leaking, Passed}

// Report is what came of a trial.
type Report struct {
	Verdict Verdict `json:"verdict"`
	// Why is a sentence on it; empty for one that passed.
	Why     string   `json:"why,omitempty"`
	Release string   `json:"release"` // of the kernel
	Accel   string   `json:"accel"`   // kvm or tcg: times of an emulated machine are long
	Files   []string `json:"files"`
	Params  []string `json:"params,omitempty"`
	Times   int      `json:"times"`  // rounds that were asked for
	Rounds  int      `json:"rounds"` // that were finished
	// Modules are what came of each file, in the order of loading.
	Modules []ModuleReport `json:"modules"`
	Command *CommandReport `json:"command,omitempty"`
	Faults  []Fault        `json:"faults"`
	// Left is what was left after the last round that was finished, and LeftFirst after
	// the first one: what grows is lost anew in each.
	Left      *Leftovers `json:"left,omitempty"`
	LeftFirst *Leftovers `json:"left_first,omitempty"`
	// Unseen says what this machine's kernel does not let anybody see.
	Unseen []string `json:"unseen,omitempty"`
	// Taints are those that the trial added.
	Taints   tracer.Taints `json:"taints"`
	Messages []Message     `json:"messages"`
	// FaultsLeftOut and MessagesLeftOut are how many more there were.
	FaultsLeftOut   int `json:"faults_left_out,omitempty"`
	MessagesLeftOut int `json:"messages_left_out,omitempty"`
	// Took is the whole, and Booting the part of it until the guest was ready.
	Took    time.Duration `json:"took_ns"`
	Booting time.Duration `json:"booting_ns"`
}

// ModuleReport is what came of one file.
type ModuleReport struct {
	File   string `json:"file"`
	Module string `json:"module"`
	// Loads and Unloads count how the attempts ended: live, failed EINVAL, unloaded, …
	Loads   []Outcome `json:"loads"`
	Unloads []Outcome `json:"unloads"`
	// Load and Unload are how long those that went well took, Stages the parts of the
	// loads.
	Load   Spread        `json:"load"`
	Unload Spread        `json:"unload"`
	Stages []StageSpread `json:"stages"`
	// Cause is of the first load or unload that did not go well.
	Cause *cause.Cause `json:"cause,omitempty"`
}

// Outcome is how attempts ended, and how many did.
type Outcome struct {
	Text  string `json:"text"`
	Count int    `json:"count"`
}

// StageSpread is how long one stage took.
type StageSpread struct {
	Stage tracer.Stage `json:"stage"`
	Spread
}

// Spread is a number of times: the shortest, the one in the middle, the longest.
type Spread struct {
	N   int           `json:"n"`
	Min time.Duration `json:"min_ns"`
	Med time.Duration `json:"median_ns"`
	Max time.Duration `json:"max_ns"`
}

// CommandReport is what came of the command in between.
type CommandReport struct {
	Argv   []string `json:"argv"`
	Runs   int      `json:"runs"`
	Failed int      `json:"failed"`
	Status int      `json:"status"` // of the first that failed; else 0
	Output string   `json:"output,omitempty"`
	Took   Spread   `json:"took"`
}
