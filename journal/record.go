package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"
)

// Kind says what a record is.
type Kind string

// The kinds of records. All but the first seven are gaps: they tell what the journal
// does not show, and why.
const (
	// KindAction: an attempt to load, unload or request a module.
	KindAction Kind = "action"
	// KindPending: an attempt that had not ended when this was recorded, because it lasts. When
	// it has, a KindAction follows, whose ID is this one without [PendingSuffix]; where there is
	// none, the machine or the watching ended before. [Filter.Final] leaves out what has ended.
	KindPending Kind = "pending"
	// KindInventory: all modules that are loaded were looked at. Count of them follow,
	// each a KindPresent. [Journal.AppendInventory] writes both.
	KindInventory Kind = "inventory"
	// KindPresent: an inventory found this module.
	KindPresent Kind = "present"
	// KindFolded: Count attempts of one user are told in this record, and not one by one.
	KindFolded Kind = "folded"
	// KindFinding: a rule found something in an action, or a check in the running kernel. Its Cause is
	// the rule's id and its Outcome the severity; module, user and so on are those of the action.
	KindFinding Kind = "finding"
	// KindDiscarded: Count copies of modules' files were removed, because there was no room for more.
	KindDiscarded Kind = "discarded"

	// KindStarted: the watching began. What was before is not known from here.
	KindStarted Kind = "started"
	// KindStopped: the watching ended as it was meant to. One that was killed leaves none.
	KindStopped Kind = "stopped"
	// KindLost: Count events were lost.
	KindLost Kind = "lost"
	// KindLate: the watching began after modules had been loaded, or a part of it did.
	KindLate Kind = "late"
	// KindClock: the wall clock was set. Time is the new time.
	KindClock Kind = "clock"
	// KindCorrupt: a damaged journal was set aside and this one took its place, or Count
	// problems were found in this one.
	KindCorrupt Kind = "corrupt"
	// KindRetention: Count of the oldest records were removed by [Journal.Retain].
	KindRetention Kind = "retention"
	// KindThinned: Count records that matter less than those around them were removed by
	// [Journal.Retain].
	KindThinned Kind = "thinned"
	// KindAppeared: the module is loaded, and nobody was seen to load it.
	KindAppeared Kind = "appeared"
	// KindVanished: the module was loaded and is not any more, and nobody was seen to
	// unload it.
	KindVanished Kind = "vanished"
	// KindBlind: what the watching needs in the kernel was switched off or taken away.
	KindBlind Kind = "blind"
)

// Kinds gives all kinds, in the order in which they are explained.
func Kinds() []Kind {
	return []Kind{
		KindAction, KindPending, KindInventory, KindPresent, KindFolded, KindFinding, KindDiscarded, KindStarted, KindStopped, KindLost, KindLate, KindClock,
		KindCorrupt, KindRetention, KindThinned, KindAppeared, KindVanished, KindBlind,
	}
}

// Gap tells whether a record of this kind tells what is not known.
func (k Kind) Gap() bool {
	return !k.ofAction() && k != KindInventory && k != KindPresent && k != KindFolded && k != KindFinding && k != KindDiscarded
}

// ofAction tells whether the body of such a record tells of an action.
func (k Kind) ofAction() bool { return k == KindAction || k == KindPending }

// PendingSuffix ends the ID of a [KindPending].
const PendingSuffix = "-pending"

// Class says how soon retention takes a record when there is no room: all that are minor
// before any that is normal, and those before any that is kept.
type Class int

// The classes.
const (
	// ClassDefault lets Append choose: minor for what is folded, normal for what failed and
	// for requests, kept for all else.
	ClassDefault Class = iota
	// ClassMinor: refusals and requests of callers who may not load a module. What they
	// name does not count as seen.
	ClassMinor
	// ClassNormal: what changed nothing.
	ClassNormal
	// ClassKept: what changed which modules are loaded, inventories and gaps. Append makes
	// what says which modules are loaded kept, whatever it was given.
	ClassKept
)

// The words that the journal itself understands, in [Record.Action] and
// [Record.Outcome]. Others are kept as they are.
const (
	Load    = "load"
	Unload  = "unload"
	Request = "request"

	Live     = "live"     // the outcome of a load that put a module into the kernel
	Unloaded = "unloaded" // the outcome of an unload that took it out
	Pending  = "pending"  // its end was not seen
)

// Limits of what one record may hold, in bytes.
const (
	// MaxBody is the limit of a body as it is read, and as it is given where Append does not
	// shorten it.
	MaxBody = 4 << 20
	// MaxStored is how much the body of an action may take, with the parts that other
	// bodies may have too; MaxMinor that of a minor record. Append shortens what is longer,
	// a JSON object, by its long lists and the texts in them, then by its other texts, and
	// sets "cut" in it.
	MaxStored = 256 << 10
	MaxMinor  = 64 << 10
	MaxText   = 64 << 10 // of each of the other columns
)

// Sum is a SHA-256 hash.
type Sum [sha256.Size]byte

// String gives it in hexadecimal.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// MarshalText gives what String gives.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what String gives.
func (s *Sum) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(s) {
		return fmt.Errorf("a hash has %d hexadecimal digits, not %d", hex.EncodedLen(len(s)), len(text))
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// Record is one entry of a journal. Text that is not known is empty.
type Record struct {
	// Seq is the number in the chain: 1 and on, without holes. Append gives it.
	Seq int64
	// ID is the caller's name for it, which no other record has.
	ID string
	// Time is when it happened by the wall clock, as fine as nanoseconds. Years before
	// 1678 and after 2261 cannot be kept.
	Time time.Time
	// Boot names the run of the kernel: /proc/sys/kernel/random/boot_id.
	Boot string
	Kind Kind

	// What questions filter by.

	Module    string
	Action    string // load, unload or request
	Outcome   string
	Cause     string // the code
	User      string // who logged in, by name or number
	Container string
	File      string  // the path that the module was loaded from
	Content   string  // a hash of the file or its build ID
	UID       *uint32 // of the process; nil: not known
	// Count is of what the kind says: events lost, modules found, records removed.
	Count int64

	// Class says how soon retention may take it.
	Class Class

	// Body is the caller's document. It comes back byte for byte, but for what Append had
	// to shorten. Processes that several JSON bodies have are stored once.
	Body []byte

	// Prev is the hash of the record before it, zero for the first; Hash its own, over
	// all of the above. Append gives both.
	Prev, Hash Sum
}

// texts gives the text columns, in the order of the table.
func (r *Record) texts() [11]*string {
	return [...]*string{&r.ID, &r.Boot, (*string)(&r.Kind), &r.Module, &r.Action, &r.Outcome,
		&r.Cause, &r.User, &r.Container, &r.File, &r.Content}
}

// check tells why a record cannot be kept.
func (r *Record) check() error {
	switch {
	case r.ID == "":
		return errors.New("a record without id")
	case r.Kind == "":
		return fmt.Errorf("record %.64q has no kind", r.ID)
	case r.Class < ClassDefault || r.Class > ClassKept:
		return fmt.Errorf("record %.64q: there is no class %d", r.ID, r.Class)
	case !storable(r.Time):
		return fmt.Errorf("record %.64q: its time cannot be kept: %v", r.ID, r.Time)
	case len(r.Body) > MaxBody && !r.shortens():
		return fmt.Errorf("%w: record %.64q has a body of %d bytes; %d can be kept", ErrTooLarge, r.ID, len(r.Body), MaxBody)
	}
	for _, t := range r.texts() {
		if len(*t) > MaxText {
			return fmt.Errorf("%w: record %.64q has a column of %d bytes; %d can be kept", ErrTooLarge, r.ID, len(*t), MaxText)
		}
	}
	return nil
}

// storable tells whether a time has a number of nanoseconds.
func storable(t time.Time) bool {
	return !t.Before(time.Unix(0, math.MinInt64)) && !t.After(time.Unix(0, math.MaxInt64))
}

// class gives the one that a record gets.
func (r *Record) class() Class {
	switch {
	case r.Kind == KindFinding && r.Class != ClassDefault:
		return r.Class
	case !r.Kind.ofAction() && r.Kind != KindFolded, r.changes(), r.Kind == KindAction && r.Outcome == Pending && r.Action != Request:
		return ClassKept
	case r.Class != ClassDefault:
		return r.Class
	case r.Kind == KindFolded:
		return ClassMinor
	}
	return ClassNormal
}

// changes tells whether an action changed which modules are loaded.
func (r *Record) changes() bool {
	return r.Kind == KindAction && (r.Outcome == Live || r.Outcome == Unloaded)
}

// kept is a record as it is in the file: the Body is what is stored there.
type kept struct {
	Record
	form int64
}

// sum computes the hash of a record of a journal. Each text is preceded by its length
// and each number has eight bytes, so no two records have the same bytes. Version 1 had
// neither class nor form.
func (k *kept) sum(journal string) Sum {
	b := make([]byte, 0, 512)
	number := func(n int64) { b = binary.BigEndian.AppendUint64(b, uint64(n)) }
	text := func(s string) { number(int64(len(s))); b = append(b, s...) }
	if k.Class == ClassDefault {
		text("kmodtrace journal record 1")
	} else {
		text("kmodtrace journal record 2")
	}
	text(journal)
	number(k.Seq)
	number(k.Time.UnixNano())
	for _, t := range k.texts() {
		text(*t)
	}
	if k.UID == nil {
		number(-1)
	} else {
		number(int64(*k.UID))
	}
	number(k.Count)
	b = append(b, k.Prev[:]...)
	if k.Class != ClassDefault {
		number(int64(k.Class))
		number(k.form)
	}
	number(int64(len(k.Body)))

	h := sha256.New()
	h.Write(b)
	h.Write(k.Body)
	return Sum(h.Sum(nil))
}

// intact tells whether a record is as it was written to a journal, as far as it can tell
// of itself.
func (k *kept) intact(journal string) error {
	if k.sum(journal) != k.Hash {
		return changed("record %d is not as it was written", k.Seq)
	}
	return nil
}
