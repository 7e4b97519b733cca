package service

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"github.com/kmodtrace/kmodtrace/internal/place"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// metrics are what Prometheus asks for, and whether the service is healthy.
type metrics struct {
	service  *Service
	registry *prometheus.Registry
	actions  *prometheus.CounterVec
	findings *prometheus.CounterVec

	mu     sync.Mutex
	lost   tracer.Loss // at last
	lostAt time.Time   // when that last became more
	server *http.Server
}

func newMetrics(s *Service) *metrics {
	m := &metrics{
		service:  s,
		registry: prometheus.NewRegistry(),
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kmodtrace_actions_total", Help: "Attempts to load, unload or request a module, by what became of them.",
		}, []string{"action", "outcome", "cause"}),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kmodtrace_findings_total", Help: "Findings, by rule and severity. Further ones of a rule on one subject within an hour are not counted.",
		}, []string{"rule", "severity"}),
	}
	m.registry.MustRegister(m.actions, m.findings, collector{m})
	return m
}

// count counts an action that has ended. Causes are few, and modules' names many: those are no label.
func (m *metrics) count(a *record.Record) {
	if a.Preliminary {
		return
	}
	cause := ""
	if a.Cause != nil {
		cause = string(a.Cause.Code)
	}
	m.actions.WithLabelValues(a.Kind.String(), a.Outcome.String(), cause).Inc()
}

// found counts a finding.
func (m *metrics) found(f *rule.Finding) {
	m.findings.WithLabelValues(f.Rule, string(f.Severity)).Inc()
}

// loss sets what was lost until now, and gives what was before.
func (m *metrics) loss(now tracer.Loss) (was tracer.Loss) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was, m.lost = m.lost, now
	if total(now) > total(was) {
		m.lostAt = time.Now()
	}
	return was
}

// collector asks for what is not counted here.
type collector struct{ *metrics }

var (
	lostDesc         = prometheus.NewDesc("kmodtrace_events_lost_total", "Events for which there was no room.", nil, nil)
	missedDesc       = prometheus.NewDesc("kmodtrace_probes_missed_total", "Times that a probe did not run although its function did.", nil, nil)
	hooksDesc        = prometheus.NewDesc("kmodtrace_hooks", "Hooks by whether they are attached.", []string{"state"}, nil)
	backlogDesc      = prometheus.NewDesc("kmodtrace_backlog_bytes", "Memory taken by events that were read from the kernel and wait for the actions before them to be recorded.", nil, nil)
	queueDesc        = prometheus.NewDesc("kmodtrace_queue_actions", "Actions that have ended and are not in the journal yet.", nil, nil)
	oldestDesc       = prometheus.NewDesc("kmodtrace_oldest_waiting_seconds", "For how long the oldest of the actions waits that are not in the journal yet; 0 for none.", nil, nil)
	lastingDesc      = prometheus.NewDesc("kmodtrace_actions_pending", "Attempts under way that had not ended after 5 seconds.", nil, nil)
	foldedDesc       = prometheus.NewDesc("kmodtrace_folded_total", "Attempts that changed nothing, by who may not load modules, that were counted and have no records of their own.", []string{"action"}, nil)
	unansweredDesc   = prometheus.NewDesc("kmodtrace_lookups_unanswered", "Look-ups that have had no answer yet. While there are several, further ones of the same user and place are left out.", nil, nil)
	disturbedDesc    = prometheus.NewDesc("kmodtrace_hooks_disturbed", "1 while somebody keeps hooks from running, as by turning kprobes off.", nil, nil)
	unseenDesc       = prometheus.NewDesc("kmodtrace_modules_unseen_total", "Modules that appeared in the kernel or vanished from it, and nobody was seen to load or unload them.", nil, nil)
	stuckMinorDesc   = prometheus.NewDesc("kmodtrace_journal_minor_stuck_seconds", "For how long attempts that changed nothing, by who may not load modules, could only be counted; 0 while they can be recorded.", nil, nil)
	bytesDesc        = prometheus.NewDesc("kmodtrace_journal_bytes", "Size of the journal's file.", nil, nil)
	recordsDesc      = prometheus.NewDesc("kmodtrace_journal_records", "Records in the journal.", nil, nil)
	lagDesc          = prometheus.NewDesc("kmodtrace_output_lag_records", "Records that an output has not had.", []string{"output"}, nil)
	failsDesc        = prometheus.NewDesc("kmodtrace_output_failures", "Tries in a row that an output took nothing; 0 while it works.", []string{"output"}, nil)
	missedOutputDesc = prometheus.NewDesc("kmodtrace_output_missed_total", "Records that retention removed before an output had them.", []string{"output"}, nil)
	unconfirmedDesc  = prometheus.NewDesc("kmodtrace_output_unconfirmed_records", "Records of an output that were not seen at its far end.", []string{"output"}, nil)
	confirmDelayDesc = prometheus.NewDesc("kmodtrace_output_unconfirmed_seconds", "Age of the oldest record that was sent and not seen at the far end; 0 for none.", []string{"output"}, nil)
	resentDesc       = prometheus.NewDesc("kmodtrace_output_resent_total", "Records that were sent again because the far end did not have them.", []string{"output"}, nil)
	askFailsDesc     = prometheus.NewDesc("kmodtrace_output_confirm_failures", "Tries in a row that the far end gave no answer; 0 while it does.", []string{"output"}, nil)
	conflictsDesc    = prometheus.NewDesc("kmodtrace_output_conflicts", "Records of which the far end has another one, when it was asked last.", []string{"output"}, nil)
	unkeptDesc       = prometheus.NewDesc("kmodtrace_output_unkept_total", "Records that the far end refuses, or takes and does not keep.", []string{"output"}, nil)
	stuckDesc        = prometheus.NewDesc("kmodtrace_journal_stuck_seconds", "For how long the journal could not be written; 0 while it can.", nil, nil)
	problemsDesc     = prometheus.NewDesc("kmodtrace_journal_problems", "Problems that were found when the journal was last verified: records changed, removed, moved or inserted.", nil, nil)
	buildDesc        = prometheus.NewDesc("kmodtrace_build_info", "The program's version.", []string{"version", "revision"}, nil)
)

func (c collector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

func (c collector) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	c.mu.Lock()
	lost := c.lost
	c.mu.Unlock()
	deliveries := c.service.readers()
	counter(lostDesc, float64(lost.Events+lost.Untracked+lost.Dropped))
	counter(missedDesc, float64(lost.Missed))
	if s := c.service; s.tracer != nil {
		coverage := s.tracer.Coverage()
		on := attached(coverage)
		gauge(hooksDesc, float64(on), "attached")
		gauge(hooksDesc, float64(len(coverage.Hooks)-on), "absent")
		gauge(backlogDesc, float64(s.tracer.Backlog()))
	}
	s := c.service
	waiting, oldest := s.intake.waitingNow()
	gauge(queueDesc, float64(waiting))
	gauge(oldestDesc, oldest.Seconds())
	gauge(lastingDesc, float64(s.lasting.count()))
	for kind, n := range s.folds.totals() {
		if kind := tracer.ActionKind(kind); kind != 0 {
			counter(foldedDesc, float64(n), kind.String())
		}
	}
	if s.asker != nil {
		gauge(unansweredDesc, float64(s.asker.hung()))
	}
	now, _ := s.watched.disturbed()
	gauge(disturbedDesc, float64(b2i(now != "")))
	counter(unseenDesc, float64(s.watched.unseen.Load()))
	size := s.size.Load() // of a second ago: asking the file might wait
	if size != nil {
		gauge(bytesDesc, float64(size.Bytes))
		gauge(recordsDesc, float64(size.Records()))
	}
	gauge(problemsDesc, float64(s.problems.Load()))
	gauge(stuckDesc, s.keeper.failing().Seconds())
	gauge(stuckMinorDesc, s.keeper.failingMinor().Seconds())
	for _, d := range deliveries {
		if size != nil {
			gauge(lagDesc, float64(max(size.Last-d.at.Load(), 0)), d.output.Name())
		}
		counter(missedOutputDesc, float64(d.missed.Load()), d.output.Name())
		gauge(failsDesc, float64(d.failed.Load()), d.output.Name())
		if f := d.confirm; f != nil {
			name := d.output.Name()
			gauge(unconfirmedDesc, float64(max(d.at.Load()-f.at.Load(), 0)), name)
			gauge(confirmDelayDesc, f.delay(time.Now()).Seconds(), name)
			counter(resentDesc, float64(f.resent.Load()), name)
			gauge(askFailsDesc, float64(f.failed.Load()), name)
			gauge(conflictsDesc, float64(f.conflicts.Load()), name)
			counter(unkeptDesc, float64(f.unkept.Load()), name)
		}
	}
	version, revision := build()
	gauge(buildDesc, 1, version, revision)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func build() (version, revision string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown", "unknown"
	}
	revision = "unknown"
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return info.Main.Version, revision
}

// unhealthyFor is how long a service is not healthy after it lost something: whoever asks
// now and then must not miss it, and asking changes nothing.
const unhealthyFor = 15 * time.Minute

// unhealthy says why it is not healthy: something was lost or disturbed in the last
// [unhealthyFor], an action waits for long, the journal cannot be written or is not as it
// was written, look-ups have no answer, or a required hook is gone.
func (m *metrics) unhealthy() error {
	s := m.service
	if err := m.lossOf(time.Now()); err != nil {
		return err
	}
	if now, last := s.watched.disturbed(); now != "" {
		return fmt.Errorf("hooks do not see everything: %s", now)
	} else if ago := time.Since(last); !last.IsZero() && ago < unhealthyFor {
		return fmt.Errorf("hooks were disturbed %v ago; not healthy for %v after that", ago.Round(time.Second), unhealthyFor)
	}
	if err := s.checks.blindness(); err != nil {
		return fmt.Errorf("the service does not see its own calls: %w", err)
	}
	if stuck := s.keeper.failing(); stuck > 0 {
		return fmt.Errorf("the journal cannot be written since %v", stuck.Round(time.Second))
	}
	if n, oldest := s.intake.waitingNow(); oldest > waitsLong {
		return fmt.Errorf("an attempt waits since %v to be recorded, and %d behind it", oldest.Round(time.Second), n)
	}
	if s.asker != nil {
		if err := s.asker.health(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	rulesError := s.rulesError
	s.mu.Unlock()
	if rulesError != nil {
		return fmt.Errorf("not the rules of the configuration are in use: %w", rulesError)
	}
	if n := s.problems.Load(); n > 0 {
		return fmt.Errorf("%d problems were found in the journal: kmodtrace audit verify lists them", n)
	}
	if missing := s.tracer.Coverage().Missing(); len(missing) > 0 {
		return fmt.Errorf("no hook on %s", missing[0].Target)
	}
	return nil
}

// lossOf says what was lost, if that is not long ago.
func (m *metrics) lossOf(now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	ago := now.Sub(m.lostAt)
	if m.lostAt.IsZero() || ago >= unhealthyFor {
		return nil
	}
	return fmt.Errorf("%d events, attempts or probe runs were lost, the last %v ago; not healthy for %v after that",
		total(m.lost), ago.Round(time.Second), unhealthyFor)
}

func (m *metrics) health(w http.ResponseWriter, _ *http.Request) {
	if err := m.unhealthy(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// Who asks is not trusted: it may be any process of this machine, and a page in a browser
// on it.
const (
	maxConnections = 16
	maxHeader      = 8 << 10
	answerWithin   = 10 * time.Second
)

// handler answers what may be asked. By TCP only who names this machine is answered: a
// page of somebody else's, whose name leads here (DNS rebinding), names another.
func (m *metrics) handler(network string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2, Timeout: answerWithin}))
	mux.HandleFunc("/healthz", m.health)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		case network == "tcp" && !localHost(r.Host):
			http.Error(w, "another host", http.StatusMisdirectedRequest)
		case network == "tcp" && fromPage(r.Header):
			http.Error(w, "not for pages of other sites", http.StatusForbidden)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// localHost tells whether a Host header names this machine itself.
func localHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	} else {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	}
	ip := net.ParseIP(name)
	return strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback()
}

// fromPage tells whether a browser asks for a page of another site.
func fromPage(h http.Header) bool {
	site := h.Get("Sec-Fetch-Site")
	return h.Get("Origin") != "" || site != "" && site != "none" && site != "same-origin"
}

// listen answers at the address of the configuration, and no longer at the one before,
// unless that fails.
func (m *metrics) listen(c MetricsConfig) error {
	if c.Listen == "" {
		return m.close()
	}
	network, address := "tcp", c.Listen
	if path, ok := strings.CutPrefix(c.Listen, "unix:"); ok {
		network, address = "unix", path
		if err := removeSocket(path); err != nil {
			return err
		}
		if err := (place.Rules{SystemGroups: true}).Check(path); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if err := m.close(); err != nil {
		_ = l.Close()
		return err
	}
	m.server = &http.Server{
		Handler: m.handler(network), MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 2 * answerWithin, IdleTimeout: 30 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0), // of what clients do wrong; they could fill the log
	}
	server := m.server
	go func() {
		if err := server.Serve(netutil.LimitListener(l, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
			m.service.log.Error().Msgf("metrics: %v", err)
		}
	}()
	return nil
}

// removeSocket takes away what an earlier run left. Anything else stays.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode().Type() != os.ModeSocket {
		err = fmt.Errorf("%s is there, and is not a socket", path)
	}
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return os.Remove(path)
}

func (m *metrics) close() error {
	if m.server == nil {
		return nil
	}
	server := m.server
	m.server = nil
	return server.Close()
}
