package trial

import (
	"bufio"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// snapshot is what the kernel exposes at one time, by names that say what each is.
type snapshot map[string]bool

// trees are listed with all that is below them. Nothing is opened or asked about but
// directories: behind an entry that a module left there may be no code any more.
var trees = []string{"/proc", "/sys", "/dev"}

// unlisted are left out: they change by themselves, or are about processes or about who
// looks.
var unlisted = []string{
	"/proc/self", "/proc/thread-self", "/proc/sys/kernel/random", "/proc/bus/pci",
	"/sys/kernel/tracing", "/sys/kernel/debug/tracing", "/sys/kernel/slab", "/sys/kernel/debug/slab",
	"/sys/kernel/debug/kprobes", "/sys/fs/bpf", "/sys/fs/cgroup", "/sys/kernel/security", "/dev/pts", "/dev/shm", "/dev/fd",
}

// lists are files with an entry a line, of which the first words say what it is.
var lists = map[string]int{
	"/proc/devices": 2, "/proc/misc": 2, "/proc/filesystems": 2, "/proc/iomem": 4, "/proc/ioports": 4,
	"/proc/net/protocols": 1, "/proc/crypto": 3, "/proc/modules": 3,
}

func takeSnapshot() snapshot {
	s := make(snapshot)
	for _, root := range trees {
		s.list(root)
	}
	s.list("/proc/net/") // a link to a process's own
	for path, words := range lists {
		s.lines(path, words)
	}
	s.threads()
	return s
}

func (s snapshot) list(root string) {
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || slices.Contains(unlisted, path) || isProcess(path) {
			return skip(entry)
		}
		if path != root {
			s[path] = true
		}
		return nil
	})
}

func skip(entry fs.DirEntry) error {
	if entry != nil && entry.IsDir() {
		return fs.SkipDir
	}
	return nil
}

func isProcess(path string) bool {
	name, ok := strings.CutPrefix(path, "/proc/")
	return ok && name != "" && name[0] >= '0' && name[0] <= '9' && !strings.Contains(name, "/")
}

func (s snapshot) lines(path string, words int) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		fields := strings.Fields(in.Text())
		if len(fields) > 0 {
			s[path+": "+strings.Join(fields[:min(len(fields), words)], " ")] = true
		}
	}
}

// threads lists the kernel's own, but not its workers, which come and go.
func (s snapshot) threads() {
	all, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, path := range all {
		line, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err != nil || len(line) > 0 {
			continue
		}
		comm, err := os.ReadFile(path)
		name := strings.TrimSpace(string(comm))
		if err == nil && !strings.HasPrefix(name, "kworker/") {
			s["kernel thread "+name] = true
		}
	}
}

// since gives what is there now and was not before, and of a directory that is new only
// itself.
func (s snapshot) since(before snapshot) (entries []string) {
	for name := range s {
		if !before[name] && !s.isBelowNew(name, before) {
			entries = append(entries, name)
		}
	}
	slices.Sort(entries)
	return entries
}

func (s snapshot) isBelowNew(name string, before snapshot) bool {
	directory := filepath.Dir(name)
	return strings.HasPrefix(name, "/") && !strings.Contains(name, ": ") && s[directory] && !before[directory]
}
