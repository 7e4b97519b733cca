package proof

import (
	"fmt"

	"github.com/kmodtrace/kmodtrace/calls"
	"github.com/kmodtrace/kmodtrace/cause"
)

// NameCall adds to the cause of a refused init which call inside it failed first. Nothing is added where that is the
// init itself, or where it is not certain that what was returned is an error.
func NameCall(c *cause.Cause, r *calls.Report) {
	if c == nil || c.Code != cause.InitRefused || r == nil || len(r.Path) < 2 {
		return
	}
	first := &r.Path[len(r.Path)-1]
	if first.Errno == 0 && !first.Null {
		return
	}
	c.Text += fmt.Sprintf("; inside it, %s returned %s%s", first.Function, first.Result(), first.Place())
	c.Evidence = append(c.Evidence, "calls inside its init: "+calls.PathText(r.Path))
	if c.Names == nil {
		c.Names = make(map[string]string)
	}
	c.Names["function"] = first.Function
	if at := first.Defined; at != "" {
		c.Names["place"] = at
	} else if at := first.Site(); at != "" {
		c.Names["place"] = at
	}
}
