package tracer

// kernelSites names the functions of the kernel itself that ask for modules, where the kernel
// does not say so with the request (before 5.13): see site.go. The kernel writes a long list
// of symbols for it, which is read once, when somebody first asks: its own functions stay
// where they are. It is not for several goroutines at once.
type kernelSites struct {
	// It knows no modules: one that lies there now need not be the one that asked. Nor does
	// it know BPF programs and trampolines.
	symbols Symbols
	done    bool
}

func newKernelSites() *kernelSites { return &kernelSites{symbols: Symbols{OwnText: true}} }

// named gives the request with its symbol, where there is one and this user may see it.
func (k *kernelSites) named(r Request) Request {
	if r.Symbol != "" || r.Site == 0 {
		return r
	}
	k.read()
	symbol, ok := k.symbols.FindCall(r.Site)
	// Where somebody hooks the return of the function, that is what it returns to.
	if at, _ := k.symbols.Find(r.Site); ok && at.Offset != 0 {
		r.Symbol = symbol.String()
	}
	return r
}

// read reads the kernel's list of symbols once.
func (k *kernelSites) read() {
	if !k.done {
		k.done = true
		_ = k.symbols.Read() // hidden: the address is all there is
	}
}
