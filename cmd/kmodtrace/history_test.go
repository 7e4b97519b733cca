package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/service"
)

// ask runs the whole command.
func ask(t testing.TB, args ...string) (out, errs string, status int) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(args, nil, &o, &e)
	return o.String(), e.String(), status
}

// theAnswer is of a question that must succeed, and say nothing beside its answer.
func theAnswer(t testing.TB, args ...string) string {
	t.Helper()
	out, errs, status := ask(t, args...)
	if status != exitOK || errs != "" {
		t.Errorf("%q: status %d, said %q", args, status, errs)
	}
	return out
}

const testBoot = "01234567-89ab-cdef-0123-456789abcdef"

// recordOf makes the record of an action that a kernel once did, as the service does.
func recordOf(line []byte, n int, at time.Time) journal.Record {
	var a struct{ Module, Action, Outcome string }
	if err := json.Unmarshal(line, &a); err != nil {
		panic(err)
	}
	uid := uint32(0)
	return journal.Record{
		ID: fmt.Sprintf("%.8s-%d-7", testBoot, n), Time: at, Boot: testBoot, Kind: journal.KindAction,
		Module: a.Module, Action: a.Action, Outcome: a.Outcome, User: "root", UID: &uid, Body: line,
	}
}

func recordedLines(t testing.TB) [][]byte {
	t.Helper()
	text, err := os.ReadFile("../../tracer/testdata/records/hello-newest.actions.jsonl")
	if err != nil {
		t.Skipf("no sources around: %v", err)
	}
	return bytes.Split(bytes.TrimSpace(text), []byte("\n"))
}

func newJournal(t testing.TB) *journal.Journal {
	t.Helper()
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func keep(t testing.TB, j *journal.Journal, records ...journal.Record) {
	t.Helper()
	if _, err := j.Append(context.Background(), records...); err != nil {
		t.Fatal(err)
	}
}

// What a kernel did once: each format has it, also while it is being written, and of a
// copy of that.
func TestHistoryOfRecordedActions(t *testing.T) {
	j := newJournal(t)
	at := time.Date(2026, 3, 1, 14, 0, 0, 0, time.Local)
	lines := recordedLines(t)
	for i, line := range lines {
		keep(t, j, recordOf(line, i, at.Add(time.Duration(i)*time.Hour)))
	}
	path := j.Path()
	dir := t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "copy.db"+suffix), data, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{path, filepath.Join(dir, "copy.db")} {
		text := theAnswer(t, "history", "--journal", name)
		for _, want := range []string{"2026-03-01  boot 01234567\n", "hello           live", "failed EEXIST", "unloaded"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		all := strings.Split(strings.TrimSpace(theAnswer(t, "history", "--json", "--journal", name)), "\n")
		if len(all) != len(lines) {
			t.Fatalf("%d lines of JSON, want %d", len(all), len(lines))
		}
		for i, line := range all {
			if err := validateText("record", []byte(line)); err != nil {
				t.Errorf("%v\n%s", err, line)
			}
			var got struct{ Action json.RawMessage }
			want, err := jsonline.Upgrade(lines[i])
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(line), &got); err != nil || !sameJSON(got.Action, want) {
				t.Errorf("what was recorded: %s\nwhat is told: %s", lines[i], got.Action)
			}
		}
		theAnswer(t, "audit", "verify", "--journal", name)
		for n := range lines {
			theAnswer(t, "history", "show", fmt.Sprint(n+1), "--journal", name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "copy.db-shm")); err == nil {
		t.Log("the copy has an index of its log now") // which is no harm, and SQLite's business
	}
}

func sameJSON(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

// hostileTexts are what a file, a user or a module may be named, or a body may be.
func hostileTexts() []string {
	return []string{
		"\x1b[2J\x1b]0;owned\a", "a\r\nb\n\n2026-03-01  boot 99999999", "\xff\xfe\x80", "\u202egnp.ok\u202c", "\u009b31m", "x\x00y",
		`","=1+1`, "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1", "'quoted", "a;=1;b", strings.Repeat("é", 9000),
		strings.Repeat("[", 20_000), `{"action":`, `[1,2,3]`, `null`, `"text"`, `{}`, `{"action":"load"}`, `{"action":"eat","module":1}`,
		`{"action":"load","module":"\u001b[31m","outcome":"live","thread":{"comm":"\ud800\u0000"},"messages":["\u001b[2J\nforged"]}`,
		`{"action":"load","outcome":"failed","cause":{"code":"nothing","text":"\u001b","evidence":null},"requester":{"requester":{}}}`,
		`{"text":"\u001b[31m\nforged line","module":{"name":"\u0007"}}`, `{"text":5}`, `{"a":1e999999}`, "{\"text\":\"\xff\"}", "",
	}
}

// hostileJournal has each of them in every place.
func hostileJournal(t testing.TB) (path string, n int) {
	t.Helper()
	j := newJournal(t)
	at := time.Date(2026, 3, 1, 14, 0, 0, 0, time.Local)
	for i, text := range hostileTexts() {
		for k, kind := range []journal.Kind{journal.KindAction, journal.KindLost, journal.KindPresent, journal.Kind("kind " + text)} {
			r := journal.Record{
				ID: fmt.Sprintf("%d-%d-%s", i, k, text), Time: at, Boot: text, Kind: kind, Module: text, Action: journal.Load,
				Outcome: journal.Live, Cause: text, User: text, Container: text, File: text, Content: text, Count: -int64(i), Body: []byte(text),
			}
			keep(t, j, r)
			n++
		}
	}
	return j.Path(), n
}

// checkCSV reads it as any program would: all lines have all columns, and no cell is a
// formula, whatever it is divided by.
func checkCSV(t *testing.T, question []string, text string) {
	t.Helper()
	if strings.Count(text, "\n") != strings.Count(text, "\r\n") {
		t.Errorf("%q: a line that does not end as RFC 4180 says", question)
	}
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(lines) < 2 {
		t.Errorf("%q: %d lines of CSV, %v", question, len(lines), err)
		return
	}
	numbers := []string{"seq", "count", "uid"}
	for _, line := range lines[1:] {
		for i, cell := range line {
			if first := strings.TrimLeft(cell, " \t"); first != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(first)[0]) && !slices.Contains(numbers, lines[0][i]) {
				t.Errorf("%q: the cell %.40q of %s is a formula", question, cell, lines[0][i])
			}
		}
	}
}

// tamper changes a text in the file of a journal that nobody writes.
func tamper(t testing.TB, path, from, to string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte(from)) || len(from) != len(to) {
		t.Fatalf("%q is not in it", from)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(data, []byte(from), []byte(to)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A record that somebody changed is marked wherever it is shown, those after it are
// shown too, and the exit status tells.
func TestHistoryOfChangedRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	body := `"body":{"schema":1,"id":"1","action":"load","module":"%s","module_from":"kernel","outcome":"live","start_boottime_ns":"1","thread":{"tid":7,"pid":7,"start_boottime_ns":"1","uid":0,"gid":0,"comm":"insmod","cgroup_id":"1"},"seen":[]}`
	var lines strings.Builder
	for i, m := range []string{"first", "second", "third"} {
		fmt.Fprintf(&lines, `{"time":"2026-03-01T1%d:00:00Z","boot":"%s","module":"%s","action":"load","outcome":"live","user":"user%d",`+body+"}\n", i, testBoot, m, i, m)
	}
	if err := makeJournal(path, lines.String()); err != nil {
		t.Fatal(err)
	}
	anchor := theAnswer(t, "audit", "anchor", "--journal", path)
	tamper(t, path, `"module":"second"`, `"module":"secret"`)

	for _, c := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"first", "record 2 is not as it was written", "third"}},
		{[]string{"--reverse"}, []string{"third", "record 2 is not as it was written", "first"}},
		{[]string{"-n", "2"}, []string{"record 2 is not as it was written", "third"}},
		{[]string{"--module", "second"}, []string{"record 2 is not as it was written"}},
		{[]string{"--json"}, []string{`"seq":1,`, `"seq":2,`, `"changed":true,`, `"secret"`, `"seq":3,`}},
		{[]string{"--csv"}, []string{`"1"`, `"second"`, `"yes"`, `"3"`}},
		{[]string{"--first-seen"}, []string{"first", "changed since", "second", "third"}},
		{[]string{"show", "2"}, []string{"secret", "this is not what was written"}},
		{[]string{"show", "2", "--json"}, []string{`"changed":true,`}},
	} {
		out, errs, status := ask(t, append(append([]string{"history"}, c.args...), "--journal", path)...)
		if status != exitRefused || !strings.Contains(errs, "1 record shown here is not as it was written") || !strings.Contains(errs, "audit verify") {
			t.Errorf("%q: status %d, said %q", c.args, status, errs)
		}
		at := 0
		for _, want := range c.want {
			i := strings.Index(out[at:], want)
			if i < 0 {
				t.Errorf("%q: no %q in its place:\n%s", c.args, want, out)
				continue
			}
			at += i
		}
	}
	for _, args := range [][]string{nil, {"--anchor", anchor}} {
		out, errs, status := ask(t, append([]string{"audit", "verify", "--journal", path}, args...)...)
		if status != exitRefused || !strings.Contains(out, "record 2 changed: ") || !strings.Contains(out, ": 3 records from number 1 on, 1 problem") ||
			!strings.Contains(errs, "the journal is not as it was written") {
			t.Errorf("%q: status %d, %s%s", args, status, out, errs)
		}
	}
	out, _, _ := ask(t, "audit", "verify", "--journal", path, "--json")
	if err := validateText("verification", []byte(out)); err != nil || !strings.Contains(out, `"ok": false`) || !strings.Contains(out, `"seq": 2`) {
		t.Errorf("%v\n%s", err, out)
	}
}

// Anchors find a journal that was cut, and one that was replaced.
func TestAnchorsFindWhatTheChainCannot(t *testing.T) {
	j := newJournal(t)
	lines := recordedLines(t)
	at := time.Date(2026, 3, 1, 14, 0, 0, 0, time.Local)
	keep(t, j, recordOf(lines[0], 0, at), recordOf(lines[1], 1, at))
	path := j.Path()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	shorter, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if j, err = journal.Open(path, nil); err != nil {
		t.Fatal(err)
	}
	keep(t, j, recordOf(lines[2], 2, at))
	log := "Mar  1 sshd: journal=none of this is an anchor\nMar  1 14:00:00 host kmodtrace[7]: anchor " + theAnswer(t, "audit", "anchor", "--journal", j.Path())
	logFile := filepath.Join(t.TempDir(), "auth.log")
	if err := os.WriteFile(logFile, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := theAnswer(t, "audit", "verify", "--journal", j.Path(), "--anchors", logFile); !strings.Contains(out, "and the anchor agrees") {
		t.Error(out)
	}
	if err := os.WriteFile(logFile, []byte("logger: journal=\x1b[31m records=many\n"+log), 0o600); err != nil {
		t.Fatal(err)
	}
	spoilt, errs, status := ask(t, "audit", "verify", "--journal", j.Path(), "--anchors", logFile)
	if status != exitOK || !strings.Contains(spoilt, "and the anchor agrees") || !strings.Contains(errs, "line 1 is left out") || strings.Contains(errs, "\x1b") {
		t.Errorf("with a line of somebody else: status %d: %s%q", status, spoilt, errs)
	}
	// The chain is whole, and shorter than it was.
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, shorter, 0o600); err != nil {
		t.Fatal(err)
	}
	theAnswer(t, "audit", "verify", "--journal", path)
	out, errs, status := ask(t, "audit", "verify", "--journal", path, "--anchors", logFile)
	if status != exitRefused || !strings.Contains(out, "record 3 removed: there were 3 records by the anchor of") {
		t.Errorf("cut: status %d: %s%s", status, out, errs)
	}
	other := newJournal(t)
	out, errs, status = ask(t, "audit", "verify", "--journal", other.Path(), "--anchors", logFile)
	if status != exitRefused || !strings.Contains(errs, "no anchor could be compared") || !strings.Contains(out, "of another journal: 1 anchor") {
		t.Errorf("replaced: status %d: %s%s", status, out, errs)
	}
}

// openFile opens a journal's file as any program can that knows SQLite.
func openFile(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// A file that cannot be asked: one line, and what to do about it, from every command that
// asks.
func TestNoJournalToAsk(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	statement := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := makeJournal(path, ""); err != nil {
			t.Fatal(err)
		}
		db := openFile(t, path)
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
		db.Close()
		return path
	}
	foreign := filepath.Join(dir, "foreign.db")
	if _, err := openFile(t, foreign).Exec("CREATE TABLE t (x); INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, says, hint string }{
		{"/nonexistent/j.db", "no such file or directory", "kmodtrace serve writes one"},
		{dir, "", ""},
		{os.DevNull, "", ""},
		{pipe, "", ""},
		{loop, "", ""},
		{file("empty", ""), "it is empty", ""},
		{file("junk", strings.Repeat("no journal ", 1000)), "", ""},
		{file("head", "SQLite format 3\x00"+strings.Repeat("\xff", 4000)), "it is damaged", "kmodtrace audit verify"},
		{foreign, "it is not a journal of kmodtrace", "--journal names another file"},
		{statement("newer", "PRAGMA user_version = 99"), "a later version of kmodtrace wrote it", "with that version"},
		{statement("altered", "DROP TABLE first"), "it is damaged", "kmodtrace audit verify"},
		{filepath.Join(dir, strings.Repeat("x", 300)), "name too long", ""},
		{filepath.Join(dir, "a\x1b[31m\nb"), "no such file", ""},
	} {
		for _, command := range [][]string{
			{"history"}, {"history", "--json"}, {"history", "--first-seen"}, {"history", "--loaded-at", "now"}, {"history", "show", "1"},
			{"audit", "verify"}, {"audit", "anchor"},
		} {
			out, errs, status := ask(t, append(command, "--journal", c.path)...)
			if status != exitRefused || out != "" || !strings.Contains(errs, c.says) || !strings.Contains(errs, c.hint) {
				t.Errorf("%q of %q: status %d, %q, said %q", command, c.path, status, out, errs)
			}
			if n := strings.Count(errs, "\n"); n == 0 || n > 2 || strings.Contains(errs, "\x1b") {
				t.Errorf("%q of %q: %d lines of error:\n%q", command, c.path, n, errs)
			}
		}
	}
}

// Who may not read the journal is told what to do; list does not mind.
func TestJournalOfSomebodyElse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can ask as somebody else")
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, sub := range []string{"proc", "var/lib"} {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "proc/modules"), []byte("hello 16384 0 - Live 0x0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, filepath.Dir(service.DefaultJournal)), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "journal.db")
	for _, name := range []string{path, filepath.Join(root, service.DefaultJournal)} {
		if err := makeJournal(name, ""); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "kmodtrace") // this program is in a directory of root's
	copyFile(t, os.Args[0], program)
	for _, c := range []struct {
		args []string
		fine bool
		says string
	}{
		{[]string{"history", "--journal", path}, false, "permission denied\n  ask as root"},
		{[]string{"audit", "verify", "--journal", path}, false, "permission denied\n  ask as root"},
		{[]string{"list", "--root", root, "--journal", path}, true, "who loaded what is not known"},
		{[]string{"list", "--root", root}, true, ""},
	} {
		cmd := exec.Command(program, c.args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir = "/"
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Run(); (err == nil) != c.fine || !strings.Contains(errs.String(), c.says) || c.says == "" && errs.Len() > 0 {
			t.Errorf("%q: %v: %s", c.args, err, errs.String())
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	r, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// A reader that has enough, and a disk that is full, end it.
func TestHistoryToClosedPipe(t *testing.T) {
	path, _ := hostileJournal(t)
	for _, flag := range []string{"--reverse", "--json", "--csv"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		var errs bytes.Buffer
		status := run([]string{"history", "--journal", path, flag}, nil, w, &errs)
		w.Close()
		if status != exitRefused || errs.Len() > 0 {
			t.Errorf("%s: status %d, said %q", flag, status, errs.String())
		}
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip(err)
		}
		status = run([]string{"history", "--journal", path, flag}, nil, full, &errs)
		full.Close()
		if status != exitRefused || !strings.Contains(errs.String(), "write output: ") {
			t.Errorf("%s: status %d, said %q", flag, status, errs.String())
		}
	}
}
