package tracer

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/wire"
)

// Callback is one of the functions that the kernel calls when a module is complete (the chain
// of module notifiers), after one of them refused it. Which one that was, the kernel does not
// tell.
type Callback struct {
	// Errno is what the chain gave: that of the callback that refused.
	Errno unix.Errno `json:"errno"`
	// Index is its place on the chain, the first that is called has 0.
	Index   uint32  `json:"index"`
	Address Address `json:"address"`
	// Function is its name when the chain had run, and Module the module that it is of,
	// empty for the kernel itself. Kernels before 5.13 do not name functions: a module's
	// function has no name there. Both are empty where that is not known.
	Function string `json:"function,omitempty"`
	Module   string `json:"module,omitempty"`
	// Cut says that there are more on the chain than are reported.
	Cut bool `json:"cut,omitempty"`
}

func decodeCallback(w *bpfCallbackEvent) Callback {
	c := Callback{
		Errno: unix.Errno(-w.Ret), Index: w.Index, Address: Address(w.Address),
		Cut: has(&w.H, bpfFlagFLAG_CUT),
	}
	c.Function, c.Module = functionAt(wire.Text(w.Symbol[:]))
	return c
}

// functionAt takes apart what the kernel says of the first instruction of a function, one byte
// on: "guard_notify+0x1/0x40 [guard]". Anything else is not a function that it knows.
func functionAt(text string) (function, module string) {
	parts := siteText.FindStringSubmatch(text)
	if parts == nil {
		return "", ""
	}
	if offset, err := strconv.ParseUint(parts[2], 16, 64); err != nil || offset != 1 {
		return "", ""
	}
	if strings.HasPrefix(parts[4], "__builtin__") {
		return parts[1], ""
	}
	return parts[1], parts[4]
}

// owned gives the callback with the module that it is of, where only its address tells.
func (c *Correlator) owned(e *Event) *Callback {
	called := *e.Callback
	if c.ranges != nil && called.Function == "" {
		called.Module, _, _ = strings.Cut(strings.TrimPrefix(c.ranges.find(called.Address, e.Time), "["), "]")
	}
	return &called
}

// function names a function of the kernel itself by its address.
func (k *kernelSites) function(called Callback) Callback {
	if called.Function != "" || called.Module != "" {
		return called
	}
	k.read()
	if symbol, ok := k.symbols.Find(called.Address); ok && symbol.Offset == 0 {
		called.Function = symbol.Name
	}
	return called
}
