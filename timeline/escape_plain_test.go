//go:build !race

package timeline

import (
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/record"
)

// FuzzEscape: whatever a stranger wrote, the picture is well-formed, has no elements but
// its own, refers to nothing, and steers no terminal.
func FuzzEscape(f *testing.F) {
	for _, text := range hostile() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := hostilePicture(text)
		drawn := forms(t, p)
		checkMarkup(t, drawn["svg"])
		checkMarkup(t, drawn["html"])
		for _, width := range []int{1, 7, 40, 80, 200} {
			checkText(t, plainText(p, &TextOptions{Columns: width}), width, false)
			checkText(t, plainText(p, &TextOptions{Columns: width, ASCII: true}), width, true)
		}
	})
}

// TestFlood: a module that prints without end, and a record in which one message has no end,
// give pictures of a size that somebody can look at, and a page that has all of it.
func TestFlood(t *testing.T) {
	const many = 100_000
	for name, message := range map[string]struct {
		text  string
		times int
		page  int // that often it is in the page
	}{
		"many messages": {"flood\x1b[2J<script>\xff", many, many},
		"many lines":    {strings.Repeat("flood\n", many), 1, many},
		"a long line":   {strings.Repeat("flood ", many), 1, many},
	} {
		p := readPicture(t, "testdata/records/hello.json", func(a *record.Record) {
			a.Messages, a.MessageTimes = nil, nil
			for i := range message.times {
				a.Messages = append(a.Messages, message.text)
				a.MessageTimes = append(a.MessageTimes, time.Duration(i))
			}
		})
		drawn := forms(t, p)
		checkMarkup(t, drawn["svg"])
		if n := strings.Count(drawn["html"], "flood"); n != message.page {
			t.Errorf("%s: %d of them in the page", name, n)
		}
		for _, form := range []string{"svg", "80.txt", "200.txt", "ascii.txt"} {
			if len(drawn[form]) > 64<<10 {
				t.Errorf("%s: %s has %d bytes", name, form, len(drawn[form]))
			}
		}
		for _, width := range []int{1, 20, 80, 200} {
			checkText(t, plainText(p, &TextOptions{Columns: width}), width, false)
		}
	}
}
