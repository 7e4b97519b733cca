package attach

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseKprobeProfile(t *testing.T) {
	got := parseKprobeProfile(strings.NewReader("  do_init_module    12   3\nx 1 2\nx 1 5\nodd line\na b c\n"))
	if diff := cmp.Diff(map[string][]uint64{"do_init_module": {3}, "x": {2, 5}}, got); diff != "" {
		t.Error(diff)
	}
}
