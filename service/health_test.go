package service

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// ask asks a service by a network.
func (s *Service) ask(network string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:9722/healthz", nil)
	change(r)
	answer := httptest.NewRecorder()
	s.metrics.handler(network).ServeHTTP(answer, r)
	return answer
}

// TestHealthAsked: asking changes nothing: a loss makes the service unhealthy for the time
// that its answer names, however often somebody asks for the metrics.
func TestHealthAsked(t *testing.T) {
	s := withJournal(t)
	fake := s.tracer.(*quietKernel)
	fake.set(func(k *quietKernel) { k.loss.Events = 5 })
	s.checkLoss()
	for range 3 {
		if text := s.ask("tcp", func(r *http.Request) { r.URL.Path = "/metrics" }).Body.String(); !strings.Contains(text, "kmodtrace_events_lost_total 5") {
			t.Errorf("metrics: %s", text)
		}
		answer := s.ask("tcp", func(*http.Request) {})
		if answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), "5 events") || !strings.Contains(answer.Body.String(), unhealthyFor.String()) {
			t.Errorf("healthz says %d, %s", answer.Code, answer.Body)
		}
	}
	if err := s.metrics.lossOf(time.Now().Add(unhealthyFor - time.Minute)); err == nil {
		t.Error("it is healthy too soon")
	}
	if err := s.metrics.lossOf(time.Now().Add(unhealthyFor)); err != nil {
		t.Errorf("it stays unhealthy: %v", err)
	}
}

// TestHealthRequests: only GET and HEAD, only this machine's own names, and no pages of
// others.
func TestHealthRequests(t *testing.T) {
	s := withJournal(t)
	for _, c := range []struct {
		name    string
		network string
		change  func(*http.Request)
		want    int
	}{
		{"GET", "tcp", func(*http.Request) {}, 200},
		{"HEAD", "tcp", func(r *http.Request) { r.Method = http.MethodHead }, 200},
		{"POST", "tcp", func(r *http.Request) { r.Method = http.MethodPost }, 405},
		{"DELETE on the socket", "unix", func(r *http.Request) { r.Method = http.MethodDelete }, 405},
		{"localhost", "tcp", func(r *http.Request) { r.Host = "localhost:9722" }, 200},
		{"LOCALHOST", "tcp", func(r *http.Request) { r.Host = "LOCALHOST" }, 200},
		{"127.3.2.1", "tcp", func(r *http.Request) { r.Host = "127.3.2.1" }, 200},
		{"::1", "tcp", func(r *http.Request) { r.Host = "[::1]:9722" }, 200},
		{"::1 without a port", "tcp", func(r *http.Request) { r.Host = "[::1]" }, 200},
		{"another name (rebinding)", "tcp", func(r *http.Request) { r.Host = "evil.example:9722" }, 421},
		{"a name that begins so", "tcp", func(r *http.Request) { r.Host = "127.0.0.1.evil.example" }, 421},
		{"localhost of somebody", "tcp", func(r *http.Request) { r.Host = "localhost.evil.example:80" }, 421},
		{"an address of a network", "tcp", func(r *http.Request) { r.Host = "10.0.0.1" }, 421},
		{"no name", "tcp", func(r *http.Request) { r.Host = "" }, 421},
		{"any name on the socket", "unix", func(r *http.Request) { r.Host = "kmodtrace" }, 200},
		{"a page's", "tcp", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"a page's of the same site", "tcp", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		{"typed in", "tcp", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") }, 200},
		{"with an origin", "tcp", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		{"another path", "tcp", func(r *http.Request) { r.URL.Path = "/debug/pprof/" }, 404},
	} {
		if got := s.ask(c.network, c.change).Code; got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestHealthConnections: who connects and says nothing takes no room for ever, and who says
// too much gets no answer.
func TestHealthConnections(t *testing.T) {
	s := withJournal(t)
	path := filepath.Join(t.TempDir(), "socket")
	if err := s.metrics.listen(MetricsConfig{Listen: "unix:" + path}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.metrics.close() })
	if m := s.metrics.server; m.ReadTimeout == 0 || m.WriteTimeout == 0 || m.IdleTimeout == 0 || m.ReadHeaderTimeout == 0 {
		t.Error("a connection has no end")
	}
	dial := func() net.Conn {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	answer := func(conn net.Conn) string {
		_ = conn.SetReadDeadline(time.Now().Add(await.Bound))
		line, _ := bufio.NewReader(conn).ReadString('\n')
		return strings.TrimSpace(line)
	}
	big := dial()
	fmt.Fprintf(big, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 1<<20))
	if line := answer(big); line != "" && !strings.Contains(line, "431") {
		t.Errorf("a header of a megabyte: %q", line)
	}
	_ = big.Close()
	for range maxConnections { // which say nothing
		dial()
	}
	late := dial()
	fmt.Fprint(late, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if line := answer(late); !strings.Contains(line, "200") {
		t.Errorf("behind those that say nothing: %q", line)
	}
}

// TestMetricsTell: what is folded, disturbed, unseen and waits is in the metrics.
func TestMetricsTell(t *testing.T) {
	s := withJournal(t)
	for range 20 {
		s.intake.put(refused(1000, "x"))
	}
	s.checkDisturbances([]tracer.Disturbance{{What: "kprobes", Why: "off"}})
	s.watched.unseen.Add(2)
	s.measure(t.Context())
	text := s.ask("unix", func(r *http.Request) { r.URL.Path = "/metrics" }).Body.String()
	for _, want := range []string{
		`kmodtrace_folded_total{action="unload"} 12`, `kmodtrace_folded_total{action="load"} 0`, "kmodtrace_hooks_disturbed 1",
		"kmodtrace_modules_unseen_total 2", "kmodtrace_queue_actions 8", "kmodtrace_oldest_waiting_seconds ", "kmodtrace_journal_records 1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// TestWaitsLong: an action that waits for long makes the service unhealthy.
func TestWaitsLong(t *testing.T) {
	s := withJournal(t)
	s.intake.put(loadOf(1, "x"))
	if err := s.metrics.unhealthy(); err != nil {
		t.Error(err)
	}
	s.intake.mu.Lock()
	s.intake.waits[changesLane][0].since = time.Now().Add(-waitsLong - time.Second)
	s.intake.mu.Unlock()
	if err := s.metrics.unhealthy(); err == nil || !strings.Contains(err.Error(), "waits since") {
		t.Errorf("%v", err)
	}
}

// fullSocket is a datagram socket that nobody reads and that takes no more.
func fullSocket(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for err == nil {
		err = unix.Sendto(fd, []byte("x"), 0, &unix.SockaddrUnix{Name: path})
	}
	return path
}

// TestLogNobodyReads: a system log that nobody reads holds an anchor up for a time that is
// known, and is told from one that is not there.
func TestLogNobodyReads(t *testing.T) {
	path := fullSocket(t)
	done := make(chan error, 1)
	go func() { done <- logLine([]string{path}, "anchor") }()
	select {
	case err := <-done:
		if !os.IsTimeout(err) {
			t.Errorf("%v", err)
		}
	case <-time.After(await.Bound):
		t.Fatal("it waits for ever")
	}
	if err := logLine([]string{"/nonexistent/log"}, "anchor"); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
	read := filepath.Join(t.TempDir(), "log")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: read, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := logLine([]string{"/nonexistent/log", read}, "anchor x"); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 200)
	n, err := l.Read(text)
	if want := fmt.Sprintf("kmodtrace[%d]: anchor x\n", os.Getpid()); err != nil || !strings.HasPrefix(string(text[:n]), "<85>") || !strings.HasSuffix(string(text[:n]), want) {
		t.Errorf("%q, %v", text[:n], err)
	}
}

// TestNotifyNobodyReads: a manager that does not read what it is told holds nobody up for
// ever.
func TestNotifyNobodyReads(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", fullSocket(t))
	done := make(chan struct{})
	go func() {
		systemd{}.ready()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(await.Bound):
		t.Fatal("it waits for ever")
	}
}

// TestEvery: what is done every second goes on, and ends.
func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		go every(ctx, time.Second, func() { n++ })
		time.Sleep(10*time.Second + time.Millisecond)
		cancel()
		synctest.Wait()
		if n != 10 {
			t.Errorf("%d times", n)
		}
	})
}

// TestEveryRests: what takes long is done less often, but not ever less.
func TestEveryRests(t *testing.T) {
	for _, c := range []struct {
		takes time.Duration
		times int
	}{{100 * time.Millisecond, 54}, {500 * time.Millisecond, 11}, {time.Minute, 1}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			n := 0
			go every(ctx, time.Second, func() {
				n++
				time.Sleep(c.takes)
			})
			time.Sleep(time.Minute)
			cancel()
			synctest.Wait()
			if n != c.times {
				t.Errorf("%d times within a minute, though each takes %v: want %d", n, c.takes, c.times)
			}
			time.Sleep(time.Hour)
		})
	}
}

// TestFoldsKept: folds are recorded when they are due and when the service ends; while they
// cannot be written they go on counting.
func TestFoldsKept(t *testing.T) {
	s := withJournal(t)
	for range 100 {
		s.intake.put(refused(1000, "x"))
	}
	s.journal.SetRoom(journal.Room{Reserve: 1 << 60}) // no disk has so much
	s.keepFolds(true)
	if kinds := s.kinds(t); len(kinds) != 0 {
		t.Fatalf("%v", kinds)
	}
	if s.keeper.failing() != 0 || s.keeper.failingMinor() == 0 {
		t.Error("what is minor is taken for all")
	}
	for range 50 {
		s.intake.put(refused(1000, "x"))
	}
	s.journal.SetRoom(journal.Room{})
	if err := s.ending(); err != nil {
		t.Fatal(err)
	}
	for r, err := range s.journal.Query(t.Context(), journal.Filter{Kinds: []journal.Kind{journal.KindFolded}}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Count != 150-fullPerUser || r.Class != journal.ClassMinor || !strings.Contains(entryOf(&r).Text, "142 more attempts to unload modules changed nothing, by") {
			t.Errorf("%d, class %d, %q", r.Count, r.Class, entryOf(&r).Text)
		}
		return
	}
	t.Error("no fold is in the journal")
}

// TestMinorUnwritten: minor actions that cannot be written are counted, and hold up nobody.
func TestMinorUnwritten(t *testing.T) {
	s := withJournal(t)
	s.asker = newAsker(func() inquiry { return hungInquiry{func(string) bool { return false }, nil} })
	s.journal.SetRoom(journal.Room{Reserve: 1 << 60})
	for range 5 {
		s.intake.put(refused(1000, "x"))
	}
	s.intake.put(loadOf(1, "real"))
	ended := make(chan error, 1)
	go func() { ended <- s.record(t.Context()) }()
	until(t, "all is recorded or counted", s.intake.quiet)
	s.intake.end()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	due := s.folds.take(true)
	if len(due) != 1 || due[0].Count != 5 || due[0].Unwritten != 5 {
		t.Errorf("%+v", due)
	}
	if kinds := s.kinds(t); len(kinds) != 1 || kinds[0] != journal.KindAction {
		t.Errorf("the journal has %v", kinds)
	}
}
