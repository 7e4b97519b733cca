package tracer

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// tracefsPrefix begins the names of the probes that need an entry in tracefs; the
// reader's process id follows. So those of a reader that was killed can be found
// and removed.
const tracefsPrefix = "kmodtrace_"

// eventName is the name that a probe's entry in tracefs gets: the target with
// each run of underscores as one.
func eventName(target string) string {
	for strings.Contains(target, "__") {
		target = strings.ReplaceAll(target, "__", "_")
	}
	return target
}

// removeStaleProbes takes back the tracefs entries of readers that were killed.
// Those in use answer EBUSY and stay.
func removeStaleProbes() {
	for _, root := range tracefsRoots() {
		groups, _ := filepath.Glob(filepath.Join(root, "events", tracefsPrefix+"*"))
		for _, group := range groups {
			if !alive(group) {
				removeProbes(root, group)
			}
		}
	}
}

// alive tells whether the process that a group is named after is there, as far as
// this pid namespace shows.
func alive(group string) bool {
	pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(group), tracefsPrefix), "_")
	_, err := os.Stat("/proc/" + pid)
	return pid != "" && err == nil
}

func removeProbes(root, group string) {
	events, _ := filepath.Glob(filepath.Join(group, "*", "format"))
	for _, event := range events {
		f, err := os.OpenFile(filepath.Join(root, "kprobe_events"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(f, "-:%s/%s", filepath.Base(group), filepath.Base(filepath.Dir(event)))
		_ = f.Close()
	}
}

func tracefsRoots() []string {
	return []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}
}

// kprobeProfile reads how often each kprobe event of tracefs was missed.
func kprobeProfile() map[string]uint64 {
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
func parseKprobeProfile(r io.Reader) map[string]uint64 {
	missed := make(map[string]uint64)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 {
			continue
		}
		if n, err := strconv.ParseUint(fields[2], 10, 64); err == nil {
			missed[fields[0]] += n
		}
	}
	return missed
}
