// Package journal keeps the audit record: what was done with kernel modules, and when
// nobody watched. It survives crashes, answers questions, and shows tampering.
//
//	j, err := journal.Open("/var/lib/kmodtrace/journal.db", nil)
//	…
//	_, err = j.Append(ctx, journal.Record{ID: "9f2c-4121", Time: time.Now(), Boot: boot,
//		Kind: journal.KindAction, Module: "hello", Action: "load", Outcome: "live", Body: json})
//
// A [Journal] is the one writer of a file. A [Reader] asks questions of it, beside the
// writer or of a copy. A copy of a journal that is being written consists of the file
// and the one beside it that ends in -wal: what is newest is only there.
//
// # What is kept how
//
// The file is an SQLite database with a write-ahead log. [Journal.Append] returns when
// the records are on the disk. After a crash or a power cut the next [Open] finds all
// that was acknowledged, and perhaps the last that was not.
//
// Version 1 of the schema is read as it is, and migrated by Open: its records keep their
// hashes, which have neither class nor form.
//
// # The chain
//
// Each record carries the SHA-256 hash of all its columns, among them its number and
// the hash of the record before it. Processes that several bodies have are stored once,
// by their SHA-256, which stands in the bodies in their place. The last number and hash are kept apart. So a
// record that was changed, removed, moved or inserted does not fit its neighbours, and
// [Reader.Verify] says which one it is.
//
// The chain has no secret. Who may write the file may also compute all hashes anew
// from some record on, or cut off its end and fix what is kept apart. That is found
// by an [Anchor]: the number of records, the last hash and the time, which the service
// writes to the system log now and then, where others keep it. What an anchor covers
// cannot be rewritten any more; what came after the last anchor can be. Nor does it
// help against records that were forged before they were appended.
//
// A write-ahead log that is removed or damaged after a crash takes the newest records
// with it, without a trace in the file. Only anchors tell that too.
//
// # Retention
//
// [Journal.Retain] removes the oldest records, and where there is no room those first
// that matter least ([Class]), from between others. A record in the chain says up to which
// number and hash it removed all, or which runs of records it removed and the hashes
// around each; so what is left can be verified, and what else is missing is found. It also
// keeps what later answers need: which modules were loaded at that point and by whom, and
// a hash over when each module, file and content was seen first.
//
// [Journal.SetRoom] and [Journal.Due] let the appender keep the file as small as it may be
// while records come fast.
//
// # Time
//
// Records stand in the order in which they were appended. Their times are the wall
// clock's, and may go back: because the clock was set, or because what took long was
// recorded late.
package journal
