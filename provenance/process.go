package provenance

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// process is a loader that is still there. Its directory in /proc is held open: what is
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
	if !procfs.StartedAt(procfs.FirstLine(p.path("stat")), t.Start) {
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
