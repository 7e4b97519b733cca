package kernel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/internal/wire"
)

// Denial is what a security module wrote to the audit log when it refused something.
type Denial struct {
	// LSM is the security module's name as /sys/kernel/security/lsm has it.
	LSM  string
	Text string // the record without its head: "op=appraise_data cause=… comm=…"
}

// auditHead is the head of an audit record: of the kernel's log ("audit: type=1400
// audit(1700000000.123:45): …") and of auditd's ("type=AVC msg=audit(1700000000.123:45): …").
var auditHead = lazyregexp.New(`^(?:audit: )?type=(\w+) (?:msg=)?audit\((\d{1,12})\.(\d{3}):\d+\): *(.*)`)

// auditPID is the field with the process, or in records of some security modules the thread. What a
// program chose stands in quotes behind it.
var auditPID = lazyregexp.New(`(?:^|\s)pid=(\d+)(?:\s|$)`)

// auditTypes are the types of records that security modules write when they refuse, as numbers
// (include/uapi/linux/audit.h) and by auditd's names.
var auditTypes = map[string]string{
	"1400": "", "AVC": "", "1503": "apparmor", "APPARMOR_DENIED": "apparmor",
	"1800": "ima", "INTEGRITY_DATA": "ima", "1801": "ima", "INTEGRITY_METADATA": "ima",
	"1802": "ima", "INTEGRITY_STATUS": "ima",
	"1420": "ipe", "IPE_ACCESS": "ipe", "1423": "landlock", "LANDLOCK_ACCESS": "landlock",
}

// maxAuditLine bounds a record, maxAuditTail how much of auditd's file is read, from its end.
const (
	maxAuditLine = 8 << 10
	maxAuditTail = 1 << 20
)

// Denials gives what security modules wrote in that time about a process, or a thread of it, as far as
// the kernel's log and that of auditd can be read. The error says what could not be, and is no reason to
// doubt the denials: without CAP_SYSLOG, in most containers, neither can. The kernel writes records a moment
// after the refusal (kauditd), so that it looks again for up to a second where to has just
// passed, a few times a second at most.
func (k *Kernel) Denials(ctx context.Context, pid, tid uint32, from, to time.Time) ([]Denial, error) {
	if !k.running {
		return nil, nil
	}
	found, err := k.denials(pid, tid, from, to)
	if len(found) > 0 || time.Since(to) > time.Second || !k.auditWaits.Allow() {
		return found, err
	}
	for range 20 {
		select {
		case <-ctx.Done():
			return found, err
		case <-time.After(50 * time.Millisecond):
		}
		if found, err = k.denials(pid, tid, from, to); len(found) > 0 {
			break
		}
	}
	return found, err
}

func (k *Kernel) denials(pid, tid uint32, from, to time.Time) (found []Denial, err error) {
	take := func(line string) {
		if d, ok := denialOf(line, pid, tid, from, to); ok && len(found) < 16 {
			for _, other := range found {
				if other.Text == d.Text {
					return
				}
			}
			found = append(found, d)
		}
	}
	logErr := readLog(k.path("dev/kmsg"), take)
	auditErr := readTail(k.path("var/log/audit/audit.log"), take)
	if errors.Is(auditErr, os.ErrNotExist) {
		auditErr = nil // no auditd
	}
	return found, errors.Join(logErr, auditErr)
}

// auditTick is how far the time of an audit record may be behind: it has that of the last tick of the
// kernel's timer, of which there are at least a hundred a second (audit_log_start).
const auditTick = 10 * time.Millisecond

// denialOf reads a line of either log. The times of audit records have milliseconds.
func denialOf(line string, pid, tid uint32, from, to time.Time) (Denial, bool) {
	head := auditHead.FindStringSubmatch(line)
	if head == nil {
		return Denial{}, false
	}
	lsm, known := auditTypes[head[1]]
	if !known {
		return Denial{}, false
	}
	seconds, _ := strconv.ParseInt(head[2], 10, 64)
	millis, _ := strconv.ParseInt(head[3], 10, 64)
	at := time.Unix(seconds, millis*int64(time.Millisecond))
	if at.Before(from.Truncate(time.Millisecond).Add(-auditTick)) || at.After(to.Add(time.Millisecond)) {
		return Denial{}, false
	}
	text := head[4]
	by := auditPID.FindStringSubmatch(text)
	if by == nil || by[1] != strconv.FormatUint(uint64(pid), 10) && by[1] != strconv.FormatUint(uint64(tid), 10) {
		return Denial{}, false
	}
	if lsm == "" {
		lsm = lsmOfAVC(text)
	}
	if lsm == "" || !refuses(text) {
		return Denial{}, false
	}
	return Denial{LSM: lsm, Text: wire.Printable(text)}, true
}

// lsmOfAVC tells who wrote a record of the type that several security modules share.
func lsmOfAVC(text string) string {
	switch {
	case strings.HasPrefix(text, "avc:"):
		return "selinux"
	case strings.HasPrefix(text, "apparmor="):
		return "apparmor"
	case strings.HasPrefix(text, "lsm=SMACK"):
		return "smack"
	}
	return ""
}

// refuses tells a refusal from what was only noted: AppArmor's complain mode, a permissive domain
// of SELinux, and what integrity modules let pass.
func refuses(text string) bool {
	for _, noted := range []string{"permissive=1", `apparmor="ALLOWED"`, `apparmor="AUDIT"`, `apparmor="STATUS"`, "avc:  granted", " res=1"} {
		if strings.Contains(text, noted) {
			return false
		}
	}
	return true
}

// readLog gives each record of the kernel's log, as far back as the kernel has it.
func readLog(path string, take func(string)) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	record := make([]byte, maxAuditLine)
	for range 1 << 20 {
		n, err := unix.Read(int(f.Fd()), record)
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR): // overwritten meanwhile: the next one
		case errors.Is(err, unix.EAGAIN), err == nil && n == 0:
			return nil
		case err != nil:
			return err
		default:
			if text, ok := procfs.LogText(string(record[:n])); ok {
				take(text)
			}
		}
	}
	return nil
}

// readTail gives the last lines of a file.
func readTail(path string, take func(string)) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	start := max(info.Size()-maxAuditTail, 0)
	data, err := io.ReadAll(io.NewSectionReader(f, start, maxAuditTail))
	for line := range bytes.Lines(data) {
		if len(line) <= maxAuditLine {
			take(strings.TrimRight(string(line), "\n"))
		}
	}
	return err
}
