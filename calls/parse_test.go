package calls

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestParse: lines as kernels print them, whatever a thread calls itself.
func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text         string
		want         string // kind, index, thread, time, place, caller and value of each event
		lost, unread int
	}{
		"entry": {
			text: "          insmod-158     [000] .....    23.287774: e0: (inner_init+0x4/0x80 [inner] <ffffffffc031a014>)\n",
			want: "e0 158 23.287774s 0xffffffffc031a014 0x0 0x0",
		},
		"return": {
			text: "          insmod-158     [000] .....    23.300204: r2: (deep+0x18/0x30 [inner] <ffffffffc0311488> <- reset_chip+0x0/0x30 [inner] <ffffffffc0311430>) ret=0xfffffffb\n",
			want: "r2 158 23.300204s 0xffffffffc0311430 0xffffffffc0311488 0xfffffffb",
		},
		"return of what was jumped to": {
			text: "          insmod-158     [000] .....    23.300250: r4: ([unknown/kretprobe'd] <- 0xffffffffc0311474) ret=0xfffffffb\n",
			want: "r4 158 23.30025s 0xffffffffc0311474 0x0 0xfffffffb",
		},
		"a module that is gone": {
			text: "          insmod-158     [000] .....    23.300204: d12: (0xffffffffc0311488) ret=0xffffffffffffffed\n",
			want: "d12 158 23.300204s 0xffffffffc0311488 0x0 0xffffffffffffffed",
		},
		"5.10 has four flags": {
			text: "          insmod-158     [001] d..1    23.300204: c7: (driver+0x46/0x90 [inner] <ffffffffc03112f6>)\n",
			want: "c7 158 23.300204s 0xffffffffc03112f6 0x0 0x0",
		},
		"a name like another line": {
			text: " x-1 [000] ... 1-158     [000] .....     1.000001: j3: (0xffffffffc0311488)\n",
			want: "j3 158 1.000001s 0xffffffffc0311488 0x0 0x0",
		},
		"a name with line feeds": {
			text: "       \n\nCPU:1 [-4194303 [000] .....     1.000001: j3: (0xffffffffc0311488)\n",
			want: "j3 4194303 1.000001s 0xffffffffc0311488 0x0 0x0",
		},
		"unknown name":       {text: "           <...>-158     [000] .....     1.000001: j3: (0x1)\n", want: "j3 158 1.000001s 0x1 0x0 0x0"},
		"lost":               {text: "CPU:1 [LOST 45 EVENTS]\nCPU:0 [LOST 2 EVENTS]\n", lost: 47},
		"another event":      {text: "          insmod-158     [000] .....    23.287774: sched_switch: prev_comm=x\n", unread: 1},
		"an entry's value":   {text: "          insmod-158     [000] .....    23.287774: e0: (0x1) ret=0x1\n", unread: 1},
		"no value":           {text: "          insmod-158     [000] .....    23.287774: r0: (0x2 <- 0x1)\n", unread: 1},
		"an index too large": {text: "          insmod-158     [000] .....    23.287774: e99999999999999999999: (0x1)\n", unread: 1},
		"a thread too large": {text: "          insmod-99999999999 [000] .....    23.287774: e0: (0x1)\n", unread: 1},
		"short":              {text: "x\n \n\n", unread: 2}, // a blank begins a name, which may have line feeds
		"endless":            {text: strings.Repeat("x", 5000), unread: 1},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 7, len(c.text)} { // the kernel gives any parts
				if name == "endless" {
					size = len(c.text)
				}
				var p parser
				var got []string
				for rest := c.text; rest != ""; {
					n := min(size, len(rest))
					for _, e := range p.add([]byte(rest[:n])) {
						got = append(got, fmt.Sprintf("%c%d %d %v %#x %#x %#x", e.Kind, e.Index, e.Thread, e.Time, e.Address, e.Caller, e.Value))
					}
					rest = rest[n:]
				}
				if text := strings.Join(got, "; "); text != c.want || p.lost != c.lost || name != "short" && p.unread != c.unread {
					t.Errorf("in parts of %d: %s, lost %d, unread %d; want %s, %d, %d", size, text, p.lost, p.unread, c.want, c.lost, c.unread)
				}
			}
		})
	}
}

// TestMissed adds up what kprobe_profile says, of our events only.
func TestMissed(t *testing.T) {
	const profile = "  e0                                                         4               0\n" +
		"  r12                                                        1               3\n  other                 1    9\n  r12x 1 7\n  r1 x y\n"
	if n := missedIn(profile); n != 3 {
		t.Error(n)
	}
}

// TestJudge: a result is an error only of a function that returns one.
func TestJudge(t *testing.T) {
	const eio, wideEIO = 0xfffffffb, 0xfffffffffffffffb
	for _, c := range []struct {
		t     Type
		value uint64
		want  string
	}{
		{Int, eio, "1 5"}, {Int, wideEIO, "1 5"}, {Int, 0x12345678fffffffb, "1 5"}, {Int, 0, "0 0"}, {Int, 5, "0 0"},
		{Int, 0xfffff001, "1 4095"}, {Int, 0xfffff000, "0 0"}, {Int, 0x80000000, "0 0"},
		{Long, wideEIO, "1 5"}, {Long, eio, "0 0"},
		{Pointer, wideEIO, "1 5"}, {Pointer, eio, "0 0"}, {Pointer, 0, "3 0"}, {Pointer, 0xfffffffffffff000, "0 0"},
		{Void, wideEIO, "0 0"}, {Bool, eio, "0 0"}, {Unsigned, eio, "0 0"},
		{Unknown, eio, "2 5"}, {Unknown, wideEIO, "2 5"}, {Unknown, 0x12345678fffffffb, "0 0"}, {Unknown, 0, "0 0"},
	} {
		j, errno := judge(c.t, c.value)
		if got := fmt.Sprintf("%d %d", j, errno); got != c.want {
			t.Errorf("%v %#x: %s, want %s", c.t, c.value, got, c.want)
		}
	}
}

// scripted makes events of words such as e0 d2=-5 @7, which goes on in thread 7; a microsecond passes between two.
func scripted(t *testing.T, script string) []Event {
	t.Helper()
	var events []Event
	thread := uint32(1)
	for i, word := range strings.Fields(script) {
		if word[0] == '@' {
			fmt.Sscanf(word, "@%d", &thread)
			continue
		}
		e := Event{Time: time.Duration(i) * time.Microsecond, Thread: thread, Kind: word[0]}
		value := int64(0)
		if n, _ := fmt.Sscanf(word[1:], "%d=%d", &e.Index, &value); n < 1 {
			t.Fatal(word)
		}
		e.Value = uint64(value)
		events = append(events, e)
	}
	return events
}
