package journal

import (
	"database/sql"
	"testing"
)

// forger writes to a journal's file as it likes.
type forger struct{ *sql.DB }

func forgery(t testing.TB, path string) forger {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_sync=OFF")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	return forger{db}
}

// insert puts a record at the end, with the hash that it must have.
func (f forger) insert(t testing.TB, k *kept) {
	t.Helper()
	conn, err := f.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	name, err := readName(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	head, err := readHead(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	k.Prev = head.hash
	k.Hash = k.sum(name)
	in, err := prepareInsertion(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	if err := in.record(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "UPDATE head SET seq = ?, hash = ?", k.Seq, k.Hash[:]); err != nil {
		t.Fatal(err)
	}
}
