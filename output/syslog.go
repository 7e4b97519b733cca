package output

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/leodido/go-syslog/v4/rfc5424"
)

// syslogSocket is where this machine's syslog listens.
const syslogSocket = "/dev/log"

// elementID names the structured data. 32473 is the number that RFC 5612 sets aside for
// examples: the project has none of its own.
const elementID = "kmodtrace@32473"

// facilities are those of RFC 5424.
var facilities = map[string]uint8{
	"": 3, "kern": 0, "user": 1, "daemon": 3, "auth": 4, "authpriv": 10, "audit": 13,
	"local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
}

func facilityNames() string {
	names := slices.Sorted(maps.Keys(facilities))
	return strings.Join(names[1:], ", ") // without the empty one
}

// syslog sends messages as RFC 5424 has them: one in a datagram, or each with its length
// before it (RFC 6587).
//
// Syslog acknowledges nothing. By TCP a message counts as delivered when the other
// machine has it, if that is not the end of the connection; what its syslog does with it
// then, nobody says. By UDP it is sent and no more.
type syslog struct {
	name     string
	link     link
	facility uint8
	host     string
}

func newSyslog(name, network, where string, facility uint8, h host) *syslog {
	if network == "unix" {
		network = "unixgram"
	}
	return &syslog{name: name, link: link{network: network, address: where}, facility: facility, host: h.name}
}

func (s *syslog) Name() string { return s.name }
func (s *syslog) Close() error { return s.link.Close() }

func (s *syslog) Send(ctx context.Context, entries []Entry) error {
	messages := make([][]byte, len(entries))
	for i := range entries {
		m, err := s.message(&entries[i])
		if err != nil {
			return err
		}
		messages[i] = m
	}
	return s.link.do(ctx, func(conn net.Conn) error {
		if s.link.network == "tcp" {
			return sendCounted(ctx, conn, messages)
		}
		for _, m := range messages {
			if _, err := conn.Write(m); err != nil {
				return err
			}
		}
		return pending(conn)
	})
}

func sendCounted(ctx context.Context, conn net.Conn, messages [][]byte) error {
	if err := stillOpen(conn); err != nil {
		return err
	}
	var b bytes.Buffer
	for _, m := range messages {
		fmt.Fprintf(&b, "%d %s", len(m), m)
	}
	if _, err := conn.Write(b.Bytes()); err != nil {
		return err
	}
	if err := acknowledged(ctx, conn); err != nil {
		return err
	}
	return stillOpen(conn)
}

// Receivers take at least 480 bytes and should take 2048 (RFC 5424, 6.1); those in use
// take 8 KiB. What is longer is cut: first to the first of these lengths, in bytes, each
// value, then all to the next.
const maxMessage = 8 << 10

var cuts = []int{1024, 256, 96}

func (s *syslog) message(e *Entry) ([]byte, error) {
	var text string
	for _, limit := range cuts {
		m := rfc5424.SyslogMessage{}
		m.Priority = ptr(s.facility*8 + uint8(e.level()))
		m.Version = 1
		if year := e.Time.UTC().Year(); year > 0 && year <= 9999 {
			m.Timestamp = ptr(e.Time.UTC().Truncate(time.Microsecond))
		}
		m.Hostname = header(s.host, 255)
		m.Appname = header(identifier, 48)
		m.ProcID = header(strconv.Itoa(os.Getpid()), 128)
		m.MsgID = header(string(e.Kind), 32)
		params := make(map[string]string)
		for _, f := range facts(e) {
			params[f.name] = clip(printable(f.value), limit)
		}
		m.StructuredData = &map[string]map[string]string{elementID: params}
		m.Message = ptr(clip(printable(e.Text), limit))
		var err error
		if text, err = m.String(); err != nil {
			return nil, fmt.Errorf("record %d: %w", e.Seq, err)
		}
		if len(text) <= maxMessage {
			break
		}
	}
	return []byte(text), nil
}

func ptr[T any](v T) *T { return &v }

// header makes a field of the header: printable ASCII without spaces; nil for none.
func header(s string, limit int) *string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return nil
	}
	return ptr(s[:min(len(s), limit)])
}

// printable makes visible what is not graphic: it can end a message, or make a terminal show another.
func printable(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !unprintable(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRune(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

func unprintable(r rune) bool { return cells.Hidden(r) }

// clip cuts to a number of bytes, and says so by an ellipsis.
func clip(s string, limit int) string {
	const mark = "…"
	if len(s) <= limit {
		return s
	}
	n := limit - len(mark)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + mark
}
