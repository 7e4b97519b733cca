package attach

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// tracefsPrefix begins the names of the probes that need an entry in tracefs; the
// reader's process id follows. So those of a reader that was killed can be found
// and removed.
const tracefsPrefix = "kmodtrace_"

// sharedPrefix begins the names of events that probes share. The kernel refuses to
// remove a probe in use, but of several by one name it removes all but the last:
// so nobody may remove these by mistake, and the number of the reader's pid namespace
// follows its process id.
const sharedPrefix = "kmodtraces_"

// eventName is the name that a probe's entry in tracefs gets: the target with
// each run of underscores as one.
func eventName(target string) string {
	for strings.Contains(target, "__") {
		target = strings.ReplaceAll(target, "__", "_")
	}
	return target
}

// removeStaleProbes takes back the tracefs entries of readers that were killed.
// Those in use answer EBUSY and stay, but for shared ones: whoever of another pid
// namespace has made those may be there.
func removeStaleProbes() {
	for _, root := range tracefsRoots() {
		groups, _ := filepath.Glob(filepath.Join(root, "events", tracefsPrefix+"*"))
		shared, _ := filepath.Glob(filepath.Join(root, "events", sharedPrefix+"*_"+procfs.PIDNamespace()+"_*"))
		for _, group := range append(groups, shared...) {
			if !alive(group) {
				removeProbes(root, group)
			}
		}
	}
}

// alive tells whether the process that a group is named after is there, as far as
// this pid namespace shows.
func alive(group string) bool {
	_, rest, _ := strings.Cut(filepath.Base(group), "_")
	pid, _, _ := strings.Cut(rest, "_")
	_, err := os.Stat("/proc/" + pid)
	return pid != "" && err == nil
}

// busyWithin bounds the wait for a child that holds this process's probes. When it
// is the last to close them, the kernel detaches them in its exec, one by one: as
// long as that takes elsewhere, and on two busy CPUs under emulation seconds.
const (
	busyWithin = 15 * time.Second
	busyPause  = 5 * time.Millisecond
)

// removeBusyProbes takes back n entries of this process that were in use when
// their probes were closed. A child between fork and exec holds its parent's
// files, and with them the probes. It tells whether they are gone.
func removeBusyProbes(n int) bool {
	own := tracefsPrefix + strconv.Itoa(os.Getpid()) + "_*"
	for deadline := time.Now().Add(busyWithin); n > 0 && time.Now().Before(deadline); time.Sleep(busyPause) {
		for _, root := range tracefsRoots() {
			groups, _ := filepath.Glob(filepath.Join(root, "events", own))
			for _, group := range groups {
				n -= removeProbes(root, group)
			}
		}
	}
	return n <= 0
}

// removeProbes removes what is not in use of a group, and counts it.
func removeProbes(root, group string) (removed int) {
	events, _ := filepath.Glob(filepath.Join(group, "*", "format"))
	for _, event := range events {
		if writeProbeTo(root, fmt.Sprintf("-:%s/%s", filepath.Base(group), filepath.Base(filepath.Dir(event)))) == nil {
			removed++
		}
	}
	return removed
}

// writeProbe defines a probe, or takes one back, in the words of tracefs.
func writeProbe(line string) error {
	var err error
	for _, root := range tracefsRoots() {
		if err = writeProbeTo(root, line); !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return err
}

func writeProbeTo(root, line string) error {
	f, err := os.OpenFile(filepath.Join(root, "kprobe_events"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

func tracefsRoots() []string {
	return []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}
}

func haveTracefs() bool {
	return slices.ContainsFunc(tracefsRoots(), func(root string) bool {
		_, err := os.Stat(filepath.Join(root, "kprobe_events"))
		return err == nil
	})
}

// kprobeProfile reads how often each kprobe event of tracefs was missed, by its name,
// and of several probes by one name in their order.
func kprobeProfile() map[string][]uint64 {
	for _, root := range tracefsRoots() {
		f, err := os.Open(filepath.Join(root, "kprobe_profile"))
		if err != nil {
			continue
		}
		defer f.Close()
		return parseKprobeProfile(f)
	}
	return nil
}

// parseKprobeProfile reads lines of "name hits misses".
func parseKprobeProfile(r io.Reader) map[string][]uint64 {
	missed := make(map[string][]uint64)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 {
			continue
		}
		if n, err := strconv.ParseUint(fields[2], 10, 64); err == nil {
			missed[fields[0]] = append(missed[fields[0]], n)
		}
	}
	return missed
}
