package service

import (
	"context"
	"fmt"
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

func (s systemd) notify(state string) { _, _ = daemon.SdNotify(false, state) }

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
