package calls

import (
	"cmp"
	"fmt"
	"strings"
)

// Site gives where a call is made: the line, or function and offset; "" where neither is known.
func (c *Call) Site() string { return cmp.Or(c.CalledAt, c.Caller) }

// PathText writes a path on one line: a → b → c returned -110 ETIMEDOUT, c.c:41.
func PathText(steps []Step) string {
	var b strings.Builder
	for i := range steps {
		if i > 0 {
			b.WriteString(" → ")
		}
		b.WriteString(steps[i].Function)
		if i+1 < len(steps) && steps[i+1].Converted {
			fmt.Fprintf(&b, " (%s)", steps[i].Result())
		}
	}
	if n := len(steps); n > 0 {
		last := &steps[n-1].Call
		if last.Returned {
			b.WriteString(" returned " + last.Result())
		}
		b.WriteString(last.Place())
	}
	return b.String()
}

// Place tells where the module's function is, and where it is called; "" where neither is known.
func (c *Call) Place() string {
	switch at := c.Site(); {
	case c.Own && c.Defined != "" && at != "":
		return fmt.Sprintf(", %s, called at %s", c.Defined, at)
	case c.Own && c.Defined != "":
		return ", " + c.Defined
	case at != "":
		return ", called at " + at
	}
	return ""
}

// Result gives what a call returned, as far as it can be read.
func (c *Call) Result() string {
	switch {
	case !c.Returned:
		return "was not seen to return"
	case c.Errno != 0:
		return fmt.Sprintf("-%d %s", c.Errno, c.ErrnoName)
	case c.PossibleErrno != 0:
		return fmt.Sprintf("-%d %s, if it returns an error at all: its type is not known", c.PossibleErrno, c.PossibleErrnoName)
	case c.Null:
		return "NULL"
	case c.Type == Int:
		return fmt.Sprint(c.Int())
	}
	return c.Value
}
