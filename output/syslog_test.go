package output

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/leodido/go-syslog/v4/rfc5424"
)

// form is the grammar of RFC 5424, section 6, with one element of structured data.
var form = regexp.MustCompile(`^<(\d{1,3})>1 (-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z) ([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) ` +
	`\[kmodtrace@32473((?: [!#-<>-\\^-~]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*)\](?: (.*))?$`)

var param = regexp.MustCompile(` ([^=]+)="((?:[^"\\\]]|\\["\\\]])*)"`)

var unescape = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\]`, `]`)

// parseSyslog reads a message by the grammar; the library must read the same.
func parseSyslog(tb testing.TB, text string) (header []string, params map[string]string, message string) {
	tb.Helper()
	m := form.FindStringSubmatch(text)
	if m == nil {
		tb.Fatalf("not of the form: %.300q", text)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || len(text) > maxMessage {
		tb.Fatalf("%d bytes: %.300q", len(text), text)
	}
	params = map[string]string{}
	for _, p := range param.FindAllStringSubmatch(m[7], -1) {
		if _, twice := params[p[1]]; twice {
			tb.Fatalf("%s stands twice", p[1])
		}
		params[p[1]] = unescape.Replace(p[2])
	}
	parsed, err := rfc5424.NewParser().Parse([]byte(text))
	if err != nil {
		tb.Fatalf("%v: %q", err, text)
	}
	same := (*parsed.(*rfc5424.SyslogMessage).StructuredData)[elementID]
	if len(same) != len(params) {
		tb.Fatalf("%q, and by the library %q", params, same)
	}
	return m[1:7], params, m[8]
}

func TestSyslogForm(t *testing.T) {
	s := newSyslog("syslog", "unix", "/x", facilities["local3"], host{name: "the box"})
	e := testEntry(t, 7, samples(t)["failed"], "load of hello: failed")
	text, err := s.message(&e)
	if err != nil {
		t.Fatal(err)
	}
	header, params, message := parseSyslog(t, string(text))
	want := []string{"156", "2026-03-01T14:03:22.123456Z", "the_box", "kmodtrace", strconv.Itoa(os.Getpid()), "action"}
	if fmt.Sprint(header) != fmt.Sprint(want) || message != e.Text {
		t.Errorf("%q, %q, want %q", header, message, want)
	}
	for name, want := range map[string]string{"id": e.ID, "seq": "7", "module": "hello", "action": "load", "outcome": "failed",
		"cause": "symbol-missing", "errno": "ENOENT", "file": "/specimens/hello.ko", "exe": "/usr/bin/kmod", "command": "insmod /specimens/hello.ko whom=you"} {
		if params[name] != want {
			t.Errorf("%s is %q, want %q", name, params[name], want)
		}
	}
}

// TestSyslogHostile: nothing in a value ends it, and none makes a message too long.
func TestSyslogHostile(t *testing.T) {
	s := newSyslog("syslog", "unix", "/x", 3, host{name: hostile})
	for _, e := range entries(t) {
		text, err := s.message(&e)
		if err != nil {
			t.Fatal(err)
		}
		_, params, _ := parseSyslog(t, string(text))
		if params["seq"] != fmt.Sprint(e.Seq) || strings.ContainsFunc(string(text), cells.Hidden) {
			t.Errorf("%q", params)
		}
	}
	e := Entry{Record: journal.Record{ID: `]"\` + "\x00\n\xff\u2028", Kind: `\`, Boot: `\\"`}}
	text, err := s.message(&e)
	if err != nil {
		t.Fatal(err)
	}
	_, params, _ := parseSyslog(t, string(text))
	if want := `]"\` + `\x00\n` + "\uFFFD" + `\u2028`; params["id"] != want || params["kind"] != `\` || params["boot"] != `\\"` {
		t.Errorf("%q, want %q", params, want)
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{{"abcd", 4, "abcd"}, {"abcde", 4, "a…"}, {"ééé", 5, "é…"}, {"aéé", 4, "a…"}, {"日本", 5, "…"}, {"", 3, ""}} {
		if got := clip(c.text, c.limit); got != c.want {
			t.Errorf("%q to %d: %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}

func TestSyslogDatagrams(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	unixConn := listenUnix(t, path)
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, c := range []struct {
		address string
		conn    net.PacketConn
	}{{"unix:" + path, unixConn}, {"udp:" + udp.LocalAddr().String(), udp}} {
		o := openConfig(t, Config{Type: "syslog", Address: c.address})
		large := testEntry(t, 1, samples(t)["long"], strings.Repeat("x", 1<<20))
		send(t, o, append([]Entry{large}, numbered(2, 2)...))
		data := make([]byte, 1<<20)
		for _, want := range []string{"1", "2", "3"} {
			n, _, err := c.conn.ReadFrom(data)
			if err != nil {
				t.Fatal(err)
			}
			if _, params, _ := parseSyslog(t, string(data[:n])); params["seq"] != want {
				t.Errorf("%s: %q", c.address, params)
			}
		}
	}
}

// TestSyslogRefused: that nobody listens is found out as far as the system tells.
func TestSyslogRefused(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udpAddress, tcpAddress := "udp:"+udp.LocalAddr().String(), "tcp:"+tcp.Addr().String()
	udp.Close()
	tcp.Close()
	for _, address := range []string{udpAddress, tcpAddress} {
		o := openConfig(t, Config{Type: "syslog", Address: address})
		for range 2 {
			if err := o.Send(t.Context(), numbered(1, 2)); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: %v", address, err)
			}
		}
	}
	o := openConfig(t, Config{Type: "syslog", Address: "unix:" + filepath.Join(t.TempDir(), "none")})
	if err := o.Send(t.Context(), numbered(1, 1)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func listenTCP(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// readCounted reads a message with its length before it (RFC 6587, 3.4.1).
func readCounted(r *bufio.Reader) (string, error) {
	size, err := r.ReadString(' ')
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(size, " "))
	if err != nil || size[0] == '0' || n > maxMessage {
		return "", fmt.Errorf("length %q", size)
	}
	text := make([]byte, n)
	_, err = io.ReadFull(r, text)
	return string(text), err
}

func TestSyslogTCP(t *testing.T) {
	l := listenTCP(t)
	o := openConfig(t, Config{Type: "syslog", Address: "tcp:" + l.Addr().String()})
	done := make(chan struct{})
	go func() {
		defer close(done)
		all := append(numbered(1, 3), Entry{Record: journal.Record{Seq: 4}, Text: hostile})
		for i := range all {
			if err := o.Send(t.Context(), all[i:i+1]); err != nil {
				t.Error(err)
			}
		}
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for i := range 4 {
		text, err := readCounted(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, params, _ := parseSyslog(t, text); params["seq"] != fmt.Sprint(i+1) {
			t.Errorf("%q", params)
		}
	}
	<-done
}

// TestSyslogClosed: what is written to a connection that the other side has closed counts
// as not delivered, and goes to the next one.
func TestSyslogClosed(t *testing.T) {
	l := listenTCP(t)
	o := openConfig(t, Config{Type: "syslog", Address: "tcp:" + l.Addr().String()})
	sent := make(chan error)
	deliver := func(from int) { go func() { sent <- o.Send(t.Context(), numbered(from, 1)) }() }

	deliver(1)
	conn, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	_ = conn.SetLinger(0) // a reset, as of a program that was killed with something to read
	conn.Close()
	if err := o.Send(t.Context(), numbered(2, 1)); err == nil {
		t.Fatal("sent into a connection that is closed")
	}

	deliver(2)
	if conn, err = l.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	if text, err := readCounted(bufio.NewReader(conn)); err != nil || !strings.Contains(text, `seq="2"`) {
		t.Fatal(text, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	conn.Close() // in order: the system would take what is written now, and drop it
	if err := o.Send(t.Context(), numbered(3, 1)); !errors.Is(err, errClosed) {
		t.Fatal(err)
	}
}

// TestSyslogHangs: a receiver that reads nothing holds up nobody, and what it did not
// take counts as not delivered.
func TestSyslogHangs(t *testing.T) {
	l := listenTCP(t)
	o := openConfig(t, Config{Type: "syslog", Address: "tcp:" + l.Addr().String(), Timeout: 500 * time.Millisecond})
	var all []Entry
	for _, e := range numbered(1, 5000) {
		e.Text = strings.Repeat("x", 1000)
		all = append(all, e)
	}
	for range 2 {
		var timeout net.Error
		if err := o.Send(t.Context(), all); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatal(err)
		}
	}
}
