package tracer

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestModuleRanges: an address is named after the module whose memory it certainly was at
// that time, and after nothing else. A script has the events, in the order in which they
// come, and what is asked meanwhile:
//
//	TIME TID load|init|free NAME ADDRESS SIZE [INIT-ADDRESS INIT-SIZE]
//	TIME TID init-return
//	TIME TID lost                 (an event that tells of a loss)
//	TIME 0 present NAME ADDRESS SIZE [init]
//	TIME 0 find ADDRESS WANT      ("-": only the address)
func TestModuleRanges(t *testing.T) {
	for name, script := range map[string]string{
		"loaded": `
			10 1 load a 0x1000 0x100
			20 0 find 0x1000 [a]+0x0
			20 0 find 0x10ff [a]+0xff`,
		"between modules": `
			10 1 load a 0x1000 0x100
			11 1 load b 0x2000 0x100
			20 0 find 0x0fff -
			20 0 find 0x1100 -
			20 0 find 0x1fff -
			20 0 find 0x2001 [b]+0x1`,
		"nothing known": `
			20 0 find 0x1000 -
			20 0 find 0x0 -`,
		"gone": `
			10 1 load a 0x1000 0x100
			20 1 free a 0x1000 0x100
			30 0 find 0x1010 -
			15 0 find 0x1010 [a]+0x10`,
		"another at the same address": `
			10 1 load a 0x1000 0x100
			20 1 free a 0x1000 0x100
			30 1 load b 0x1000 0x100
			15 0 find 0x1010 [a]+0x10
			25 0 find 0x1010 -
			35 0 find 0x1010 [b]+0x10`,
		"another that overlaps": `
			10 1 load a 0x1000 0x100
			20 1 free a 0x1000 0x100
			30 1 load b 0x1080 0x100
			35 0 find 0x1010 -
			35 0 find 0x1090 [b]+0x10
			15 0 find 0x1090 [a]+0x90`,
		"the same again": `
			10 1 load a 0x1000 0x100
			20 1 free a 0x1000 0x100
			30 1 load a 0x5000 0x100
			35 0 find 0x1010 -
			35 0 find 0x5010 [a]+0x10
			15 0 find 0x5010 -`,
		"the same again at the same address": `
			10 1 load a 0x1000 0x100
			20 1 free a 0x1000 0x100
			30 1 load a 0x1000 0x100
			25 0 find 0x1010 -
			35 0 find 0x1010 [a]+0x10`,
		"told by two hooks": `
			10 1 load a 0x1000 0x100 0x3000 0x100
			11 1 init a 0x1000 0x100 0x3000 0x100
			20 0 find 0x1010 [a]+0x10
			20 0 find 0x3010 [a].init+0x10
			30 1 free a 0x1000 0x100
			31 1 free a 0x1000 0x100
			40 0 find 0x1010 -`,
		"init": `
			10 1 load a 0x1000 0x100 0x3000 0x80
			15 0 find 0x3010 [a].init+0x10
			20 2 init-return
			25 0 find 0x3010 [a].init+0x10
			30 1 init-return
			35 0 find 0x3010 -
			35 0 find 0x1010 [a]+0x10
			40 1 load b 0x3000 0x100
			45 0 find 0x3010 [b]+0x10
			25 0 find 0x3010 [a].init+0x10`,
		"init whose end comes late": `
			10 1 load a 0x1000 0x100 0x3000 0x80
			20 2 load b 0x3000 0x100
			21 1 init-return
			25 0 find 0x3010 [b]+0x10
			25 0 find 0x1010 [a]+0x10`,
		"init that failed": `
			10 1 load a 0x1000 0x100 0x3000 0x80
			20 1 free a 0x1000 0x100
			25 0 find 0x3010 -
			25 0 find 0x1010 -`,
		"free not seen": `
			10 1 load a 0x1000 0x100
			30 1 load b 0x1000 0x100
			15 0 find 0x1010 -
			35 0 find 0x1010 [b]+0x10`,
		"events lost": `
			10 1 load a 0x1000 0x100
			11 1 load b 0x2000 0x100
			12 1 free b 0x2000 0x100
			20 1 lost
			30 0 find 0x1010 -
			11 0 find 0x2010 [b]+0x10
			40 1 load c 0x1000 0x100
			50 0 find 0x1010 [c]+0x10`,
		"event out of order": `
			30 1 load b 0x1000 0x100
			29 0 find 0x1010 -`,
		"present at the start": `
			20 0 present a 0x1000 0x100
			30 0 find 0x1010 [a]+0x10
			19 0 find 0x1010 -
			40 1 free a 0x1000 0x100
			50 0 find 0x1010 -
			60 1 load b 0x1000 0x100
			70 0 find 0x1010 [b]+0x10`,
		"present, and in its init": `
			20 0 present a 0x1000 0x100 init
			30 0 find 0x1010 -`,
		"present, and events of before are still to come": `
			20 0 present a 0x1000 0x100
			10 1 load b 0x1000 0x100
			15 1 free b 0x1000 0x100
			17 1 load a 0x1000 0x100
			12 0 find 0x1010 [b]+0x10
			30 0 find 0x1010 [a]+0x10`,
		"present, and freed before all was read": `
			20 0 present a 0x1000 0x100
			19 1 free a 0x1000 0x100
			30 0 find 0x1010 -`,
		"present twice": `
			20 0 present a 0x1000 0x100
			20 0 present b 0x1080 0x100
			30 0 find 0x1010 [a]+0x10
			30 0 find 0x1090 -`,
		"addresses hidden": `
			10 1 load a 0x0 0x100 0x0 0x100
			20 0 find 0x10 -`,
	} {
		t.Run(name, func(t *testing.T) {
			var r moduleRanges
			lost := uint64(0)
			for line := range strings.Lines(strings.TrimSpace(script)) {
				var at time.Duration
				var tid uint32
				var what string
				f := strings.Fields(line)
				if _, err := fmt.Sscan(line, &at, &tid, &what); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				number := func(i int) uint64 {
					var n uint64
					if i < len(f) {
						if _, err := fmt.Sscanf(f[i], "0x%x", &n); err != nil {
							t.Fatalf("%s: %v", line, err)
						}
					}
					return n
				}
				e := Event{Time: at, Thread: Thread{TID: tid}, Lost: lost}
				switch what {
				case "load", "init", "free":
					e.Kind = map[string]Kind{"load": KindModuleLoad, "init": KindInit, "free": KindFree}[what]
					e.Module = &Module{Name: f[3], Address: Address(number(4)), Size: uint32(number(5)),
						InitAddress: Address(number(6)), InitSize: uint32(number(7))}
				case "init-return":
					e.Kind, e.Return = KindInitReturn, &Return{}
				case "lost":
					lost++
					e.Kind, e.Lost, e.Message = KindMessage, lost, &Message{}
				case "present":
					r.present(map[string]extent{f[3]: {start: number(4), size: number(5), live: len(f) == 6}}, at)
					continue
				case "find":
					want := strings.TrimPrefix(f[4], "-")
					if got := r.find(Address(number(3)), at); got != want {
						t.Errorf("%s: got %q", strings.TrimSpace(line), got)
					}
					continue
				}
				r.see(&e)
			}
		})
	}
}
