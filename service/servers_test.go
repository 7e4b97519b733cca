package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/kmodtrace/kmodtrace/fleet"
	samples "github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/output"
)

// What make test-fleet sets: the directory of the servers, how many machines there are, and for how
// long servers are killed.
const (
	serversVariable = "KMODTRACE_SERVERS"
	hostsVariable   = "KMODTRACE_FLEET_HOSTS"
	timeVariable    = "KMODTRACE_FLEET_TIME"
)

// server is a program that is killed and started again.
type server struct {
	name, path string
	args       []string
	ready      string // a URL that answers when it is

	mu     sync.Mutex
	cmd    *exec.Cmd
	killed int
}

func (s *server) start(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	cmd := exec.Command(s.path, s.args...)
	log, err := os.OpenFile(filepath.Join(os.TempDir(), "kmodtrace-"+s.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.cmd = cmd
}

func (s *server) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
	s.killed++
}

func (s *server) await(t *testing.T) {
	t.Helper()
	for until := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get(s.ready)
		if err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(until) {
			t.Fatalf("%s is not ready: %v", s.name, err)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// storage is a VictoriaLogs of one program, or a cluster.
type storage struct {
	url    string
	killed []*server // what is killed: all of one, and one node of three
}

func (s *storage) launch(t *testing.T, all ...*server) {
	t.Helper()
	for _, one := range all {
		one.start(t)
		t.Cleanup(one.kill)
	}
	for _, one := range all {
		one.await(t)
	}
}

func victoriaLogs(t *testing.T, dir, name string, args ...string) *server {
	t.Helper()
	at := freePort(t)
	return &server{
		name: name, path: filepath.Join(dir, "victoria-logs"), ready: "http://" + at + "/health",
		args: append([]string{"-httpListenAddr=" + at, "-retentionPeriod=100y", "-loggerLevel=WARN", "-memory.allowedBytes=256MB"}, args...),
	}
}

func single(t *testing.T, dir string) *storage {
	one := victoriaLogs(t, dir, "victorialogs", "-storageDataPath="+t.TempDir())
	s := &storage{url: strings.TrimSuffix(one.ready, "/health"), killed: []*server{one}}
	s.launch(t, one)
	return s
}

func cluster(t *testing.T, dir string) *storage {
	var nodes []*server
	var addresses []string
	for i := range 3 {
		one := victoriaLogs(t, dir, fmt.Sprintf("vlstorage%d", i), "-storageDataPath="+t.TempDir())
		nodes = append(nodes, one)
		addresses = append(addresses, strings.TrimSuffix(strings.TrimPrefix(one.ready, "http://"), "/health"))
	}
	front := victoriaLogs(t, dir, "vlinsert", "-storageDataPath="+t.TempDir(), "-storageNode="+strings.Join(addresses, ","))
	s := &storage{url: strings.TrimSuffix(front.ready, "/health"), killed: nodes[:1]}
	s.launch(t, append(nodes, front)...)
	return s
}

// dropping is a proxy that acknowledges a tenth of the requests and forgets them.
func dropping(t *testing.T, to string, drops *atomic.Bool) (at string, dropped *atomic.Int64) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	dropped = new(atomic.Int64)
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ErrorLog = nil
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusServiceUnavailable) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if drops.Load() && rand.IntN(10) == 0 {
			_, _ = io.Copy(io.Discard, r.Body)
			dropped.Add(1)
			w.Header().Set("Content-Type", "application/x-protobuf")
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, dropped
}

// collectorAt runs a Collector with a queue in memory.
func collectorAt(t *testing.T, dir, to string) *server {
	t.Helper()
	at := freePort(t)
	config := filepath.Join(t.TempDir(), "collector.yaml")
	text := fmt.Sprintf(`receivers:
  otlp:
    protocols:
      http:
        endpoint: %s
exporters:
  otlphttp:
    logs_endpoint: %s/insert/opentelemetry/v1/logs
    headers:
      VL-Stream-Fields: service.name,host.id,host.name,kmodtrace.journal
    sending_queue: {enabled: true, queue_size: 10000, num_consumers: 4}
    retry_on_failure: {enabled: true, initial_interval: 200ms, max_interval: 1s, max_elapsed_time: 30s}
service:
  telemetry:
    metrics: {level: none}
    logs: {level: error}
  pipelines:
    logs: {receivers: [otlp], exporters: [otlphttp]}
`, at, to)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &server{name: "collector", path: filepath.Join(dir, "collector"), args: []string{"--config", config}, ready: "http://" + at}
}

// member is one machine of the fleet.
type member struct {
	*samples.FleetHost
	service *Service
	d       *delivery
	stop    context.CancelFunc
}

func newMember(t *testing.T, dir string, i int, endpoint, store string) *member {
	t.Helper()
	h, err := samples.NewFleetHost(t.Context(), dir, fmt.Sprintf("host%02d", i), time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	m := &member{FleetHost: h}
	m.deliver(t, h.Journal, i, endpoint, store)
	return m
}

// deliver makes a delivery of a journal, which does not confirm yet.
func (m *member) deliver(t *testing.T, j *journal.Journal, i int, endpoint, store string) {
	t.Helper()
	log := zerolog.Nop()
	m.service = newService("", &Config{Journal: JournalConfig{Path: j.Path()}}, &log)
	m.service.journal = j
	o, err := output.Config{Type: "otlp", Endpoint: endpoint}.Open(output.Surroundings{Journal: j.Name(), Host: &output.Host{ID: fmt.Sprintf("%032x", i+1), Name: m.Name}})
	if err != nil {
		t.Fatal(err)
	}
	m.d = m.service.newDelivery(o, 0, 0)
	if m.d.confirm, err = newConfirmation(m.d, &output.ConfirmConfig{VictoriaLogs: store, Every: time.Second, Settle: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, m.stop = context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { m.d.run(ctx) })
	t.Cleanup(func() {
		m.stop()
		group.Wait()
		o.Close()
		j.Close()
	})
}

// confirms begins to confirm.
func (m *member) confirms(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	m.d.confirm.at.Store(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.d.confirm.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

func (m *member) storm(t *testing.T, n int) {
	t.Helper()
	if err := m.Storm(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	select {
	case m.d.news <- struct{}{}:
	default:
	}
}

// havoc kills servers at random for a time, while the machines record.
func havoc(t *testing.T, all []*member, targets []*server, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); {
		for _, m := range all {
			m.storm(t, 1+rand.IntN(8))
		}
		time.Sleep(time.Duration(300+rand.IntN(700)) * time.Millisecond)
		if rand.IntN(4) == 0 {
			one := targets[rand.IntN(len(targets))]
			one.kill()
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
			one.start(t)
		}
	}
	for _, one := range targets {
		one.await(t)
	}
}

// sentAll waits until all is sent, and the store gets nothing more.
func sentAll(t *testing.T, all []*member, f func() int64) {
	t.Helper()
	for _, m := range all {
		for until := time.Now().Add(3 * time.Minute); m.d.lag() > 0; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%s has %d to send", m.Name, m.d.lag())
			}
		}
	}
	last, still := int64(-1), 0
	for until := time.Now().Add(3 * time.Minute); still < 8 && time.Now().Before(until); time.Sleep(time.Second) {
		if n := f(); n == last {
			still++
		} else {
			last, still = n, 0
		}
	}
}

// inStore asks, not by package fleet, which numbers of a journal are in the store.
func inStore(t *testing.T, store, name string) map[int64]bool {
	t.Helper()
	resp, err := http.PostForm(store+"/select/logsql/query", url.Values{"query": {`"kmodtrace.journal":="` + name + `" | fields "kmodtrace.seq"`}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v: %d %s", err, resp.StatusCode, text)
	}
	has := map[int64]bool{}
	for line := range strings.Lines(string(text)) {
		_, value, _ := strings.Cut(line, `"kmodtrace.seq":"`)
		value, _, _ = strings.Cut(value, `"`)
		seq, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		has[seq] = true
	}
	return has
}

// TestFleetServers: whatever is lost on the way, fleet verify lists exactly that, and nothing after
// it was confirmed. make test-fleet runs it.
func TestFleetServers(t *testing.T) {
	dir := os.Getenv(serversVariable)
	if dir == "" {
		t.Skip(serversVariable + " names no directory of servers: make test-fleet")
	}
	hosts, err := strconv.Atoi(os.Getenv(hostsVariable))
	within, err2 := time.ParseDuration(os.Getenv(timeVariable))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	for name, storage := range map[string]func(*testing.T, string) *storage{"single": single, "cluster": cluster} {
		t.Run(name, func(t *testing.T) { fleetTest(t, dir, hosts, within, storage(t, dir)) })
	}
}

func fleetTest(t *testing.T, dir string, hosts int, within time.Duration, store *storage) {
	var drops atomic.Bool
	drops.Store(true)
	proxy, dropped := dropping(t, store.url, &drops)
	collector := collectorAt(t, dir, proxy)
	collector.start(t)
	t.Cleanup(collector.kill)
	collector.await(t)
	journals := t.TempDir()
	var all []*member
	for i := range hosts {
		all = append(all, newMember(t, journals, i, collector.ready+"/v1/logs", store.url))
		all[i].storm(t, 100)
	}
	targets := append([]*server{collector}, store.killed...)
	havoc(t, all, targets, within/2)
	f, err := fleet.Open(store.url)
	if err != nil {
		t.Fatal(err)
	}
	count := func() (n int64) {
		for _, m := range all {
			n += int64(len(inStore(t, store.url, m.Journal.Name())))
		}
		return n
	}
	sentAll(t, all, count)
	lost := listsWhatIsMissing(t, f, store.url, all)
	t.Logf("before confirm: %d records of %d machines are missing, and verify lists exactly these; %d requests dropped", lost, hosts, dropped.Load())
	if lost == 0 {
		t.Error("nothing was lost: the test shows nothing")
	}
	for _, m := range all {
		m.confirms(t)
	}
	havoc(t, all, targets, within/2)
	began := time.Now()
	resent, records := int64(0), int64(0)
	for _, m := range all {
		for until := time.Now().Add(5 * time.Minute); m.d.lag() > 0 || m.d.confirm.at.Load() < m.d.at.Load(); time.Sleep(200 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%s: confirmed %d of %d, %d failures", m.Name, m.d.confirm.at.Load(), m.d.at.Load(), m.d.confirm.failed.Load())
			}
		}
		resent += m.d.confirm.resent.Load()
		records += m.d.at.Load()
	}
	both, err := fleet.Open(store.url, journals)
	if err != nil {
		t.Fatal(err)
	}
	r, err := both.Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK || r.Missing != 0 || r.Records != records || len(r.Journals) != hosts {
		t.Errorf("after confirm: OK %v, %d missing, %d records of %d", r.OK, r.Missing, r.Records, records)
	}
	kills := ""
	for _, one := range targets {
		kills += fmt.Sprintf(" %s %d times", one.name, one.killed)
	}
	t.Logf("after confirm: %d records, %d missing, %d sent again, caught up %v after the last kill; killed:%s; %d requests dropped", r.Records, r.Missing, resent, time.Since(began).Round(time.Second), kills, dropped.Load())
	drops.Store(false)
	histories(t, f, all, journals, collector.ready+"/v1/logs", store.url)
}

// listsWhatIsMissing compares what verify says is missing with what is, and counts it.
func listsWhatIsMissing(t *testing.T, f *fleet.Fleet, store string, all []*member) (lost int64) {
	t.Helper()
	var anchors []journal.Anchor
	for _, m := range all {
		a, err := m.Journal.Anchor(t.Context(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		anchors = append(anchors, a)
	}
	r, err := f.Verify(t.Context(), &fleet.VerifyOptions{Anchors: anchors})
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]map[int64]bool{}
	for _, v := range r.Journals {
		said[v.Journal] = map[int64]bool{}
		for _, p := range v.Problems {
			if p.Trouble == fleet.Missing {
				for seq := p.From; seq <= p.Through; seq++ {
					said[v.Journal][seq] = true
				}
			}
		}
	}
	for i, m := range all {
		has := inStore(t, store, m.Journal.Name())
		for seq := int64(1); seq <= anchors[i].Count; seq++ {
			if !has[seq] {
				lost++
			}
			if has[seq] == said[m.Journal.Name()][seq] {
				t.Errorf("%s: record %d is there: %v; verify says it is missing: %v", m.Name, seq, has[seq], !has[seq])
				return lost
			}
		}
	}
	return lost
}

// histories has one journal written anew and one copied: these two are named, and no other.
func histories(t *testing.T, f *fleet.Fleet, all []*member, journals, endpoint, store string) {
	t.Helper()
	rewritten, copied := all[0], all[1]
	at := rewritten.d.at.Load() / 2
	anew, err := samples.Rewrite(t.Context(), rewritten.Journal, filepath.Join(t.TempDir(), "anew.db"), at)
	if err != nil {
		t.Fatal(err)
	}
	twin, err := samples.Copy(t.Context(), copied.Journal, filepath.Join(t.TempDir(), "copy.db"))
	if err != nil {
		t.Fatal(err)
	}
	fork := copied.d.at.Load() + 1
	one := &member{FleetHost: &samples.FleetHost{Name: rewritten.Name, Boot: rewritten.Boot, Journal: anew, Start: time.Now()}}
	one.deliver(t, anew, 0, endpoint, store)
	two := &member{FleetHost: &samples.FleetHost{Name: "clone", Boot: "c10e0000-0", Journal: twin, Start: time.Now()}}
	two.deliver(t, twin, 1, endpoint, store)
	copied.storm(t, 3)
	one.storm(t, 1)
	two.storm(t, 4)
	want := map[string]bool{anew.Name(): true, twin.Name(): true}
	var bad []string
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(time.Second) {
		r, err := f.Verify(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		bad = nil
		for _, v := range r.Journals {
			if v.OK != !want[v.Journal] {
				bad = append(bad, fmt.Sprintf("%s: %v", v.Host(), v.Problems))
			}
			forkedAt := fork
			if v.Journal == anew.Name() {
				forkedAt = at
			}
			if want[v.Journal] && !slices.ContainsFunc(v.Problems, func(p fleet.Problem) bool { return p.Trouble == fleet.Forked && p.From == forkedAt }) {
				bad = append(bad, fmt.Sprintf("%s is not forked at %d: %v", v.Host(), forkedAt, v.Problems))
			}
		}
		if len(bad) == 0 {
			t.Logf("a journal that was written anew from record %d on and one that was copied at %d are named, and the other %d pass", at, fork-1, len(r.Journals)-2)
			return
		}
	}
	for _, text := range bad {
		t.Errorf("%.600s", text)
	}
}
