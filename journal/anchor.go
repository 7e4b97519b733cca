package journal

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Anchor tells how a journal ended at some time. Kept elsewhere, it finds a chain that
// was made anew or cut.
type Anchor struct {
	Journal string // its name
	Count   int64  // how many records were ever appended: the number of the last
	Hash    Sum    // of the last
	Time    time.Time
}

// String gives the anchor as one line for a log, which [ParseAnchor] reads.
func (a Anchor) String() string {
	return fmt.Sprintf("journal=%s records=%d hash=%s time=%s", a.Journal, a.Count, a.Hash, a.Time.UTC().Format(time.RFC3339))
}

// ParseAnchor finds an anchor in a line of a log; what is before and after it does not
// matter.
func ParseAnchor(line string) (Anchor, error) {
	var a Anchor
	var hash, at string
	start := strings.Index(line, "journal=")
	if start < 0 {
		return a, fmt.Errorf("no anchor in %.80q", line)
	}
	if _, err := fmt.Sscanf(line[start:], "journal=%s records=%d hash=%s time=%s", &a.Journal, &a.Count, &hash, &at); err != nil {
		return a, fmt.Errorf("an anchor in %.80q: %w", line, err)
	}
	if err := a.Hash.UnmarshalText([]byte(hash)); err != nil {
		return a, fmt.Errorf("an anchor in %.80q: %w", line, err)
	}
	var err error
	if a.Time, err = time.Parse(time.RFC3339, at); err != nil {
		return a, fmt.Errorf("an anchor in %.80q: %w", line, err)
	}
	return a, nil
}

// Anchor tells how the journal ends now, by what the file says.
func (r *Reader) Anchor(ctx context.Context, now time.Time) (Anchor, error) {
	head, err := readHead(ctx, r.db)
	return Anchor{Journal: r.name, Count: head.seq, Hash: head.hash, Time: now}, r.settled("ask", err)
}

// Anchor tells how the journal ends now, by what was appended, whatever the file says
// meanwhile.
func (j *Journal) Anchor(_ context.Context, now time.Time) (Anchor, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Anchor{Journal: j.name, Count: j.head.seq, Hash: j.head.hash, Time: now}, nil
}
