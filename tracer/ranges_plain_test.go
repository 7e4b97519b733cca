//go:build !race

package tracer

import (
	"fmt"
	"testing"
	"time"
)

// TestModuleRangesBounded: what is gone is forgotten one day, and what is there never.
func TestModuleRangesBounded(t *testing.T) {
	var r moduleRanges
	m := func(i int) *Module {
		return &Module{Name: fmt.Sprint("m", i), Address: Address(0x1000 * (i + 1)), Size: 0x100, InitAddress: Address(0x1000*i + 0x800), InitSize: 0x10}
	}
	const there, gone = 1000, 5000
	for i := range there + gone {
		r.see(&Event{Kind: KindModuleLoad, Time: time.Duration(i), Module: m(i)})
		r.see(&Event{Kind: KindInitReturn, Time: time.Duration(i)})
		if i >= there {
			r.see(&Event{Kind: KindFree, Time: time.Duration(i), Module: m(i)})
		}
	}
	if len(r.all) != there+maxClosedRanges {
		t.Errorf("%d ranges", len(r.all))
	}
	if got := r.find(0x1010, 1<<40); got != "[m0]+0x10" {
		t.Errorf("the first is %q", got)
	}
}
