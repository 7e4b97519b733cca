package holders

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/wire"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Site is what one process did at one place in the kernel.
type Site struct {
	Call Call `json:"call"`
	// PID, in the first pid namespace, and Start, since boot, name the process;
	// Comm is its thread's name. What happens in an interrupt is put down to the
	// process that it hit.
	PID   uint32        `json:"pid"`
	Start time.Duration `json:"start_boottime_ns,string"`
	Comm  string        `json:"comm"`
	Gets  uint64        `json:"gets"`
	Puts  uint64        `json:"puts"`
	// Balance is gets less puts: below zero where one drops what another took, or
	// what was taken before.
	Balance int64 `json:"balance"`
	// Last is when either last happened, since boot.
	Last time.Duration `json:"last_boottime_ns,string"`
}

// Call is the place that a reference was taken or dropped at: where
// try_module_get, __module_get or module_put return to. Function and Module are
// empty where the symbol is not known.
type Call struct {
	Address  tracer.Address `json:"address"`
	Function string         `json:"function,omitempty"`
	Offset   uint64         `json:"offset,omitempty"`
	Module   string         `json:"module,omitempty"` // empty for the kernel itself
}

// String gives the symbol, or the address where there is none.
func (c Call) String() string {
	if c.Function == "" {
		return c.Address.String()
	}
	return tracer.Symbol{Name: c.Function, Offset: c.Offset, Module: c.Module}.String()
}

// Totals are the sums over all sites.
type Totals struct {
	Gets uint64 `json:"gets"`
	Puts uint64 `json:"puts"`
	// Lost counts the gets and puts that are missing among the sites for want of
	// room, and the times that a program did not run where the kernel counts
	// those (from 5.12): these are missing in Gets and Puts too.
	Lost uint64 `json:"lost"`
	// Unloaded says that the module went while it was watched.
	Unloaded bool `json:"unloaded"`
}

// Balance gives the sites as they are now, the largest balance first. After
// Close, as they were then.
func (r *Refs) Balance() ([]Site, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return slices.Clone(r.sites), nil
	}
	return r.readSites()
}

func (r *Refs) readSites() ([]Site, error) {
	sites := []Site{}
	var site refsSite
	var balance refsBalance
	all := r.coll.Maps[refsMapSites].Iterate()
	for all.Next(&site, &balance) {
		sites = append(sites, Site{
			Call:    Call{Address: tracer.Address(site.Ip)},
			PID:     site.Pid,
			Start:   time.Duration(site.Start),
			Comm:    wire.Text(site.Comm[:]),
			Gets:    balance.Gets,
			Puts:    balance.Puts,
			Balance: int64(balance.Gets - balance.Puts),
			Last:    time.Duration(balance.Last),
		})
	}
	if err := all.Err(); err != nil {
		return nil, fmt.Errorf("read sites: %w", err)
	}
	r.name(sites)
	slices.SortFunc(sites, compareSites)
	return sites, nil
}

func compareSites(a, b Site) int {
	return cmp.Or(cmp.Compare(b.Balance, a.Balance), cmp.Compare(b.Gets, a.Gets), cmp.Compare(b.Puts, a.Puts),
		cmp.Compare(a.PID, b.PID), cmp.Compare(a.Call.Address, b.Call.Address), cmp.Compare(a.Comm, b.Comm))
}

// name names the calls, each once. A module that was loaded since the symbols were
// read has its own: then they are read again, at most once.
func (r *Refs) name(sites []Site) {
	fresh := false
	for i := range sites {
		address := sites[i].Call.Address
		call, known := r.named[address]
		if !known {
			symbol, found := r.symbols.FindCall(address)
			if !found && !fresh {
				fresh = true
				if r.symbols.Read() == nil {
					symbol, _ = r.symbols.FindCall(address)
				}
			}
			call = Call{Address: address, Function: symbol.Name, Offset: symbol.Offset, Module: symbol.Module}
			r.named[address] = call
		}
		sites[i].Call = call
	}
}

// Totals gives the sums as they are now, or were at Close.
func (r *Refs) Totals() (Totals, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	total, err := r.final, error(nil)
	if !r.closed {
		total, err = r.readTotal()
	}
	return Totals{Gets: total.Gets, Puts: total.Puts, Lost: total.Dropped, Unloaded: total.Freed != 0}, err
}

func (r *Refs) readTotal() (refsTotal, error) {
	var total refsTotal
	if err := r.coll.Maps[refsMapTotals].Lookup(uint32(0), &total); err != nil {
		return total, fmt.Errorf("read totals: %w", err)
	}
	for _, p := range r.coll.Programs {
		if stats, err := p.Stats(); err == nil {
			total.Dropped += stats.RecursionMisses
		}
	}
	return total, nil
}
