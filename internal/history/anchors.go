package history

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/filter"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/rs/zerolog"
)

// MaxAnchors is how many are compared: a hundred years of one each hour.
const MaxAnchors = 1_000_000

// AnchorLine gives the message of a line. In the JSON of journalctl, what journald found
// out itself of who wrote it begins with _: there an anchor counts only if it is from
// root's kmodtrace.
func AnchorLine(line string) (string, error) {
	if !strings.HasPrefix(line, "{") {
		return line, nil
	}
	var entry struct {
		Message json.RawMessage `json:"MESSAGE"`
		UID     string          `json:"_UID"`
		Unit    string          `json:"_SYSTEMD_UNIT"`
		Comm    string          `json:"_COMM"`
	}
	if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Message == nil {
		return line, nil // JSON of another program
	}
	text := messageText(entry.Message)
	switch {
	case !LooksLikeAnchor(text):
		return "", nil
	case entry.UID != "0":
		return "", fmt.Errorf("an anchor that user %s wrote, not root", orUnknownText(entry.UID))
	case entry.Unit != serviceUnit && entry.Comm != "kmodtrace":
		return "", fmt.Errorf("an anchor that %s wrote, not kmodtrace", orUnknownText(cells.Short(strings.Join(render.NonEmpty(entry.Comm, entry.Unit), " of "))))
	}
	return text, nil
}

// serviceUnit is that of the package.
const serviceUnit = "kmodtrace.service"

func orUnknownText(s string) string {
	if s == "" {
		return "nobody knows who"
	}
	return s
}

// messageText is a message of journalctl's JSON: a list of bytes where it is not UTF-8.
func messageText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var list []uint16
	if json.Unmarshal(raw, &list) != nil {
		return ""
	}
	bytes := make([]byte, len(list))
	for i, b := range list {
		bytes[i] = byte(b)
	}
	return string(bytes)
}

// LooksLikeAnchor tells lines apart in which other programs also say journal=. One whose
// end was cut off still looks like an anchor.
func LooksLikeAnchor(line string) bool {
	_, rest, found := strings.Cut(line, "journal=")
	return found && strings.Contains(rest, " records=")
}

// ParseAnchors reads the anchors of a command line.
func ParseAnchors(texts []string) ([]journal.Anchor, error) {
	return filter.ParseAll(texts, func(text string) (journal.Anchor, error) {
		a, err := journal.ParseAnchor(text)
		if err != nil {
			return a, cli.Usagef("--anchor: %w", err)
		}
		return a, nil
	})
}

// ReadAnchors reads those in a log, which is a file, or - for stdin; "" has none. What only looks
// like an anchor is said and passed over: anybody can write to a log, and nobody is to keep others
// from verifying by that.
func ReadAnchors(ctx context.Context, name string, stdin io.Reader) (anchors []journal.Anchor, err error) {
	switch name {
	case "":
		return nil, nil
	case "-":
	default:
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("anchors: %w", err)
		}
		defer f.Close()
		stdin = f
	}
	lines := bufio.NewScanner(stdin)
	lines.Buffer(nil, 1<<20)
	known := map[journal.Anchor]bool{}
	for n := 1; lines.Scan(); n++ {
		text, err := AnchorLine(lines.Text())
		if err == nil && !LooksLikeAnchor(text) {
			continue // of a log, most lines are about something else
		}
		var a journal.Anchor
		if err == nil {
			a, err = journal.ParseAnchor(text)
		}
		if err != nil {
			zerolog.Ctx(ctx).Warn().Msgf("%s, line %d is left out: %v", cells.Short(name), n, cells.OneLine(err))
			continue
		}
		if known[a] {
			continue
		}
		if len(anchors) == MaxAnchors {
			return nil, fmt.Errorf("more than %d anchors in %s: give those of this journal", MaxAnchors, cells.Short(name))
		}
		known[a], anchors = true, append(anchors, a)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("anchors: %w", err)
	}
	if len(anchors) == 0 {
		return nil, fmt.Errorf("no anchor in %s: the service writes lines with journal=", cells.Short(name))
	}
	return anchors, nil
}

// AnchorJSON is an anchor as JSON.
type AnchorJSON struct {
	Journal string      `json:"journal"`
	Records int64       `json:"records"`
	Hash    journal.Sum `json:"hash"`
	Time    time.Time   `json:"time"`
	Text    string      `json:"text"` // what --anchor takes
}

// NewAnchorJSON gives an anchor as JSON has it.
func NewAnchorJSON(a journal.Anchor) AnchorJSON {
	return AnchorJSON{a.Journal, a.Count, a.Hash, a.Time.UTC().Truncate(time.Second), a.String()}
}
