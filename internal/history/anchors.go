package history

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/render"
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
