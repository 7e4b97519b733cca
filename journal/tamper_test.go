package journal

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// tampering is one way to change a journal by SQL. It gives the numbers of the records
// that the report must name, if that can be said.
type tampering struct {
	name string
	do   func(c *crime) []int64
}

// crime is one tampering on its way.
type crime struct {
	t       *testing.T
	random  *rand.Rand
	db      *sql.DB
	name    string // the journal's
	records []kept // as they are in it
}

// inFile gives the records as they are in the file.
func inFile(t testing.TB, r *Reader) (records []kept) {
	t.Helper()
	err := r.inOneView(t.Context(), func(q querier) error {
		return each(t.Context(), q, "SELECT "+columns+" FROM record ORDER BY seq", nil, func(rows *sql.Rows) (bool, error) {
			var k kept
			err := k.scan(rows)
			records = append(records, k)
			return true, err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// forged is a record that was never appended.
func forged(seq int64, prev Sum) kept {
	k, _, err := new(Record).store()
	if err != nil {
		panic(err)
	}
	k.Record = load(5000, "inserted")
	k.Class, k.Seq, k.Prev = ClassKept, seq, prev
	return *k
}

func (c *crime) exec(statement string, args ...any) {
	c.t.Helper()
	if _, err := c.db.Exec(statement, args...); err != nil {
		c.t.Fatalf("%s: %v", statement, err)
	}
}

// any1 chooses a record.
func (c *crime) any1() *kept { return &c.records[c.random.IntN(len(c.records))] }

// middle chooses one that has neighbours.
func (c *crime) middle() int { return 1 + c.random.IntN(len(c.records)-2) }

// chain computes the numbers and hashes anew, from an index on. Holes stay as long as they
// were.
func (c *crime) chain(from int) {
	last := c.records[max(from-1, 0)].Seq
	for i := from; i < len(c.records); i++ {
		r := &c.records[i]
		long := r.Seq - last
		last = r.Seq
		if i > from && long > 1 {
			r.Seq = c.records[i-1].Seq + long
		} else if i > 0 {
			r.Seq, r.Prev = c.records[i-1].Seq+1, c.records[i-1].Hash
		}
		r.Hash = r.sum(c.name)
	}
}

// rehash computes the hashes anew, from an index on; holes stay where they are.
func (c *crime) rehash(from int) {
	for i := from; i < len(c.records); i++ {
		r := &c.records[i]
		if i > from && r.Seq == c.records[i-1].Seq+1 {
			r.Prev = c.records[i-1].Hash
		}
		r.Hash = r.sum(c.name)
	}
}

// store puts all records in the place of what is there, with all that is kept about them,
// as a program would that knows this package.
func (c *crime) store(head bool) {
	c.exec("BEGIN; DELETE FROM record; DELETE FROM span")
	defer c.exec("COMMIT")
	conn, err := c.db.Conn(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	in, err := prepareInsertion(c.t.Context(), conn)
	if err != nil {
		c.t.Fatal(err)
	}
	defer in.close()
	for i := range c.records {
		if err := in.record(c.t.Context(), &c.records[i]); err != nil {
			c.t.Fatal(err)
		}
	}
	if last := c.records[len(c.records)-1]; head {
		if _, err := conn.ExecContext(c.t.Context(), "UPDATE head SET seq = ?, hash = ?", last.Seq, last.Hash[:]); err != nil {
			c.t.Fatal(err)
		}
	}
}

// tamperings are what somebody with SQL may try.
func tamperings() []tampering {
	return []tampering{
		{"change a text", func(c *crime) []int64 {
			column := strings.Split("id boot kind module action outcome cause user container file content", " ")[c.random.IntN(11)]
			return c.update(column+" = "+column+" || 'x'", column+" = "+column+" || ' '", column+" = "+column+" || char(0)")
		}},
		{"change a number", func(c *crime) []int64 { return c.update(numberChanges()...) }},
		{"change bytes", func(c *crime) []int64 {
			return c.update("body = CAST(body || ' ' AS BLOB)", "body = CAST('{}' AS BLOB)", "hash = zeroblob(32)", "prev = hash", "hash = x''", "prev = randomblob(32)", "hash = randomblob(33)")
		}},
		{"change what is shared", func(c *crime) []int64 {
			k := c.packed()
			if k == nil {
				return c.change()
			}
			sums, err := partsOf(k.Body)
			if err != nil {
				c.t.Fatal(err)
			}
			sum := sums[c.random.IntN(len(sums))]
			c.exec(c.pick("DELETE FROM shared WHERE sum = ?", "UPDATE shared SET value = zeroblob(length(value)) WHERE sum = ?", "UPDATE shared SET value = CAST(value || x'00' AS BLOB) WHERE sum = ?",
				"UPDATE shared SET value = zeroblob(20000000) WHERE sum = ?", "UPDATE shared SET sum = zeroblob(32) WHERE sum = ?",
				"UPDATE shared SET value = (SELECT value FROM shared WHERE sum <> ?1 LIMIT 1) WHERE sum = ?1"), sum[:])
			return []int64{k.Seq}
		}},
		{"change how much is shared", func(c *crime) []int64 {
			if c.packed() == nil {
				return c.change()
			}
			c.exec(c.pick("UPDATE shared SET refs = refs + 1", "UPDATE shared SET refs = 0", "UPDATE shared SET refs = -1 WHERE rowid = (SELECT min(rowid) FROM shared)",
				"INSERT INTO shared VALUES (zeroblob(32), 1, x'')", "INSERT INTO shared VALUES (zeroblob(7), 1, x'')"))
			return nil
		}},
		{"put back what retention removed", func(c *crime) []int64 {
			i := c.behindHole()
			if i < 0 {
				return c.change()
			}
			// As it may have been, by the hash that is known of it.
			r := forged(c.records[i].Seq-1, c.records[i-1].Hash)
			r.Hash = c.records[i].Prev
			if c.random.IntN(2) == 0 {
				r.Hash = r.sum(c.name)
			}
			c.records = slices.Insert(c.records, i, r)
			c.store(true)
			return []int64{r.Seq}
		}},
		{"widen a hole", func(c *crime) []int64 {
			i := c.behindHole()
			if i < 0 || i == len(c.records)-1 {
				return c.change()
			}
			i -= c.random.IntN(2)
			seq := c.records[i].Seq
			c.records = slices.Delete(c.records, i, i+1)
			c.store(true)
			return []int64{seq}
		}},
		{"widen a hole and forge what is behind it", func(c *crime) []int64 {
			i := c.behindHole()
			if i < 0 || i >= len(c.records)-2 {
				return c.change()
			}
			seq := c.records[i].Seq
			c.records[i+1].Prev = c.records[i].Prev
			c.records = slices.Delete(c.records, i, i+1)
			c.rehash(i)
			c.store(true)
			return []int64{seq}
		}},
		{"change the record before a hole, and its hash", func(c *crime) []int64 {
			i := c.behindHole()
			if i < 0 {
				return c.change()
			}
			c.records[i-1].User = "mallory"
			c.records[i-1].Hash = c.records[i-1].sum(c.name)
			c.store(true)
			return []int64{c.records[i-1].Seq}
		}},
		{"change the record behind a hole, and what it follows", func(c *crime) []int64 {
			i := c.behindHole()
			if i < 0 {
				return c.change()
			}
			c.records[i].Prev = Sum{1}
			c.records[i].Hash = c.records[i].sum(c.name)
			c.store(true)
			return []int64{c.records[i].Seq}
		}},
		{"a record that says what was thinned", func(c *crime) []int64 {
			i := c.middle()
			seq := c.records[i].Seq
			body := fmt.Sprintf(`{"class":1,"ranges":[{"from":%d,"through":%d,"prev":"%v","hash":"%v"}]}`, seq, seq, c.records[i].Prev, c.records[i].Hash)
			c.exec("DELETE FROM record WHERE seq = ?", seq)
			c.exec("UPDATE record SET kind = 'thinned', body = CAST(? AS BLOB) WHERE seq = ?", body, c.records[len(c.records)-1].Seq)
			return []int64{seq}
		}},
		{"change a record and its hash", func(c *crime) []int64 {
			i := c.middle()
			c.records[i].Module += "x"
			c.records[i].Hash = c.records[i].sum(c.name)
			c.store(true)
			return []int64{c.records[i].Seq}
		}},
		{"change the last record and its hash", func(c *crime) []int64 {
			r := &c.records[len(c.records)-1]
			r.User = "mallory"
			r.Hash = r.sum(c.name)
			c.store(false)
			return []int64{r.Seq}
		}},
		{"forge what is before a record", func(c *crime) []int64 {
			i := c.middle()
			c.records[i].Prev[c.random.IntN(32)]++
			c.records[i].Hash = c.records[i].sum(c.name)
			c.store(true)
			return []int64{c.records[i].Seq}
		}},
		{"delete", func(c *crime) []int64 {
			i := c.middle()
			n := 1 + c.random.IntN(min(10, len(c.records)-1-i))
			c.exec("DELETE FROM record WHERE seq >= ? AND seq < ?", c.records[i].Seq, c.records[i+n].Seq) // holes too
			return []int64{c.records[i].Seq, c.records[i+n-1].Seq}
		}},
		{"delete and close the gap", func(c *crime) []int64 {
			i := c.middle()
			seq := c.records[i].Seq
			c.exec("DELETE FROM record WHERE seq = ?", seq)
			c.exec("UPDATE record SET seq = -seq + 1 WHERE seq > ?", seq)
			c.exec("UPDATE record SET seq = -seq WHERE seq < 0")
			if c.random.IntN(2) == 0 {
				c.exec("UPDATE head SET seq = seq - 1")
			}
			return []int64{seq}
		}},
		{"delete and forge the hashes behind", func(c *crime) []int64 {
			i := c.middle()
			c.records = slices.Delete(c.records, i, i+1)
			c.chain(i)
			c.store(true)
			return nil
		}},
		{"swap", func(c *crime) []int64 {
			a := c.random.IntN(len(c.records))
			b := (a + 1 + c.random.IntN(len(c.records)-1)) % len(c.records)
			x, y := c.records[a].Seq, c.records[b].Seq
			c.exec("UPDATE record SET seq = -1 WHERE seq = ?", x)
			c.exec("UPDATE record SET seq = ? WHERE seq = ?", x, y)
			c.exec("UPDATE record SET seq = ? WHERE seq = -1", y)
			return []int64{x, y}
		}},
		{"insert and make room", func(c *crime) []int64 {
			i := c.middle()
			r := forged(c.records[i].Seq, c.records[i].Prev)
			if c.random.IntN(2) == 0 {
				r.Hash = r.sum(c.name)
			}
			for k := i; k < len(c.records); k++ {
				c.records[k].Seq++
			}
			c.records = slices.Insert(c.records, i, r)
			c.store(c.random.IntN(2) == 0)
			return []int64{r.Seq}
		}},
		{"insert and forge the hashes behind", func(c *crime) []int64 {
			i := c.middle()
			c.records = slices.Insert(c.records, i, forged(c.records[i].Seq, Sum{}))
			c.chain(i)
			c.store(true)
			return nil
		}},
		{"insert at the end", func(c *crime) []int64 {
			last := c.records[len(c.records)-1]
			r := forged(last.Seq+1, last.Hash)
			r.Hash = r.sum(c.name)
			c.records = append(c.records, r)
			c.store(false)
			return []int64{r.Seq}
		}},
		{"insert at the front", func(c *crime) []int64 {
			r := forged(c.records[0].Seq-1-int64(c.random.IntN(3)), Sum{})
			r.Hash = r.sum(c.name)
			c.records = slices.Insert(c.records, 0, r)
			c.store(true)
			return []int64{r.Seq}
		}},
		{"delete at the front", func(c *crime) []int64 {
			n := 1 + c.random.IntN(10)
			c.exec("DELETE FROM record WHERE seq < ?", c.records[n].Seq)
			return []int64{c.records[0].Seq, c.records[n-1].Seq}
		}},
		{"cut the end", func(c *crime) []int64 {
			n := 1 + c.random.IntN(10)
			c.exec("DELETE FROM record WHERE seq > ?", c.records[len(c.records)-1-n].Seq)
			return []int64{c.records[len(c.records)-1].Seq}
		}},
		{"cut the end and fix it", func(c *crime) []int64 {
			last := c.records[len(c.records)-1].Seq
			c.records = c.records[:len(c.records)-1-c.random.IntN(10)]
			c.store(true)
			return []int64{last}
		}},
		{"change and forge the hashes behind", func(c *crime) []int64 {
			i := c.random.IntN(len(c.records))
			c.records[i].User = "mallory"
			c.rehash(i)
			c.store(true)
			for k := i + 1; k < len(c.records); k++ {
				if c.records[k].Seq > c.records[k-1].Seq+1 {
					return []int64{c.records[k-1].Seq} // what was removed there knew another hash
				}
			}
			return []int64{c.records[i].Seq} // as the anchor says
		}},
		{"forge the whole", func(c *crime) []int64 {
			c.records[0].Body, c.records[0].form = []byte("forged"), formPlain
			c.rehash(0)
			c.store(true)
			return nil
		}},
		{"remove all", func(c *crime) []int64 {
			c.exec("DELETE FROM record; DELETE FROM span; DELETE FROM first")
			if c.random.IntN(2) == 0 {
				c.exec("UPDATE head SET seq = 0, hash = zeroblob(32)")
			}
			return nil
		}},
		{"change the end that is kept apart", func(c *crime) []int64 {
			c.exec(c.pick("UPDATE head SET seq = seq + 1", "UPDATE head SET seq = seq - 1", "UPDATE head SET hash = randomblob(32)",
				"UPDATE head SET journal = 'another'", "DELETE FROM head", "UPDATE head SET hash = x'00'"))
			return nil
		}},
		{"change how far an output has come", func(c *crime) []int64 {
			c.exec("INSERT OR REPLACE INTO cursor SELECT 'out', max(seq) + ? FROM record", 1+c.random.Int64N(1<<40))
			if c.random.IntN(2) == 0 {
				c.exec("UPDATE cursor SET seq = ?", -c.random.Int64N(100))
			}
			return nil
		}},
		{"change the times that are kept", func(c *crime) []int64 {
			c.exec(c.pick("UPDATE span SET lo = lo + 1", "UPDATE span SET hi = hi - 1000000000000", "DELETE FROM span", "INSERT INTO span VALUES (77, 1, 2)", "UPDATE span SET block = block + 1"))
			return nil
		}},
		{"change what was seen first", func(c *crime) []int64 {
			c.exec(c.pick("UPDATE first SET seq = seq + 1 WHERE value = ?", "UPDATE first SET time = 0 WHERE value = ?", "UPDATE first SET id = 'x' WHERE value = ?",
				"DELETE FROM first WHERE value = ?", "UPDATE first SET value = 'x' WHERE value = ?", "UPDATE first SET what = 'x' WHERE value = ?",
				"INSERT INTO first VALUES ('module', 'x' || ?, 1, 1, '1')"), c.pick("m3", "ext4", "m16", "/lib/m1.ko", "sha256:1"))
			return nil
		}},
		{"change the tables", func(c *crime) []int64 {
			c.exec(c.pick("CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM record WHERE seq = new.seq; END",
				"CREATE VIEW v AS SELECT 1", "CREATE INDEX i ON record (time)", "DROP INDEX by_module", "DROP INDEX changes; CREATE INDEX changes ON record (module) WHERE 0",
				"ALTER TABLE record RENAME TO hidden; CREATE VIEW record AS SELECT * FROM hidden WHERE module <> 'm3'", "ALTER TABLE record ADD COLUMN more TEXT",
				"DROP TABLE cursor", "PRAGMA application_id = 7", "PRAGMA user_version = 0", "PRAGMA user_version = 9"))
			return nil
		}},
		{"hide a record from an index", func(c *crime) []int64 {
			// The index is made over other records than it says, and given its text back.
			c.exec("DROP INDEX by_module; CREATE INDEX by_module ON record (module) WHERE module <> 'm3'")
			c.exec("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE INDEX by_module   ON record (module)    WHERE module <> ' || quote('') WHERE name = 'by_module'")
			return nil
		}},
		{"a record that says what retention removed", func(c *crime) []int64 {
			n := 1 + c.random.IntN(10)
			c.exec("DELETE FROM record WHERE seq < ?", c.records[n].Seq)
			c.exec("UPDATE record SET kind = 'retention', body = CAST(? AS BLOB) WHERE seq = ?",
				fmt.Sprintf(`{"through":%d,"hash":"%s"}`, c.records[n-1].Seq, c.records[n-1].Hash), c.records[n+1].Seq)
			return []int64{c.records[n-1].Seq}
		}},
	}
}

// numberChanges are what may be done to the numbers of a record.
func numberChanges() []string {
	return []string{
		"time = time + 1", "time = -time", "count = count + 1", "count = -1 - count",
		"uid = ifnull(uid, -1) + 1", "uid = CASE WHEN uid IS NULL THEN 0 END", "uid = -1", "uid = -5", "uid = 1 << 40", "uid = (1 << 32) + ifnull(uid, -1)",
		"class = (class + 1) % 4", "class = 0", "class = 77", "form = 1 - form", "form = 7",
	}
}

// differs makes a statement that sets a column where that gives another value. The rest
// is no tampering: records of version 1 have class 0 and may be given it again.
func differs(set string) string {
	column, value, _ := strings.Cut(set, " = ")
	return fmt.Sprintf("UPDATE record SET %s WHERE %s IS NOT (%s)", set, column, value)
}

// update changes a record in one of some ways, the first by chance that changes it.
func (c *crime) update(sets ...string) []int64 {
	c.t.Helper()
	r := c.any1()
	for _, i := range c.random.Perm(len(sets)) {
		done, err := c.db.Exec(differs(sets[i])+" AND seq = ?", r.Seq)
		if err != nil {
			c.t.Fatalf("%s: %v", sets[i], err)
		}
		if n, err := done.RowsAffected(); err != nil || n > 0 {
			return []int64{r.Seq}
		}
	}
	c.t.Fatalf("record %d is changed by none of %q", r.Seq, sets)
	return nil
}

// change is what is done where there is nothing of what was to be changed.
func (c *crime) change() []int64 {
	r := c.any1()
	c.exec("UPDATE record SET module = module || 'x' WHERE seq = ?", r.Seq)
	return []int64{r.Seq}
}

// packed chooses a record that shares parts of its body; nil where there is none.
func (c *crime) packed() *kept {
	var some []*kept
	for i := range c.records {
		if c.records[i].form == formPacked {
			some = append(some, &c.records[i])
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[c.random.IntN(len(some))]
}

// behindHole chooses a record before which some are missing; -1 where there is none.
func (c *crime) behindHole() int {
	var some []int
	for i := 1; i < len(c.records); i++ {
		if c.records[i].Seq > c.records[i-1].Seq+1 {
			some = append(some, i)
		}
	}
	if len(some) == 0 {
		return -1
	}
	return some[c.random.IntN(len(some))]
}

func (c *crime) pick(of ...string) string { return of[c.random.IntN(len(of))] }

// changeAll sets a column of all records, and gives those that had another value.
func changeAll(t *testing.T, path, set string) (seqs []int64) {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_sync=OFF")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = each(t.Context(), db, differs(set)+" RETURNING seq", nil, func(rows *sql.Rows) (bool, error) {
		var seq int64
		err := rows.Scan(&seq)
		seqs = append(seqs, seq)
		return true, err
	})
	if err != nil {
		t.Fatalf("%s: %v", set, err)
	}
	return seqs
}

func sampled(t *testing.T, path string) []kept {
	t.Helper()
	r, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return inFile(t, r)
}

func untouched(t *testing.T, path string, anchor Anchor) {
	t.Helper()
	r, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	verify(t, r, anchor)
	if records := all(t, r); len(records) == 0 {
		t.Fatal("no records")
	}
}

func tamper(t *testing.T, random *rand.Rand, way tampering, path, name string, records []kept) []int64 {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_sync=OFF") // the test need not survive a power cut
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	return way.do(&crime{t, random, db, name, slices.Clone(records)})
}

func found(t *testing.T, path string, anchor Anchor, named []int64, way string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := OpenReadOnly(path)
	if err != nil {
		return true
	}
	defer r.Close()
	report, err := r.Verify(ctx, anchor)
	if err != nil {
		t.Fatalf("%s: verify gives up: %v", way, err)
	}
	for _, seq := range named {
		if !slices.ContainsFunc(report.Problems, func(p Problem) bool { return p.Seq <= seq && seq <= p.Through }) {
			t.Errorf("%s: record %d is not named: %v", way, seq, report.Problems)
		}
	}
	return !report.OK()
}
