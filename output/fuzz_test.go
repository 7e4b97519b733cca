package output

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"

	common "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/record"
)

// FuzzEncode: whatever is recorded, each format and place gets what is of its form.
func FuzzEncode(f *testing.F) {
	for _, e := range entries(f) {
		if len(e.Body) < 20<<10 {
			f.Add(e.Body, e.Text, string(e.Kind), e.ID, e.Seq)
		}
	}
	ocsf, ecs := readPublished(f, "testdata/ocsf.txt", ""), readPublished(f, "testdata/ecs.txt", "ecs")
	s := newSyslog("syslog", "unix", "/x", 3, host{name: "box"})
	f.Fuzz(func(t *testing.T, body []byte, text, kind, id string, seq int64) {
		e := Entry{Record: journal.Record{Seq: seq, ID: id, Time: epoch, Boot: boot, Kind: journal.Kind(kind), Body: body}, Text: text}
		if a := new(record.Record); json.Unmarshal(body, a) == nil {
			e.Known = a
		}
		for format, check := range map[string]func(map[string]any) []string{"json": nil, "ocsf": ocsf.checkOCSF, "ecs": ecs.checkECS} {
			doc, err := parse(oneLine(t, format, e))
			if err != nil {
				t.Fatalf("%s: %v", format, err)
			}
			if check != nil {
				for _, wrong := range check(doc) {
					t.Errorf("%s: %s", format, wrong)
				}
			}
		}
		message, err := s.message(&e)
		if err != nil {
			t.Fatal(err)
		}
		parseSyslog(t, string(message))
		fieldsOf(t, journaldText(&e))
		r := host{}.otlpRecord(&e)
		if _, err := proto.Marshal(&common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: r.Body().AsString() + r.EventName()}}); err != nil {
			t.Error(err)
		}
	})
}
