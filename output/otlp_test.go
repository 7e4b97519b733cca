package output

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"
)

// fakeCollector decodes what it gets. answer may answer in its place, and tell so.
type fakeCollector struct {
	*httptest.Server
	mu      sync.Mutex
	answer  func(w http.ResponseWriter, r *http.Request, seqs []string) bool
	batches [][]string // the numbers of the records that it took
	last    *collector.ExportLogsServiceRequest
	asked   int
	wrong   error
}

func newCollector(t *testing.T) *fakeCollector {
	t.Helper()
	c := new(fakeCollector)
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *fakeCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request, err := decode(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if err != nil {
		c.wrong = err
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var seqs []string
	for _, record := range recordsOf(request) {
		seqs = append(seqs, attributesOf(record)["kmodtrace.seq"])
	}
	if c.answer != nil && c.answer(w, r, seqs) {
		return
	}
	c.batches, c.last = append(c.batches, seqs), request
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// with sets what it answers.
func (c *fakeCollector) with(answer func(w http.ResponseWriter, r *http.Request, seqs []string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = answer
}

func decode(r *http.Request) (*collector.ExportLogsServiceRequest, error) {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/logs" || r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("Content-Encoding") != "gzip" {
		return nil, fmt.Errorf("%s %s %v", r.Method, r.URL, r.Header)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	request := new(collector.ExportLogsServiceRequest)
	return request, proto.Unmarshal(body, request)
}

func recordsOf(r *collector.ExportLogsServiceRequest) []*logs.LogRecord {
	var all []*logs.LogRecord
	for _, resource := range r.GetResourceLogs() {
		for _, scope := range resource.GetScopeLogs() {
			all = append(all, scope.GetLogRecords()...)
		}
	}
	return all
}

func attributesOf(record *logs.LogRecord) map[string]string { return text(record.GetAttributes()) }

func text(all []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range all {
		switch v := kv.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			m[kv.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			m[kv.GetKey()] = fmt.Sprint(v.IntValue)
		default:
			m[kv.GetKey()] = kv.GetValue().String()
		}
	}
	return m
}

func TestOTLP(t *testing.T) {
	c := newCollector(t)
	var token string
	c.with(func(_ http.ResponseWriter, r *http.Request, _ []string) bool {
		token = r.Header.Get("Authorization")
		return false
	})
	o := openConfig(t, Config{Type: "otlp", Endpoint: c.URL, Headers: map[string]string{"Authorization": "Bearer x"}})
	e := testEntry(t, 7, samples(t)["asked for from a container"], "load of hello: live")
	failed := testEntry(t, 8, samples(t)["failed"], "load of hello: failed")
	send(t, o, []Entry{e, failed, word(9, "lost", `{"text":"x"}`)})
	if c.wrong != nil || token != "Bearer x" || !slices.Equal(c.batches[0], []string{"7", "8", "9"}) {
		t.Fatal(c.wrong, token, c.batches)
	}
	resource := text(c.last.GetResourceLogs()[0].GetResource().GetAttributes())
	if resource["service.name"] != "kmodtrace" || resource["os.type"] != "linux" || resource["host.name"] == "" {
		t.Errorf("%q", resource)
	}
	all := recordsOf(c.last)
	if r := all[0]; r.GetTimeUnixNano() != uint64(epoch.UnixNano()) || r.GetBody().GetStringValue() != e.Text || r.GetEventName() != "kmodtrace.action" ||
		r.GetSeverityNumber() != logs.SeverityNumber_SEVERITY_NUMBER_INFO2 {
		t.Error(r)
	}
	if all[1].GetSeverityNumber() != logs.SeverityNumber_SEVERITY_NUMBER_WARN || all[2].GetSeverityNumber() != logs.SeverityNumber_SEVERITY_NUMBER_ERROR {
		t.Error(all[1], all[2])
	}
	got := attributesOf(all[0])
	for name, want := range map[string]string{
		"log.record.uid": e.ID, "kmodtrace.action": "load", "kmodtrace.module": "hello", "kmodtrace.outcome": "live", "kmodtrace.record": string(e.Body),
		"file.path": "/specimens/hello.ko", "file.name": "hello.ko", "file.mode": "0644", "file.size": fmt.Sprint(e.Known.File.Size), "file.inode": fmt.Sprint(e.Known.File.Inode),
		"process.pid": fmt.Sprint(e.Known.Actor.PID), "process.parent_pid": fmt.Sprint(e.Known.Actor.Ancestors[0].PID), "process.executable.path": "/usr/bin/kmod", "process.executable.name": "kmod",
		"process.command_line": "insmod /specimens/hello.ko whom=you", "user.name": "bob", "user.id": "1000",
		"container.id": strings.Repeat("ab", 32), "container.runtime.name": "containerd", "container.image.name": "registry.example/a:1",
		"k8s.namespace.name": "shop", "k8s.pod.name": "web-1", "k8s.container.name": "nginx", "k8s.pod.uid": "0b1c2d3e-0000-4000-8000-000000000001",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if got := attributesOf(all[1])["error.type"]; got != "symbol-missing" {
		t.Errorf("error.type is %q", got)
	}
	if got := attributesOf(all[2]); got["kmodtrace.kind"] != "lost" || all[2].GetEventName() != "kmodtrace.lost" {
		t.Errorf("%q", got)
	}
}

// TestOTLPHostile: whatever is in a record, the message is well formed, and each of its
// attributes stands once.
func TestOTLPHostile(t *testing.T) {
	c := newCollector(t)
	o := openConfig(t, Config{Type: "otlp", Endpoint: c.URL + "/"})
	all := entries(t)
	send(t, o, all)
	if c.wrong != nil {
		t.Fatal(c.wrong)
	}
	records := recordsOf(c.last)
	if len(records) != len(all) {
		t.Fatalf("%d of %d", len(records), len(all))
	}
	for i, r := range records {
		if len(attributesOf(r)) != len(r.GetAttributes()) || r.GetDroppedAttributesCount() != 0 {
			t.Errorf("%.60q: an attribute stands twice or is dropped: %d", all[i].Text, r.GetDroppedAttributesCount())
		}
		if got := attributesOf(r)["kmodtrace.record"]; got != string(all[i].record()) {
			t.Errorf("%.60q: record %.80q", all[i].Text, got)
		}
	}
}

// TestOTLPFails: what goes wrong comes back, and all is sent when it goes well again.
func TestOTLPFails(t *testing.T) {
	for what, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request, seqs []string) bool
		want   string
	}{
		"no access": {status(http.StatusUnauthorized, "who are you\n\x1b[31m"), `401 Unauthorized`},
		"no such":   {status(http.StatusNotFound, ""), "404"},
		"too many":  {status(http.StatusTooManyRequests, "slow"), "slow"},
		"overload":  {status(http.StatusServiceUnavailable, ""), "empty"},
		"broken":    {status(http.StatusInternalServerError, strings.Repeat("long ", 1<<20)), "500"},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request, _ []string) bool {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
			return true
		}, "307"},
		"closes": {func(w http.ResponseWriter, _ *http.Request, _ []string) bool {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
			return true
		}, "EOF"},
		"closes in the middle": {func(w http.ResponseWriter, _ *http.Request, _ []string) bool {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusOK)
			return true
		}, "EOF"},
	} {
		server := newCollector(t)
		o := openConfig(t, Config{Type: "otlp", Endpoint: server.URL})
		server.with(c.answer)
		for range 2 {
			err := o.Send(t.Context(), numbered(1, 3))
			var refused *RefusedError
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 500 || errors.As(err, &refused) {
				t.Errorf("%s: %v", what, err)
			}
		}
		server.with(nil)
		send(t, o, numbered(1, 3))
		if len(server.batches) != 1 || len(server.batches[0]) != 3 {
			t.Errorf("%s: %q", what, server.batches)
		}
	}
}

func status(code int, body string) func(http.ResponseWriter, *http.Request, []string) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ []string) bool {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
		return true
	}
}

// TestOTLPRetryAfter: a collector that asks for no requests gets none.
func TestOTLPRetryAfter(t *testing.T) {
	c := newCollector(t)
	o := openConfig(t, Config{Type: "otlp", Endpoint: c.URL})
	c.with(func(w http.ResponseWriter, _ *http.Request, _ []string) bool {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if err := o.Send(t.Context(), numbered(1, 1)); err == nil {
		t.Fatal("taken")
	}
	c.with(nil)
	if err := o.Send(t.Context(), numbered(1, 1)); err == nil || !strings.Contains(err.Error(), "asked for no requests for ") || c.asked != 1 {
		t.Fatal(err, c.asked)
	}
	inner := o.(limited).Output.(*otlp)
	if wait := time.Until(inner.answers.notBefore); wait > 2*time.Minute || wait < time.Minute {
		t.Error(wait)
	}
	inner.answers.notBefore = time.Now()
	send(t, o, numbered(1, 1))
}

func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		status   int
		text     string
		min, max time.Duration
	}{
		{503, "", 0, 0}, {503, "7", 7 * time.Second, 7 * time.Second}, {429, "7", 7 * time.Second, 7 * time.Second}, {200, "7", 0, 0},
		{503, "-7", 0, 0}, {503, "soon", 0, 0}, {503, "999999999", longestAfter, longestAfter}, {503, "99999999999999999999", 0, 0},
		{503, time.Now().Add(5 * time.Minute).UTC().Format(http.TimeFormat), time.Minute, 5 * time.Minute},
		{503, "Mon, 02 Jan 2006 15:04:05 GMT", 0, 0},
	} {
		got := retryAfter(&http.Response{StatusCode: c.status, Header: http.Header{"Retry-After": {c.text}}})
		if got < c.min || got > c.max {
			t.Errorf("%d %q: %v", c.status, c.text, got)
		}
	}
}

// TestOTLPRefused: of what a collector will never take, it is found out which record it
// is; those before it are delivered.
func TestOTLPRefused(t *testing.T) {
	rejects := func(w http.ResponseWriter, _ *http.Request, seqs []string) bool {
		if !slices.Contains(seqs, "5") {
			return false
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		body, _ := proto.Marshal(&collector.ExportLogsServiceResponse{PartialSuccess: &collector.ExportLogsPartialSuccess{RejectedLogRecords: 1, ErrorMessage: "no\nfive"}})
		_, _ = w.Write(body)
		return true
	}
	malformed := func(w http.ResponseWriter, _ *http.Request, seqs []string) bool {
		if slices.Contains(seqs, "5") {
			w.WriteHeader(http.StatusBadRequest)
			return true
		}
		return false
	}
	for what, answer := range map[string]func(http.ResponseWriter, *http.Request, []string) bool{"rejected": rejects, "malformed": malformed} {
		c := newCollector(t)
		c.with(answer)
		o := openConfig(t, Config{Type: "otlp", Endpoint: c.URL})
		err := o.Send(t.Context(), numbered(1, 8))
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Seq != 5 || strings.Contains(err.Error(), "\n") {
			t.Fatalf("%s: %v", what, err)
		}
		if got := slices.Concat(c.batches...); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
			t.Errorf("%s: %q", what, got)
		}
		send(t, o, numbered(6, 3))
	}
}

// TestOTLPTooLarge: what is too large at once is sent in parts.
func TestOTLPTooLarge(t *testing.T) {
	c := newCollector(t)
	c.with(func(w http.ResponseWriter, _ *http.Request, seqs []string) bool {
		if len(seqs) > 3 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
		return len(seqs) > 3
	})
	send(t, openConfig(t, Config{Type: "otlp", Endpoint: c.URL}), numbered(1, 10))
	if got := slices.Concat(c.batches...); len(got) != 10 || got[0] != "1" || got[9] != "10" {
		t.Errorf("%q", got)
	}
}

// TestOTLPWarns: a collector may warn of what it took.
func TestOTLPWarns(t *testing.T) {
	c := newCollector(t)
	c.with(func(w http.ResponseWriter, _ *http.Request, _ []string) bool {
		w.Header().Set("Content-Type", "application/x-protobuf")
		body, _ := proto.Marshal(&collector.ExportLogsServiceResponse{PartialSuccess: &collector.ExportLogsPartialSuccess{ErrorMessage: "old field"}})
		_, _ = w.Write(body)
		return true
	})
	send(t, openConfig(t, Config{Type: "otlp", Endpoint: c.URL}), numbered(1, 2))
	if c.asked != 1 {
		t.Error(c.asked)
	}
}

// TestOTLPHangs: one that gives no answer holds up nobody.
func TestOTLPHangs(t *testing.T) {
	c := newCollector(t)
	hang := make(chan struct{})
	c.with(func(http.ResponseWriter, *http.Request, []string) bool { <-hang; return true })
	o := openConfig(t, Config{Type: "otlp", Endpoint: c.URL, Timeout: 20 * time.Millisecond})
	if err := o.Send(t.Context(), numbered(1, 1)); err == nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
		t.Error(err)
	}
	close(hang)
	c.with(nil)
	for o.Send(t.Context(), numbered(1, 1)) != nil {
		if t.Context().Err() != nil {
			t.Fatal("it stays away")
		}
	}
}

// TestOTLPRefuses: nobody there is an error, and somebody later is found.
func TestOTLPRefuses(t *testing.T) {
	l := listenTCP(t)
	address := l.Addr().String()
	l.Close()
	o := openConfig(t, Config{Type: "otlp", Endpoint: "http://" + address})
	if err := o.Send(t.Context(), numbered(1, 1)); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Error(err)
	}
}
