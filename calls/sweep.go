package calls

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// prefix begins the name of each instance and group of events of this package. The owner's process id follows.
const prefix = "kmodtrace_calls_"

// Sweep removes what dead owners have left. The kernel refuses to remove an instance whose pipe is open, and an owner
// keeps its pipe open until it ends. That decides, because a process in another pid namespace does not find the owner in /proc.
func Sweep(tracefs string) error {
	groups, err := groupsIn(tracefs)
	if err != nil {
		return explain(err)
	}
	var failed error
	for group := range groups {
		if ownerLives(group) {
			continue
		}
		err := removeGroup(tracefs, group)
		if err != nil && !errors.Is(err, unix.EBUSY) {
			failed = errors.Join(failed, fmt.Errorf("remove what a killed kmodtrace has left: %w", err))
		}
	}
	return failed
}

// groupsIn lists instances and events of this package.
func groupsIn(tracefs string) (map[string]bool, error) {
	groups := make(map[string]bool)
	instances, err := os.ReadDir(filepath.Join(tracefs, "instances"))
	if err != nil {
		return nil, err
	}
	for _, d := range instances {
		if strings.HasPrefix(d.Name(), prefix) {
			groups[d.Name()] = true
		}
	}
	events, err := os.ReadFile(filepath.Join(tracefs, "kprobe_events"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(events)) {
		if group, _ := eventOf(line); strings.HasPrefix(group, prefix) {
			groups[group] = true
		}
	}
	return groups, nil
}

// eventOf reads group and event of a line of kprobe_events, such as r64:GROUP/EVENT MODULE:FUNCTION ret=$retval.
func eventOf(line string) (group, event string) {
	name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	_, name, _ = strings.Cut(name, ":")
	group, event, _ = strings.Cut(name, "/")
	return group, event
}

// ownerLives tells of a process that is certainly there: what it has just made and not opened yet is not
// to be removed.
func ownerLives(group string) bool {
	pid, _, _ := strings.Cut(strings.TrimPrefix(group, prefix), "_")
	n, err := strconv.Atoi(pid)
	if err != nil || n == os.Getpid() {
		return err == nil
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", n))
	return err == nil && strings.TrimSpace(string(comm)) == ownName()
}

func ownName() string {
	comm, _ := os.ReadFile("/proc/self/comm")
	return strings.TrimSpace(string(comm))
}

// removeGroup removes an instance, which disables its events, and then the events.
func removeGroup(tracefs, group string) error {
	err := os.Remove(filepath.Join(tracefs, "instances", group))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file := filepath.Join(tracefs, "kprobe_events")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	events, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer events.Close()
	var failed error
	for line := range strings.Lines(string(text)) {
		if in, event := eventOf(line); in == group {
			if err := removeEvent(events, group, event); err != nil {
				failed = errors.Join(failed, fmt.Errorf("remove the probe %s/%s: %w", group, event, err))
			}
		}
	}
	return failed
}

// removeEvent waits a little for somebody else who just looks at it.
func removeEvent(events *os.File, group, event string) error {
	for try := 0; ; try++ {
		_, err := fmt.Fprintf(events, "-:%s/%s\n", group, event)
		if !errors.Is(err, unix.EBUSY) || try == 20 {
			if errors.Is(err, fs.ErrNotExist) { // another start has swept too
				return nil
			}
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
