//go:build !race

package tracer

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestCorrelatorTakesAnything: whatever comes in whatever order, as where events were lost
// and hooks missed threads, each action is given once.
func TestCorrelatorTakesAnything(t *testing.T) {
	kinds := strings.Split("enter-load name=a|enter-unload name=a|enter-image|leave-load ret=0|leave-load ret=-8|leave-unload ret=0|"+
		"died|file path=/x/a.ko.gz ino=5|image format=gzip|denied ret=-13 door=kernel_read_file|lookup name=a|lookup name=a state=live|"+
		"message text=x|parse_args name=a|module_load name=a|do_init_module name=a|free_module name=a|module_free name=a|"+
		"init-return|init-return ret=-5|request name=b|request-refused name=b|request-return|read|init|release", "|")
	random := rand.New(rand.NewPCG(5, 6))
	c := NewCorrelator(0)
	given := make(map[ID]bool)
	entered := make(map[int]int) // by thread, until it returns
	take := func(actions []Action) {
		for _, a := range actions {
			if given[a.ID] {
				t.Fatalf("twice: %s", describe(a))
			}
			given[a.ID] = true
		}
	}
	for at := 1; at < 100_000; at++ {
		tid := 1 + random.IntN(3)
		line := fmt.Sprintf("%d %d %s", at, tid, kinds[random.IntN(len(kinds))])
		missed := random.IntN(3) == 0 // by the hook, so that the kernel side knows of no attempt
		if enters := strings.Contains(line, "enter-"); enters && missed {
			entered[tid] = 0
			continue
		} else if enters {
			entered[tid] = at
		} else if id := entered[tid]; id != 0 {
			line += fmt.Sprintf(" attempt=%d", id)
		}
		e := parseEvent(t, strings.Fields(line))
		if e.Kind == KindLeave || e.Kind == KindDied {
			entered[tid] = 0
		}
		lost := random.IntN(5) == 0
		switch {
		case lost:
		case e.Kind == 0:
			take(c.Due(e.Time + time.Duration(random.IntN(2))*deferFor))
		default:
			take(c.Add(e))
		}
	}
	take(c.Pending())
	if len(given) < 10_000 {
		t.Errorf("%d actions", len(given))
	}
}
