package journal

import (
	"encoding/json"
	"time"
	"unicode/utf8"
)

// Chained is all that a record's hash is over, but for the body: what goes with a record to
// another machine, so that its far end can verify it ([Chained.Record], [Record.Intact]).
type Chained struct {
	Journal string `json:"journal"` // its name
	Seq     int64  `json:"seq"`
	Prev    Sum    `json:"prev"`
	Hash    Sum    `json:"hash"`
	// Time is in nanoseconds since 1970: stores keep times less fine.
	Time  int64 `json:"time,string"`
	Class Class `json:"class,omitempty"`

	ID        Exact   `json:"id"`
	Boot      Exact   `json:"boot"`
	Kind      Exact   `json:"kind"`
	Module    Exact   `json:"module,omitempty"`
	Action    Exact   `json:"action,omitempty"`
	Outcome   Exact   `json:"outcome,omitempty"`
	Cause     Exact   `json:"cause,omitempty"`
	User      Exact   `json:"user,omitempty"`
	Container Exact   `json:"container,omitempty"`
	File      Exact   `json:"file,omitempty"`
	Content   Exact   `json:"content,omitempty"`
	UID       *uint32 `json:"uid,omitempty"`
	Count     int64   `json:"count,omitempty"`

	// Body is that of the record where the document that it goes with does not have it byte for
	// byte: it is not JSON, not UTF-8, or of an earlier release.
	Body []byte `json:"body,omitempty"`
}

// Exact is a text that JSON keeps byte for byte: one that is not UTF-8 is an object with it in
// base64.
type Exact string

type exactBytes struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON gives a string, or an object.
func (e Exact) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(e)) {
		return json.Marshal(string(e))
	}
	return json.Marshal(exactBytes{[]byte(e)})
}

// UnmarshalJSON reads what MarshalJSON gives.
func (e *Exact) UnmarshalJSON(text []byte) error {
	if len(text) == 0 || text[0] != '{' {
		return json.Unmarshal(text, (*string)(e))
	}
	var b exactBytes
	err := json.Unmarshal(text, &b)
	*e = Exact(b.Base64)
	return err
}

// Chained gives what its hash is over, but for the body. The journal is the one that it is of.
func (r *Record) Chained(journal string) Chained {
	return Chained{
		Journal: journal, Seq: r.Seq, Prev: r.Prev, Hash: r.Hash, Time: r.Time.UnixNano(), Class: r.Class,
		ID: Exact(r.ID), Boot: Exact(r.Boot), Kind: Exact(r.Kind), Module: Exact(r.Module), Action: Exact(r.Action),
		Outcome: Exact(r.Outcome), Cause: Exact(r.Cause), User: Exact(r.User), Container: Exact(r.Container),
		File: Exact(r.File), Content: Exact(r.Content), UID: r.UID, Count: r.Count,
	}
}

// Record gives the record that it is of. The body is the one that went with it, unless it has
// its own.
func (c *Chained) Record(body []byte) Record {
	if c.Body != nil {
		body = c.Body
	}
	return Record{
		Seq: c.Seq, Prev: c.Prev, Hash: c.Hash, Time: time.Unix(0, c.Time), Class: c.Class,
		ID: string(c.ID), Boot: string(c.Boot), Kind: Kind(c.Kind), Module: string(c.Module), Action: string(c.Action),
		Outcome: string(c.Outcome), Cause: string(c.Cause), User: string(c.User), Container: string(c.Container),
		File: string(c.File), Content: string(c.Content), UID: c.UID, Count: c.Count, Body: body,
	}
}

// Intact tells whether a record is as it was written to a journal of that name, as far as it
// can tell of itself: it has the hash that it was written with. An error is [ErrChanged].
// Whether it follows the one before it, the hash of that one tells, which is its Prev.
func (r *Record) Intact(journal string) error {
	k := kept{Record: *r, form: formPlain}
	if k.sum(journal) == r.Hash {
		return nil
	}
	// Append took out of most bodies what others have too, and the hash is of what is left,
	// with the hashes of what was taken.
	if p := pack(r.Body); p != nil && r.Kind != KindRetention && r.Kind != KindThinned {
		k.Body, k.form = p.data, formPacked
		if k.sum(journal) == r.Hash {
			return nil
		}
	}
	return changed("record %d is not as it was written: its hash is not that of what it says", r.Seq)
}

// Link is what the chain says of one record: its number and its hash.
type Link struct {
	Seq  int64
	Hash Sum
	Time time.Time
}
