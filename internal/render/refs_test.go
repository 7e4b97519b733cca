package render

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/holders"
	"github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/internal/term"
)

func watchedRefs() *holders.Report {
	now := 3
	return &holders.Report{
		Module: "loop", Took: 2500 * time.Millisecond, Final: true, CountBefore: 1, CountNow: &now,
		Totals: holders.Totals{Gets: 13, Puts: 11},
		Sites: []holders.Site{
			{Call: holders.Call{Address: 0xffffffff81000184, Function: "blkdev_get_no_open", Offset: 0x84}, PID: 4121, Comm: "mount", Gets: 2, Balance: 2},
			{Call: holders.Call{Address: 0xffffffffc0000184, Function: "loop_configure", Offset: 0x1e, Module: "loop"}, PID: 77, Comm: "losetup", Gets: 11, Puts: 10, Balance: 1},
			{Call: holders.Call{Address: 0xffffffffc0901060}, Comm: "swapper/0", Puts: 1, Balance: -1},
		},
	}
}

// TestRefsText pins what users read, at two widths.
func TestRefsText(t *testing.T) {
	for width, want := range map[int]string{
		80: `PROCESS       CALL SITE                      GETS     PUTS  BALANCE
mount[4121]   blkdev_get_no_open+0x84           2        0       +2
losetup[77]   loop_configure+0x1e [loop]       11       10       +1
swapper/0[0]  0xffffffffc0901060                0        1       -1
loop had 1 reference at the start and has 3 now; the balance of 2.5s is +2
references taken before it began are not attributed
`,
		60: `PROCESS       CALL SITE               GETS     PUTS  BALANCE
mount[4121]   blkdev_get_no_open…        2        0       +2
losetup[77]   loop_configure+0x1…       11       10       +1
swapper/0[0]  0xffffffffc0901060         0        1       -1
loop had 1 reference at the start and has 3 now; the balance
of 2.5s is +2
references taken before it began are not attributed
`,
	} {
		if diff := cmp.Diff(want, NewRefsText(term.Theme{}, width).Render(watchedRefs())); diff != "" {
			t.Errorf("width %d (-want +got):\n%s", width, diff)
		}
	}
}

// TestRefsNotes: what the numbers do not tell is said.
func TestRefsNotes(t *testing.T) {
	two := 2
	for _, test := range []struct {
		name   string
		change func(*holders.Report)
		want   []string
	}{
		{"unloaded", func(r *holders.Report) { r.CountNow, r.CountBefore = nil, 0 }, []string{
			"loop was unloaded while it was watched; it had 0 references at the start"}},
		{"more than was seen", func(r *holders.Report) { r.CountNow, r.CountBefore = &two, 1 }, []string{
			"loop had 1 reference at the start and has 2 now; the balance of 2.5s is +2",
			"the count moved by -1 beside that, at the moment of the start or the end",
			"references taken before it began are not attributed"}},
		{"lost", func(r *holders.Report) { r.Totals.Lost, r.CountBefore = 1, 0; r.CountNow = &two }, []string{
			"loop had 0 references at the start and has 2 now; the balance of 2.5s is +2",
			"1 change found no room in this table"}},
	} {
		r := watchedRefs()
		test.change(r)
		if diff := cmp.Diff(test.want, refsNotes(r)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestRefsTextFits: whatever the names, no line is wider than the terminal, and
// nothing that steers it comes out.
func TestRefsTextFits(t *testing.T) {
	for name, text := range hostile() {
		for _, width := range []int{1, 2, 7, 20, 40, 80, 139, 1000} {
			for _, sites := range []bool{true, false} {
				r := sample.New[holders.Report](text)
				if !sites {
					r.Sites = nil
				}
				checkLines(t, name, NewRefsText(term.Theme{}, width).Render(r), width)
			}
		}
	}
}
