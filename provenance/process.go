package provenance

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// process is a loader that is still there. Its folder in /proc is held open: what is
// asked below that never is another process's of the same number.
type process struct {
	dir   *os.File
	mount uint32 // its mount namespace; 0 where that may not be asked
}

// process gives the one that made the load; nil where it has ended. It is looked for when
// it is first asked for: mostly the event and the path tell enough.
func (s *search) process() *process {
	if !s.sought {
		s.sought, s.loader = true, s.openProcess()
	}
	return s.loader
}

func (s *search) openProcess() *process {
	t := s.action.Thread
	fd, err := unix.Open(s.Lookup.path("proc", strconv.FormatUint(uint64(t.PID), 10)), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	p := &process{dir: os.NewFile(uintptr(fd), "process")}
	if !startedAt(procfs.FirstLine(p.path("stat")), t.Start) {
		p.close()
		return nil
	}
	p.mount = mountNamespace(p.path())
	return p
}

func (p *process) path(name ...string) string {
	fd := strconv.Itoa(int(p.dir.Fd()))
	return filepath.Join(append([]string{"/proc/self/fd", fd}, name...)...)
}

func (p *process) close() {
	if p != nil {
		p.dir.Close()
	}
}

// startedAt tells whether a line of /proc/PID/stat is of a process that began then. It
// counts in ticks, of which a second has a hundred on every machine that this runs on.
func startedAt(stat string, start time.Duration) bool {
	_, rest, ok := cutLast(stat, ")") // the name before it may hold anything
	fields := strings.Fields(rest)
	const startTime = 22 - 3 // of the fields after the name
	if !ok || len(fields) <= startTime {
		return false
	}
	ticks, err := strconv.ParseInt(fields[startTime], 10, 64)
	return err == nil && ticks == int64(start/(10*time.Millisecond))
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// mountNamespace gives the number of a process's mount namespace; 0 where it cannot.
func mountNamespace(process string) uint32 {
	link, err := os.Readlink(filepath.Join(process, "ns/mnt"))
	if err != nil {
		return 0
	}
	number, _ := strings.CutPrefix(link, "mnt:[")
	id, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(id)
}

// namespace gives the mount namespace of the load; 0 where not known.
func (s *search) namespace() uint32 {
	if a := s.action.Actor; a != nil && a.Namespaces.Mount != (tracer.Namespace{}) {
		return a.Namespaces.Mount.ID
	}
	if p := s.process(); p != nil {
		return p.mount
	}
	return 0
}

// foreign tells whether the load is known to be of another mount namespace than this
// process's.
func (s *search) foreign() bool {
	mount := s.namespace()
	return mount != 0 && s.mount != 0 && mount != s.mount
}

// maxProcesses bounds those that are asked for their namespace.
const maxProcesses = 4096

// rootsOf gives roots by which the load's mount namespace can be seen: its process's,
// or that of another process in it. The first is enough.
func (s *search) rootsOf() []string {
	mount := s.namespace()
	if p := s.process(); p != nil && p.mount == mount {
		return []string{p.path("root")}
	}
	entries, _ := os.ReadDir(s.Lookup.path("proc"))
	asked := 0
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		dir := s.Lookup.path("proc", e.Name())
		if mountNamespace(dir) == mount {
			return []string{filepath.Join(dir, "root")}
		}
		if asked++; asked == maxProcesses {
			break
		}
	}
	return nil
}
