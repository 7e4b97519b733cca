package cells

import "testing"

func TestLine(t *testing.T) {
	row := Line{}.Cell(Strong, "hello", 8).CellRight(Plain, "12", 4).Add(Dim, "a\x1bb  ")
	for _, test := range []struct {
		n    int
		dots string
		want string
	}{
		{80, "…", `hello       12  a\x1bb`},
		{21, "…", `hello       12  a\x1…`},
		{14, "…", "hello       1…"},
		{7, "...", "hell..."},
		{6, "…", "hello…"},
		{1, "…", "…"},
		{1, "...", "."},
		{0, "…", ""},
	} {
		if got := row.Fit(test.n, test.dots); got.String() != test.want {
			t.Errorf("%d: %q, want %q", test.n, got, test.want)
		}
	}
	if got := row.String(); got != `hello       12  a\x1bb  ` {
		t.Errorf("fitting changed the line: %q", got)
	}
	if got := (Line{}).Cell(Good, "too long", 3); got[0] != (Piece{Good, "to…"}) || len(got) != 2 {
		t.Errorf("%+v", got)
	}
}
