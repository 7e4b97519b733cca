package fleet

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // which sorts more than fits into memory

	"github.com/kmodtrace/kmodtrace/journal"
)

// spool sorts what a verification needs of each record, in a temporary file.
type spool struct {
	dir  string
	db   *sql.DB
	conn *sql.Conn
	add  *sql.Stmt
}

// item is what is kept of a record.
type item struct {
	journal, boot, hostID, hostName, kernel string
	seq                                     int64
	hash, prev                              journal.Sum
	at                                      time.Time
	kind                                    journal.Kind
	changed                                 string
	unproven                                bool
}

const spoolSchema = `PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE; PRAGMA cache_size = -16000;
CREATE TABLE item (journal TEXT, seq INTEGER, hash BLOB, prev BLOB, boot TEXT, time INTEGER, kind TEXT, id TEXT, name TEXT, kernel TEXT, changed TEXT, unproven INTEGER) STRICT`

func newSpool(ctx context.Context) (s *spool, err error) {
	s = new(spool)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "kmodtrace-fleet-"); err != nil {
		return s, err
	}
	if s.db, err = sql.Open("sqlite", "file:"+filepath.Join(s.dir, "spool.db")); err != nil {
		return s, err
	}
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return s, err
	}
	if _, err = s.conn.ExecContext(ctx, spoolSchema); err != nil {
		return s, err
	}
	if _, err = s.conn.ExecContext(ctx, "BEGIN"); err != nil {
		return s, err
	}
	s.add, err = s.conn.PrepareContext(ctx, "INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
	return s, err
}

// close removes the file.
func (s *spool) close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
	if s.db != nil {
		_ = s.db.Close()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

func (s *spool) put(ctx context.Context, r *Record) error {
	unproven := 0
	if r.Unproven {
		unproven = 1
	}
	_, err := s.add.ExecContext(ctx, r.Journal, r.Seq, r.Hash[:], r.Prev[:], r.Boot, r.Time.UnixNano(), string(r.Kind),
		r.Host.ID, r.Host.Name, r.Host.Kernel, r.Changed, unproven)
	if err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	return nil
}

// each calls fn for the items by journal and number.
func (s *spool) each(ctx context.Context, fn func(*item)) error {
	rows, err := s.conn.QueryContext(ctx, "SELECT journal, seq, hash, prev, boot, time, kind, id, name, kernel, changed, unproven FROM item ORDER BY journal, seq, hash")
	if err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var i item
		var hash, prev []byte
		var ns int64
		if err := rows.Scan(&i.journal, &i.seq, &hash, &prev, &i.boot, &ns, &i.kind, &i.hostID, &i.hostName, &i.kernel, &i.changed, &i.unproven); err != nil {
			return fmt.Errorf("temporary file: %w", err)
		}
		copy(i.hash[:], hash)
		copy(i.prev[:], prev)
		i.at = time.Unix(0, ns)
		fn(&i)
	}
	return rows.Err()
}
