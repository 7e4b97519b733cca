package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
)

// usage is what a contender's processes have used so far.
type usage struct {
	cpu      float64 // seconds
	resident float64 // MiB now
	peak     float64 // MiB, the most that each had, in sum
}

const (
	ticks = 100 // USER_HZ, of all architectures here
	mib   = 1 << 20
)

// processes gives the directories in /proc of its processes, and what their files stat say
// after the name.
func (s *session) processes() map[string][]string {
	own := make(map[string][]string)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := cutLast(string(text), ")")
		const group = 2
		if fields := strings.Fields(rest); len(fields) > 13 && fields[group] == strconv.Itoa(s.cmd.Process.Pid) {
			own[filepath.Dir(name)] = fields
		}
	}
	return own
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// forgetPeak makes what is resident now the most that there was.
func (s *session) forgetPeak() {
	for dir := range s.processes() {
		_ = os.WriteFile(filepath.Join(dir, "clear_refs"), []byte("5"), 0)
	}
}

// usage adds up its processes.
func (s *session) usage() (u usage) {
	for dir, fields := range s.processes() {
		for _, field := range fields[11:13] { // utime, stime
			n, _ := strconv.ParseFloat(field, 64)
			u.cpu += n / ticks
		}
		status, _ := os.ReadFile(filepath.Join(dir, "status"))
		u.resident += kilobytes(string(status), "VmRSS:") * 1024 / mib
		u.peak += kilobytes(string(status), "VmHWM:") * 1024 / mib
	}
	return u
}

func kilobytes(status, key string) float64 {
	_, rest, _ := strings.Cut(status, key)
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseFloat(fields[0], 64)
	return n
}

// whole is the CPU time of it and of those that it waited for, once it has ended.
func (s *session) whole() float64 {
	p := s.cmd.ProcessState
	return (p.UserTime() + p.SystemTime()).Seconds()
}

// hooked counts what is attached to the kernel: BPF programs, probes, and rules of audit
// are what contenders leave behind.
func hooked() (n int, err error) {
	var id ebpf.ProgramID
	for {
		if id, err = ebpf.ProgramGetNextID(id); err != nil {
			break
		}
		n++
	}
	probes, err := os.ReadFile("/sys/kernel/tracing/kprobe_events")
	if err != nil {
		return n, fmt.Errorf("read the kernel's probes: %w", err)
	}
	return n + strings.Count(string(probes), "\n"), nil
}

// programs gives what each BPF program took since it was loaded, by its name.
func programs() (map[string]ebpf.ProgramStats, error) {
	all := make(map[string]ebpf.ProgramStats)
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if err != nil {
			return all, nil // the last one
		}
		id = next
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // gone meanwhile
		}
		stats, err := p.Stats()
		name := programName(p)
		p.Close()
		if err != nil {
			return nil, err
		}
		sum := all[name]
		sum.Runtime += stats.Runtime
		sum.RunCount += stats.RunCount
		all[name] = sum
	}
}

// programName is the function's, where the kernel keeps it: its own names of programs
// have fifteen characters.
func programName(p *ebpf.Program) string {
	info, err := p.Info()
	if err != nil {
		return "?"
	}
	if funcs, err := info.FuncInfos(); err == nil && len(funcs) > 0 {
		return funcs[0].Func.Name
	}
	return info.Name
}
