package journal

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What goes to another machine as JSON is verified there, whatever bytes are in it; a change of
// any part is found.
func TestChainedSurvivesJSON(t *testing.T) {
	j, err := Open(filepath.Join(t.TempDir(), "journal.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	uid := uint32(0)
	long := `{"schema":1,"action":"load","actor":{"comm":"insmod","exe":"` + strings.Repeat("x", 300) + `"}}`
	at := time.Unix(0, 1767225600123456789)
	for i, r := range []Record{
		{ID: "plain", Kind: KindStarted, Body: []byte(`{"text":"began"}`)},
		{ID: "packed", Kind: KindAction, Action: Load, Outcome: Live, Module: "hello", UID: &uid, Body: []byte(long)},
		{ID: "bytes\xff", Kind: KindAppeared, Module: "\xfe\x00", Body: []byte("\xff\x00 no JSON")},
		{ID: "none", Kind: KindLost, Count: -7},
		{ID: "spaced", Kind: KindAction, Action: Load, Outcome: "failed", File: "a\u2028<b>", Body: []byte(" { \"action\" :\t\"load\" } ")},
	} {
		r.Time, r.Boot = at.Add(time.Duration(i)), "boot"
		if _, err := j.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	records, err := j.ReadFrom(t.Context(), 1, 100)
	if err != nil || len(records) != 5 {
		t.Fatal(len(records), err)
	}
	for _, r := range records {
		c := r.Chained(j.Name())
		c.Body = r.Body
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back Chained
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		same := back.Record(nil)
		if err := same.Intact(back.Journal); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if err := same.Intact("another"); !errors.Is(err, ErrChanged) {
			t.Errorf("record %d fits another journal: %v", r.Seq, err)
		}
		for name, change := range map[string]func(*Record){
			"seq": func(r *Record) { r.Seq++ }, "prev": func(r *Record) { r.Prev[0]++ }, "time": func(r *Record) { r.Time = r.Time.Add(1) },
			"class": func(r *Record) { r.Class = r.Class%3 + 1 }, "id": func(r *Record) { r.ID += "x" }, "boot": func(r *Record) { r.Boot = "" },
			"kind": func(r *Record) { r.Kind = KindBlind }, "module": func(r *Record) { r.Module += "x" }, "user": func(r *Record) { r.User += "x" },
			"uid": func(r *Record) { n := uint32(1); r.UID = &n }, "count": func(r *Record) { r.Count++ }, "body": func(r *Record) { r.Body = append([]byte("1"), r.Body...) },
			"container": func(r *Record) { r.Container += "x" }, "content": func(r *Record) { r.Content += "x" }, "file": func(r *Record) { r.File += "x" },
		} {
			changed := back.Record(nil)
			if change(&changed); changed.Intact(back.Journal) == nil {
				t.Errorf("record %d: another %s is not seen", r.Seq, name)
			}
		}
	}
	links, err := j.Links(t.Context(), 2, 3)
	if err != nil || len(links) != 3 || links[0].Seq != 2 || links[2].Hash != records[3].Hash || !links[1].Time.Equal(records[2].Time) {
		t.Errorf("links: %v, %v", links, err)
	}
}
