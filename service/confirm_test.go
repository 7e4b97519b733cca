package service

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	otlplogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/output"
)

// lossyStore takes OTLP and answers LogsQL, as a VictoriaLogs does, and loses what it is told to.
type lossyStore struct {
	*httptest.Server
	mu     sync.Mutex
	has    map[int64]string
	n      int
	loses  func(n int, seq int64) bool
	answer func(w http.ResponseWriter) bool // may answer a question in its place
	asked  int
}

func newStore(t *testing.T) *lossyStore {
	t.Helper()
	s := &lossyStore{has: map[int64]string{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

var ranged = regexp.MustCompile(`range\[(\d+),(\d+)\]`)

func (s *lossyStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.HasPrefix(r.URL.Path, "/select") {
		s.take(w, r)
		return
	}
	s.asked++
	if s.answer != nil && s.answer(w) {
		return
	}
	m := ranged.FindStringSubmatch(r.FormValue("query"))
	if m == nil {
		http.Error(w, "no range in "+r.FormValue("query"), http.StatusBadRequest)
		return
	}
	from, _ := strconv.ParseInt(m[1], 10, 64)
	through, _ := strconv.ParseInt(m[2], 10, 64)
	for seq, hash := range s.has {
		if seq >= from && seq <= through {
			_ = json.NewEncoder(w).Encode(map[string]string{"kmodtrace.seq": fmt.Sprint(seq), "kmodtrace.hash": hash})
		}
	}
}

func (s *lossyStore) take(w http.ResponseWriter, r *http.Request) {
	body, err := gzip.NewReader(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text, _ := io.ReadAll(body)
	var request otlplogs.ExportLogsServiceRequest
	if err := proto.Unmarshal(text, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, l := range request.ResourceLogs[0].ScopeLogs[0].LogRecords {
		fields := map[string]string{}
		for _, kv := range l.Attributes {
			fields[kv.Key] = kv.Value.GetStringValue()
		}
		seq, _ := strconv.ParseInt(fields["kmodtrace.seq"], 10, 64)
		if s.n++; s.loses == nil || !s.loses(s.n, seq) {
			s.has[seq] = fields["kmodtrace.hash"]
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(http.StatusOK)
}

func (s *lossyStore) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// confirming makes a delivery to a store whose confirmation only passes when it is told to, as if
// nothing needed time to arrive.
func confirming(t *testing.T, s *Service, store *lossyStore) *delivery {
	t.Helper()
	o, err := output.Config{Type: "otlp", Endpoint: store.URL + "/v1/logs"}.Open(output.Surroundings{Journal: s.journal.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	d := s.newDelivery(o, 0, 0)
	if d.confirm, err = newConfirmation(d, &output.ConfirmConfig{VictoriaLogs: store.URL, Settle: time.Nanosecond}); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.deliveries = append(s.deliveries, d)
	s.mu.Unlock()
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.deliveries = nil // it was never started
	})
	return d
}

// many adds n records at once.
func many(t *testing.T, s *Service, n int) {
	t.Helper()
	all := make([]journal.Record, n)
	for i := range all {
		all[i] = journal.Record{ID: fmt.Sprintf("many-%d", i), Time: time.Now(), Boot: "boot", Kind: journal.KindClock, Body: []byte(`{"schema":1,"text":"a record"}`)}
	}
	if _, err := s.journal.Append(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
}

// deliverAll hands all records over.
func deliverAll(t *testing.T, d *delivery) {
	t.Helper()
	for d.lag() > 0 {
		if _, err := d.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// passes confirms until all is, and gives in how many passes.
func passes(t *testing.T, d *delivery) int {
	t.Helper()
	for n := 1; n < 100; n++ {
		for _, a := range d.confirm.again {
			a.next = time.Time{} // nobody waits in a test
		}
		time.Sleep(time.Millisecond)
		if err := d.confirm.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d.confirm.at.Load() == d.at.Load() {
			return n
		}
		if got := int64(len(holes(t, d))); got > 0 && d.through() >= d.at.Load() {
			t.Fatal("retention may remove what is not confirmed")
		}
	}
	t.Fatalf("confirmed %d of %d", d.confirm.at.Load(), d.at.Load())
	return 0
}

func holes(t *testing.T, d *delivery) (all []int64) {
	t.Helper()
	links, err := d.journal.Links(t.Context(), 1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	has, err := d.confirm.ask(t.Context(), links)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if !has[l.Seq] {
			all = append(all, l.Seq)
		}
	}
	return all
}

// A store that loses a third of what it acknowledged has all of it in the end, and until then
// retention leaves what it lacks.
func TestConfirmLossyStore(t *testing.T) {
	s, store := withJournal(t), newStore(t)
	store.loses = func(n int, _ int64) bool { return n%3 == 0 }
	many(t, s, 3000)
	d := confirming(t, s, store)
	deliverAll(t, d)
	lost := len(holes(t, d))
	if lost != 1000 {
		t.Fatalf("%d lost", lost)
	}
	if err := d.confirm.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if at := d.confirm.at.Load(); at != 2 || s.slowest() != 2 {
		t.Errorf("confirmed up to %d, and retention leaves what is after %d", at, s.slowest())
	}
	passes(t, d)
	if left := holes(t, d); len(left) > 0 || s.slowest() != 3000 || d.confirm.unkept.Load() != 0 || d.confirm.oldest.Load() != 0 {
		t.Errorf("%d left; retention leaves what is after %d", len(left), s.slowest())
	}
	if n := d.confirm.resent.Load(); n < 1000 || n > 1600 {
		t.Errorf("%d sent again", n)
	}
	d.confirm.keep()
	if at, err := s.journal.Cursor(t.Context(), d.confirm.cursor()); err != nil || at != 3000 {
		t.Errorf("kept %d, %v", at, err)
	}
}

// A store that does not answer, or not to the end, confirms nothing, and is asked less often.
func TestConfirmAnswers(t *testing.T) {
	s, store := withJournal(t), newStore(t)
	s.records(t, 20)
	d := confirming(t, s, store)
	deliverAll(t, d)
	half := func(w http.ResponseWriter) bool {
		fmt.Fprintf(w, `{"kmodtrace.seq":"1","kmodtrace.hash":"%s"}`+"\n"+`{"kmodtrace.seq":"2",`, store.has[1])
		return true
	}
	for _, c := range []struct {
		name   string
		answer func(w http.ResponseWriter) bool
		wait   time.Duration
	}{
		{"500", func(w http.ResponseWriter) bool { http.Error(w, "no", 500); return true }, 2 * 30 * time.Second},
		{"half", half, 4 * 30 * time.Second},
		{"429", func(w http.ResponseWriter) bool {
			w.Header().Set("Retry-After", "400")
			http.Error(w, "slowly", http.StatusTooManyRequests)
			return true
		}, 400 * time.Second},
		{"cut", func(w http.ResponseWriter) bool { panic(http.ErrAbortHandler) }, 8 * time.Minute},
		{"a hash that is none", func(w http.ResponseWriter) bool {
			fmt.Fprintln(w, `{"kmodtrace.seq":"1","kmodtrace.hash":"x"}`)
			return true
		}, 10 * time.Minute},
	} {
		store.do(func() { store.answer = c.answer })
		err := d.confirm.pass(t.Context())
		if err == nil || d.confirm.at.Load() != 0 || s.slowest() != 0 {
			t.Errorf("%s: %v, confirmed %d", c.name, err, d.confirm.at.Load())
			continue
		}
		if wait := d.confirm.fails(err); wait != c.wait {
			t.Errorf("%s: waits %v, want %v", c.name, wait, c.wait)
		}
	}
	store.do(func() { store.answer = nil })
	passes(t, d)
	if d.confirm.resent.Load() != 0 {
		t.Errorf("%d sent again", d.confirm.resent.Load())
	}
}

// A store that was put back to what it was gets again what it lacks.
func TestConfirmRestoredStore(t *testing.T) {
	s, store := withJournal(t), newStore(t)
	many(t, s, 2500)
	d := confirming(t, s, store)
	deliverAll(t, d)
	passes(t, d)
	store.do(func() {
		for seq := int64(1801); seq <= 2500; seq++ {
			delete(store.has, seq)
		}
	})
	if err := d.confirm.pass(t.Context()); err != nil || d.confirm.at.Load() != 2500 {
		t.Fatalf("%v; it was compared again at once", err)
	}
	d.confirm.rechecked = time.Now().Add(-time.Hour)
	if err := d.confirm.pass(t.Context()); err != nil || d.confirm.at.Load() != 1800 || s.slowest() != 1800 {
		t.Fatalf("%v; confirmed %d", err, d.confirm.at.Load())
	}
	passes(t, d)
	if left := holes(t, d); len(left) > 0 || d.confirm.resent.Load() != 700 {
		t.Errorf("%d left, %d sent again", len(left), d.confirm.resent.Load())
	}
}

// A record that the store takes and never keeps does not hold up the others for ever.
func TestConfirmUnkept(t *testing.T) {
	s, store := withJournal(t), newStore(t)
	store.loses = func(n int, seq int64) bool { return seq == 7 || n%4 == 0 }
	s.records(t, 100)
	d := confirming(t, s, store)
	deliverAll(t, d)
	for i := 0; d.confirm.at.Load() != d.at.Load() && i < 200; i++ {
		s.records(t, 8)
		deliverAll(t, d)
		for _, a := range d.confirm.again {
			a.next = time.Time{}
		}
		time.Sleep(time.Millisecond)
		if err := d.confirm.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d.confirm.unkept.Load() > 0 {
			store.do(func() { store.loses = func(_ int, seq int64) bool { return seq == 7 } })
		}
	}
	if left := holes(t, d); len(left) != 1 || left[0] != 7 || d.confirm.unkept.Load() != 1 {
		t.Errorf("left %v, %d given up", left, d.confirm.unkept.Load())
	}
	d.confirm.rechecked = time.Time{}
	if err := d.confirm.pass(t.Context()); err != nil || d.confirm.at.Load() != d.at.Load() {
		t.Errorf("after it was compared again, confirmed %d of %d", d.confirm.at.Load(), d.at.Load())
	}
}

// Where the store is down for long, nothing is given up.
func TestConfirmOutage(t *testing.T) {
	s, store := withJournal(t), newStore(t)
	store.loses = func(int, int64) bool { return true }
	s.records(t, 50)
	d := confirming(t, s, store)
	deliverAll(t, d)
	for range 40 {
		for _, a := range d.confirm.again {
			a.next = time.Time{}
		}
		time.Sleep(time.Millisecond)
		if err := d.confirm.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if d.confirm.at.Load() != 0 || d.confirm.unkept.Load() != 0 || s.slowest() != 0 || d.confirm.delay(time.Now()) == 0 {
		t.Fatalf("confirmed %d, given up %d", d.confirm.at.Load(), d.confirm.unkept.Load())
	}
	store.do(func() { store.loses = nil })
	passes(t, d)
}

// A store that has another record of a number says so, and gets the journal's.
func TestConfirmConflict(t *testing.T) {
	s, store := withJournal(t), newStore(t)
	s.records(t, 10)
	d := confirming(t, s, store)
	deliverAll(t, d)
	store.do(func() { store.has[4] = strings.Repeat("ab", 32) })
	if err := d.confirm.pass(t.Context()); err != nil || d.confirm.conflicts.Load() != 1 || d.confirm.at.Load() != 3 {
		t.Errorf("%v, %d conflicts, confirmed %d", err, d.confirm.conflicts.Load(), d.confirm.at.Load())
	}
}

// What a file has confirms too; a line that was not written to its end has not arrived.
func TestConfirmFile(t *testing.T) {
	s := withJournal(t)
	s.records(t, 30)
	path := filepath.Join(t.TempDir(), "out.jsonl")
	o, err := output.Config{Type: "file", Path: path}.Open(output.Surroundings{Journal: s.journal.Name()})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	d := s.newDelivery(o, 0, 0)
	if d.confirm, err = newConfirmation(d, &output.ConfirmConfig{File: path, Settle: time.Nanosecond}); err != nil {
		t.Fatal(err)
	}
	deliverAll(t, d)
	cut(t, path, 40)
	passes(t, d)
	// The first ends the line that was cut, and is lost with it.
	if n := d.confirm.resent.Load(); n != 2 {
		t.Errorf("%d sent again", n)
	}
}

// The time until retention has to remove what is not confirmed.
func TestOutlook(t *testing.T) {
	now := time.Now()
	p := prospect{since: now.Add(-time.Hour), bytes: 100}
	for _, c := range []struct {
		bytes, bound int64
		left         time.Duration
		expected     bool
	}{
		{200, 400, 2 * time.Hour, true}, {400, 400, 0, true}, {100, 400, 0, false}, {50, 400, 0, false}, {200, 0, 0, false},
	} {
		if left, expected := p.left(now, c.bytes, c.bound); left != c.left || expected != c.expected {
			t.Errorf("%+v: %v, %v", c, left, expected)
		}
	}
}

// TestConfirmConfig: what cannot be confirmed is refused, with what is wrong.
func TestConfirmConfig(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{"{type: otlp, endpoint: 'http://h', confirm: {victorialogs: 'http://h:9428'}}", ""},
		{"{type: otlp, endpoint: 'http://h', confirm: {victorialogs: 'http://h:9428/select0', every: 1m, settle: 5s}}", ""},
		{"{type: file, path: /a, confirm: {file: '/b/*.jsonl'}}", ""},
		{"{type: otlp, endpoint: 'http://h', confirm: {}}", "needs victorialogs, a URL, or file"},
		{"{type: otlp, endpoint: 'http://h', confirm: {victorialogs: 'h:9428'}}", "must be a URL"},
		{"{type: otlp, endpoint: 'http://h', confirm: {victorialogs: 'http://h', file: /x}}", "mutually exclusive"},
		{"{type: otlp, endpoint: 'http://h', confirm: {file: x}}", "must be an absolute path"},
		{"{type: otlp, endpoint: 'http://h', confirm: {file: '/x/['}}", "syntax error in pattern"},
		{"{type: file, path: /a, confirm: {victorialogs: 'http://h'}}", "is for the type otlp"},
		{"{type: file, path: /a, format: ecs, confirm: {file: /b}}", "needs format json"},
		{"{type: syslog, confirm: {file: /b}}", "confirm is not for the type syslog"},
		{"{type: otlp, endpoint: 'http://h', confirm: {file: /b, every: 1ms}}", "confirm.every 1ms"},
		{"{type: otlp, endpoint: 'http://h', confirm: {file: /b, settle: -1s}}", "confirm.settle -1s"},
		{"{type: otlp, endpoint: 'http://h', confirm: {fiel: /b}}", "fiel"},
	} {
		_, err := Parse([]byte("outputs: [" + c.text + "]"))
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.text, err, c.says)
		}
	}
}

// cut takes the last bytes of a file away.
func cut(t *testing.T, path string, n int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()-n)
	}
	if err != nil {
		t.Fatal(err)
	}
}
