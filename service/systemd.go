package service

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// systemd is told how the service is, where it was started by systemd.
type systemd struct {
	interval time.Duration // in which its watchdog wants to hear something; 0: it does not
}

func newSystemd() systemd {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		interval = 0
	}
	return systemd{interval: interval}
}

// notifyWithin is how long systemd has to take a word.
const notifyWithin = time.Second

// notify does what daemon.SdNotify does, and that with a deadline: a manager that does not
// read its socket would hold the service for ever.
func (s systemd) notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(notifyWithin))
	_, _ = conn.Write([]byte(state))
}

func (s systemd) ready() { s.notify(daemon.SdNotifyReady) }

func (s systemd) stopping() { s.notify(daemon.SdNotifyStopping) }

// reloading carries the time, which Type=notify-reload wants.
func (s systemd) reloading() {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	s.notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/int64(time.Microsecond)))
}

// feed tells the watchdog that the service lives, as long as it is well.
func (s systemd) feed(ctx context.Context, well func() bool) {
	if s.interval == 0 {
		return
	}
	tick := time.NewTicker(s.interval / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if well() {
				s.notify(daemon.SdNotifyWatchdog)
			}
		}
	}
}
