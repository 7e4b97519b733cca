package holders

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/internal/wire"
)

// programs are the BPF programs that are attached to functions of the module by trampolines, which
// hold it; probes do not. Kernels before 5.11 describe no modules, so that they have none.
func (s *textSources) programs() ([]User, error) {
	if s.root != "/" {
		return nil, nil
	}
	// Without its types nothing can be attached so.
	if _, err := os.Stat(filepath.Join("/sys/kernel/btf", s.module)); err != nil {
		return nil, nil
	}
	if err := haveReading(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPrograms, err)
	}
	types, err := s.typesOfModule()
	if err != nil || types == 0 {
		return nil, err
	}
	var found []attachedProgram
	links := new(link.Iterator)
	defer links.Close()
	for links.Next() {
		if p, ok := programUser(links.Link, types); ok {
			found = append(found, p)
		}
	}
	findPrograms(found)
	users := make([]User, 0, len(found))
	for _, p := range found {
		users = append(users, p.User)
	}
	if err := links.Err(); err != nil {
		return users, fmt.Errorf("%w: %w", ErrPrograms, err)
	}
	return users, nil
}

// attachedProgram is a program with the link by which it is attached.
type attachedProgram struct {
	User
	link link.ID
}

// ErrPrograms: attached BPF programs were not asked for, or not all.
var ErrPrograms = errors.New("attached BPF programs not asked for")

// typesOfModule gives the number of the description of the module's types; zero where there is none.
func (s *textSources) typesOfModule() (btf.ID, error) {
	all := new(btf.HandleIterator)
	defer func() { all.Handle.Close() }()
	for all.Next() {
		info, err := all.Handle.Info()
		if err == nil && info.IsModule() && s.is(info.Name) {
			return info.ID, nil
		}
	}
	if err := all.Err(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrPrograms, err)
	}
	return 0, nil
}

// programUser tells whether a link is of a program on a function that these types describe.
func programUser(l link.Link, types btf.ID) (attachedProgram, bool) {
	info, err := l.Info()
	if err != nil {
		return attachedProgram{}, false
	}
	tracing := info.Tracing()
	if tracing == nil || btf.ID(tracing.TargetObjectId) != types {
		return attachedProgram{}, false
	}
	u := attachedProgram{User: User{Kind: BPFProgram, Holds: true, Detail: fmt.Sprintf("link %d", info.ID)}, link: info.ID}
	if p, err := ebpf.NewProgramFromID(info.Program); err == nil {
		defer p.Close()
		if info, err := p.Info(); err == nil {
			u.Name = wire.Printable(info.Name)
		}
	}
	return u, true
}

// findPrograms finds a process that has each link open: it ends with the last of these. One that
// none has is kept by a file in a BPF file system.
func findPrograms(found []attachedProgram) {
	if len(found) == 0 {
		return
	}
	files, _ := filepath.Glob("/proc/[0-9]*/fdinfo/*")
	for _, file := range files {
		text, err := procfs.ReadFile(file, procfs.MaxLine)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			number, ok := strings.CutPrefix(line, "link_id:")
			if !ok {
				continue
			}
			id, err := strconv.ParseUint(strings.TrimSpace(number), 10, 32)
			for i := range found {
				if p := &found[i]; err == nil && p.link == link.ID(id) && p.PID == 0 {
					p.openIn(filepath.Dir(filepath.Dir(file)))
				}
			}
		}
	}
}

// openIn notes the process of a directory of /proc.
func (u *User) openIn(dir string) {
	pid, err := strconv.ParseUint(filepath.Base(dir), 10, 32)
	if err != nil {
		return
	}
	u.PID, u.Comm = uint32(pid), wire.Printable(procfs.FirstLine(filepath.Join(dir, "comm")))
	u.LetGo = fmt.Sprintf("kill %d", pid)
}
