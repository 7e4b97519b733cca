package fleet_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/fleet"
	"github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/output"
	"github.com/kmodtrace/kmodtrace/record"
)

// storeVariable names the URL of a VictoriaLogs that is empty, for TestStore, which is run by hand.
const storeVariable = "KMODTRACE_VICTORIALOGS"

// sendAll sends what is in a journal from a number on as the service does.
func sendAll(t *testing.T, endpoint, host string, h *sample.FleetHost) {
	t.Helper()
	o, err := output.Config{Type: "otlp", Endpoint: endpoint, Headers: map[string]string{"X-Test": host}}.Open(output.Surroundings{Journal: h.Journal.Name(), Host: &output.Host{ID: strings.Repeat(host, 32), Name: h.Name}})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for from := int64(1); ; {
		records, err := h.Journal.ReadFrom(t.Context(), from, 500)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			return
		}
		entries := make([]output.Entry, len(records))
		for i := range records {
			entries[i] = output.Entry{Record: records[i], Text: "text"}
			if records[i].Kind == journal.KindAction {
				if entries[i].Known, err = record.Parse(records[i].Body); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := o.Send(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		from = records[len(records)-1].Seq + 1
	}
}

// A real VictoriaLogs gives the same answers as the journals that were sent to it.
func TestStore(t *testing.T) {
	url := os.Getenv(storeVariable)
	if url == "" {
		t.Skip(storeVariable + " names no VictoriaLogs: give the URL of an empty one")
	}
	dir := t.TempDir()
	for i := range 5 {
		h := machine(t, dir, fmt.Sprintf("host%d", i), 3)
		if err := h.Do(t.Context(), journal.Load, "common", journal.Live, "root", sample.ContentOf("common")); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			if err := h.Do(t.Context(), journal.Load, "evil", journal.Live, "mallory", sample.ContentOf("evil")); err != nil {
				t.Fatal(err)
			}
		}
		sendAll(t, url+"/insert/opentelemetry/v1/logs", fmt.Sprint(i), h)
		sendAll(t, url+"/insert/opentelemetry/v1/logs", fmt.Sprint(i), h)
	}
	f, err := fleet.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	var r *fleet.Report
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(200 * time.Millisecond) {
		if r, err = f.Verify(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if r.Records == 5*13+1 {
			break
		}
	}
	if !r.OK || r.Hosts != 5 || r.Records != 66 || r.Journals[0].Repeated != r.Journals[0].Records {
		t.Fatalf("%+v: %q", r, problems(r))
	}
	checkQuestions(t, f, 5)
}

// An answer that is not one is an error, never a fleet of fewer records.
func TestStoreErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		do   http.HandlerFunc
		says string
	}{
		{"500", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "cannot read", 500) }, "500 Internal Server Error: cannot read"},
		{"429", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			http.Error(w, "slowly", http.StatusTooManyRequests)
		}, "429 Too Many Requests: slowly"},
		{"half", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"kmodtrace.seq":"1","kmodtr`) }, "breaks off"},
		{"cut", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, `{"_time":"2026-01-01T00:00:00Z","kmodtrace.seq":"1","kmodtrace.hash":"`+strings.Repeat("0", 64)+`"}`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "breaks off"},
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, "302"},
		{"a page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "breaks off"},
	} {
		server := httptest.NewServer(c.do)
		f, err := fleet.Open(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Verify(t.Context(), nil); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
		if _, err := f.Who(t.Context(), "x"); err == nil {
			t.Errorf("%s: who has an answer", c.name)
		}
		server.Close()
	}
}
