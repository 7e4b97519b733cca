package cells

import (
	"strings"
	"time"
)

// Bar draws a span of a total in n cells, to an eighth of a cell. What is shorter than that
// is drawn as one.
func Bar(after, took, total time.Duration, n int) string {
	if total <= 0 || n <= 0 {
		return ""
	}
	eighths := func(d time.Duration) int { return int(int64(d) * int64(8*n) / int64(total)) }
	start := min(eighths(after)/8, n-1)
	length := min(max(eighths(took), 1), 8*(n-start))
	partial := [...]string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}
	return strings.Repeat(" ", start) + strings.Repeat("█", length/8) + partial[length%8]
}
