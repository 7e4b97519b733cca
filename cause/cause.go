package cause

// Code names a cause. Codes are stable: programs may rely on them.
type Code string

// Cause is why something failed.
type Cause struct {
	Code Code `json:"code"`
	// Text is one sentence that names what it is about: the symbol, the
	// parameter, the module, the key, the file.
	Text string `json:"text"`
	// Evidence is what it was concluded from, a line each.
	Evidence []string `json:"evidence"`
	// Next is what to do about it.
	Next string `json:"next"`
	// Names are what the text names, for programs: "symbol", "parameter",
	// "module", "owner", "file", "line", … .
	Names map[string]string `json:"names,omitempty"`
	// Remaining are the causes between which the evidence does not decide, where
	// Code is Unknown.
	Remaining []Code `json:"remaining,omitempty"`
	// Inner is the cause of the load that made this one fail: of a dependency, or
	// of what a request's helper tried.
	Inner *Cause `json:"inner,omitempty"`
}

// String gives the code and the sentence.
func (c *Cause) String() string { return string(c.Code) + ": " + c.Text }
