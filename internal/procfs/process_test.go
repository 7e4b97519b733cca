package procfs

import (
	"strings"
	"testing"
	"time"
)

func TestStartedAt(t *testing.T) {
	stat := "7 (a) b) S 1 " + strings.Repeat("0 ", 17) + "123 0 0"
	for start, want := range map[time.Duration]bool{
		1230 * time.Millisecond: true, 1239 * time.Millisecond: true, 1240 * time.Millisecond: false, 1229 * time.Millisecond: false, 0: false,
	} {
		if got := StartedAt(stat, start); got != want {
			t.Errorf("%v: %v", start, got)
		}
	}
	for _, bad := range []string{"", "7 (x", "7 (x) S", ")" + strings.Repeat(" x", 30), ")" + strings.Repeat(" -1", 30), ")" + strings.Repeat(" 9223372036854775807", 30)} {
		if start, ok := Started(bad); ok || StartedAt(bad, 0) {
			t.Errorf("%q is taken for one that began at %v", bad, start)
		}
	}
}
