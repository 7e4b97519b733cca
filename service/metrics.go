package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// metrics are what Prometheus asks for, and whether the service is healthy.
type metrics struct {
	service  *Service
	registry *prometheus.Registry
	actions  *prometheus.CounterVec
	queue    prometheus.Gauge

	mu       sync.Mutex
	lost     tracer.Loss // at last
	scraped  tracer.Loss // when it was last scraped
	deliver  []*delivery
	server   *http.Server
	listener net.Listener
}

func newMetrics(s *Service) *metrics {
	m := &metrics{
		service:  s,
		registry: prometheus.NewRegistry(),
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kmodtrace_actions_total", Help: "Attempts to load, unload or request a module, by what became of them.",
		}, []string{"action", "outcome", "cause"}),
		queue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kmodtrace_queue_actions", Help: "Actions that have ended and are not in the journal yet.",
		}),
	}
	m.registry.MustRegister(m.actions, m.queue, collector{m})
	return m
}

// count counts an action. Causes are few, and modules' names many: those are no label.
func (m *metrics) count(a *account.Account) {
	cause := ""
	if a.Cause != nil {
		cause = string(a.Cause.Code)
	}
	m.actions.WithLabelValues(a.Kind.String(), a.Outcome.String(), cause).Inc()
}

func (m *metrics) queued(n int) { m.queue.Set(float64(n)) }

// loss sets what was lost until now, and gives what was before.
func (m *metrics) loss(now tracer.Loss) (was tracer.Loss) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was, m.lost = m.lost, now
	return was
}

func (m *metrics) outputs(d []*delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deliver = d
}

// collector asks for what is not counted here.
type collector struct{ *metrics }

var (
	lostDesc         = prometheus.NewDesc("kmodtrace_events_lost_total", "Events for which there was no room.", nil, nil)
	missedDesc       = prometheus.NewDesc("kmodtrace_probes_missed_total", "Times that a probe did not run although its function did.", nil, nil)
	hooksDesc        = prometheus.NewDesc("kmodtrace_hooks", "Hooks by whether they are attached.", []string{"state"}, nil)
	backlogDesc      = prometheus.NewDesc("kmodtrace_backlog_bytes", "Memory taken by events that were read from the kernel and wait for the actions before them to be recorded.", nil, nil)
	bytesDesc        = prometheus.NewDesc("kmodtrace_journal_bytes", "Size of the journal's file.", nil, nil)
	recordsDesc      = prometheus.NewDesc("kmodtrace_journal_records", "Records in the journal.", nil, nil)
	lagDesc          = prometheus.NewDesc("kmodtrace_output_lag_records", "Records that an output has not had.", []string{"output"}, nil)
	failsDesc        = prometheus.NewDesc("kmodtrace_output_failures", "Tries in a row that an output took nothing; 0 while it works.", []string{"output"}, nil)
	missedOutputDesc = prometheus.NewDesc("kmodtrace_output_missed_total", "Records that retention removed before an output had them.", []string{"output"}, nil)
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
	lost, deliveries := c.lost, c.deliver
	c.mu.Unlock()
	counter(lostDesc, float64(lost.Events+lost.Untracked+lost.Dropped))
	counter(missedDesc, float64(lost.Missed))
	if s := c.service; s.tracer != nil {
		coverage := s.tracer.Coverage()
		on := attached(coverage)
		gauge(hooksDesc, float64(on), "attached")
		gauge(hooksDesc, float64(len(coverage.Hooks)-on), "absent")
		gauge(backlogDesc, float64(s.tracer.Backlog()))
	}
	if s := c.service; s.journal != nil {
		if size, err := s.journal.Size(context.Background()); err == nil {
			gauge(bytesDesc, float64(size.Bytes))
			gauge(recordsDesc, float64(size.Records()))
		}
		gauge(problemsDesc, float64(s.problems.Load()))
		gauge(stuckDesc, s.keeper.failing().Seconds())
	}
	for _, d := range deliveries {
		gauge(lagDesc, float64(d.lag()), d.output.Name())
		counter(missedOutputDesc, float64(d.missed.Load()), d.output.Name())
		gauge(failsDesc, float64(d.failed.Load()), d.output.Name())
	}
	version, revision := build()
	gauge(buildDesc, 1, version, revision)
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

// unhealthy says why it is not healthy: events were lost since the metrics were last
// asked for, the journal cannot be written or is not as it was written, or a required
// hook is gone.
func (m *metrics) unhealthy() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if lost := total(m.lost) - total(m.scraped); lost > 0 {
		return fmt.Errorf("%d events, attempts or probe runs were lost", lost)
	}
	if stuck := m.service.keeper.failing(); stuck > 0 {
		return fmt.Errorf("the journal cannot be written since %v", stuck.Round(time.Second))
	}
	if n := m.service.problems.Load(); n > 0 {
		return fmt.Errorf("%d problems were found in the journal: kmodtrace audit verify says what is wrong", n)
	}
	if missing := m.service.tracer.Coverage().Missing(); len(missing) > 0 {
		return fmt.Errorf("no hook on %s", missing[0].Target)
	}
	return nil
}

func (m *metrics) scrapes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.scraped = m.lost
	})
}

func (m *metrics) health(w http.ResponseWriter, _ *http.Request) {
	if err := m.unhealthy(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// listen answers at the address of the configuration, and no longer at the one before.
func (m *metrics) listen(c MetricsConfig) error {
	if err := m.close(); err != nil {
		return err
	}
	if c.Listen == "" {
		return nil
	}
	network, address := "tcp", c.Listen
	if path, ok := strings.CutPrefix(c.Listen, "unix:"); ok {
		network, address = "unix", path
		if err := removeSocket(path); err != nil {
			return err
		}
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", m.scrapes(promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})))
	mux.HandleFunc("/healthz", m.health)
	m.listener = l
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 16}
	server := m.server
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
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
		err = fmt.Errorf("%s is there, and no socket", path)
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
