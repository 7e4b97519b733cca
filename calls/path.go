package calls

import (
	"slices"

	"golang.org/x/sys/unix"
)

// errno is the error that a call returned, certain or possible.
func (c *Call) errno() unix.Errno {
	if c.Errno != 0 {
		return c.Errno
	}
	return c.PossibleErrno
}

// path leads from a call that failed to the innermost one whose error it answered with.
func path(from *Call) []*Call {
	steps := []*Call{from}
	for c := from; ; {
		next := origin(c)
		if next == nil {
			return steps
		}
		steps = append(steps, next)
		c = next
	}
}

// origin is the call inside c that its error comes from; nil where c made the error itself.
//
// A call that returned the same error is where it comes from, the last one if there are several. Else
// it is the last call that could fail, if it did: c then answered with an error of its own. An error before
// another call that went well is not taken for the reason: many are expected.
func origin(c *Call) *Call {
	for _, inner := range slices.Backward(c.Calls) {
		if inner.errno() != 0 && inner.errno() == c.errno() {
			return inner
		}
	}
	for _, inner := range slices.Backward(c.Calls) {
		switch {
		case inner.Errno != 0, inner.Null:
			return inner
		case inner.Type != Void:
			return nil
		}
	}
	return nil
}

// swallowed lists the errors that the result does not tell of: of what the kernel called back, while it
// answered the module well.
func swallowed(c *Call, kernelAbove bool, found []*Call) []*Call {
	if c.Own && kernelAbove && c.Errno != 0 {
		return append(found, c)
	}
	for _, inner := range c.Calls {
		found = swallowed(inner, !c.Own, found)
	}
	return found
}

// openIn gives the calls that have not returned, each inside the one before, of a thread or of the first that has some. One after which
// its caller went on has returned, though that was missed.
func openIn(threads []*Thread, thread uint32) []*Call {
	for _, t := range threads {
		if thread != 0 && t.ID != thread {
			continue
		}
		var open []*Call
		list := t.Calls
		for len(list) > 0 {
			last := list[len(list)-1]
			if last.Returned {
				break
			}
			open = append(open, last)
			list = last.Calls
		}
		if len(open) > 0 {
			return open
		}
	}
	return nil
}
