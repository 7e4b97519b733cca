package tracer

// Disturbance is something that keeps hooks from running, or may have, although they were
// attached: somebody with the rights to do so did it while the [Tracer] was open.
type Disturbance struct {
	// What is disturbed: "kprobes", "ftrace", or the target of a hook.
	What string `json:"what"`
	// Why is what shows it, in words.
	Why string `json:"why"`
	// Count is how often it happened since Open, for what is counted; zero for a state that
	// lasts, and is given as long as it does.
	Count uint64 `json:"count,omitempty"`
}

// String gives it in one line.
func (d Disturbance) String() string { return d.What + ": " + d.Why }

// Disturbances asks whether the hooks can still run. It is cheap enough to be called once
// a second. Nil where nothing is known to disturb them, and after Close.
func (t *Tracer) Disturbances() []Disturbance { return nil }
