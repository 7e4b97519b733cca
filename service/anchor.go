package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// anchorWithin is how long the system log has to take a line.
const anchorWithin = 2 * time.Second

// logSockets are where the system log listens, as log/syslog has them. That package is not
// used because it has no deadline: a log that nobody reads would hold its caller for ever.
func logSockets() []string { return []string{"/dev/log", "/var/run/syslog", "/var/run/log"} }

// anchors tells the journal's head to the system log when the watching begins, and now and
// then.
func (s *Service) anchors(ctx context.Context) {
	told := s.anchor(ctx, 0)
	for ctx.Err() == nil {
		next := time.NewTimer(time.Duration(s.settings().Journal.AnchorEvery))
		select {
		case <-ctx.Done():
		case <-next.C:
			told = s.anchor(ctx, told)
		}
		next.Stop()
	}
}

// anchor tells the journal's head to the system log, if it is another than it told last.
func (s *Service) anchor(ctx context.Context, told int64) int64 {
	a, err := s.journal.Anchor(ctx, time.Now())
	if err != nil || a.Count == told {
		return told
	}
	// What this process logs may be in a file beside the journal. The system's log is
	// where others keep it.
	if err := logLine(logSockets(), "anchor "+a.String()); err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			s.log.Warn().Msgf("the system log does not take the anchor: %v", err)
		}
		s.log.Info().Msg("anchor " + a.String())
	}
	return a.Count
}

// logLine gives a line to the system log, or errs in time. It is of the facility authpriv
// and a notice.
func logLine(sockets []string, text string) error {
	const priority = 10<<3 | 5 // log/syslog's LOG_AUTHPRIV|LOG_NOTICE
	line := fmt.Sprintf("<%d>%s kmodtrace[%d]: %s\n", priority, time.Now().Format(time.Stamp), os.Getpid(), text)
	last := os.ErrNotExist
	until := time.Now().Add(anchorWithin)
	for _, path := range sockets {
		for _, network := range []string{"unixgram", "unix"} {
			err := sendLine(network, path, line, until)
			if err == nil {
				return nil
			}
			if !errors.Is(err, os.ErrNotExist) {
				last = err
			}
		}
	}
	return last
}

func sendLine(network, path, line string, until time.Time) error {
	conn, err := (&net.Dialer{Deadline: until}).Dial(network, path)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(until); err != nil {
		return err
	}
	_, err = conn.Write([]byte(line))
	return err
}
