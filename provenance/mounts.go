package provenance

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// mount is a line of mountinfo (proc(5)).
type mount struct {
	id, parent string
	kind       string // its file system's name
}

// maxMounts bounds the text that is read of it.
const maxMounts = 4 << 20

// remoteOn names a file system on a path below a root that a program or another machine
// answers for; "" where none is known. Following the path would ask it, and nothing ends
// whoever waits for the answer. The kernel tells without asking. A mount that comes after
// this look is left to the lookup's time.
func (l *Lookup) remoteOn(root, path string) string {
	if root == l.opts.Root {
		return remoteMount(l.mounts.now(l.path("proc/self/mountinfo")), path)
	}
	f, err := os.Open(filepath.Join(filepath.Dir(root), "mountinfo")) // beside a process's root
	if err != nil {
		return ""
	}
	defer f.Close()
	return remoteMount(readMounts(f), path)
}

// mountTable is the mounts of this process's namespace, read again when they change.
type mountTable struct {
	mu     sync.Mutex
	file   *os.File
	mounts map[string][]mount
}

// now gives the mounts; nil where they are not known.
func (t *mountTable) now(list string) map[string][]mount {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		// Not by os.Open: the runtime's poller would be told of a change instead of us.
		fd, err := unix.Open(list, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil
		}
		t.file = os.NewFile(uintptr(fd), list)
	} else if !t.changed() {
		return t.mounts
	}
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return nil
	}
	t.mounts = readMounts(t.file)
	return t.mounts
}

// changed asks as proc(5) says; the kernel tells of each change once.
func (t *mountTable) changed() bool {
	fds := []unix.PollFd{{Fd: int32(t.file.Fd()), Events: unix.POLLPRI}}
	n, err := unix.Poll(fds, 0)
	return err != nil || n > 0 && fds[0].Revents&(unix.POLLPRI|unix.POLLERR) != 0
}

// readMounts gives the mounts by where they are. Of several at one place, each is mounted
// on the one before.
func readMounts(r io.Reader) map[string][]mount {
	mounts := make(map[string][]mount)
	lines := bufio.NewScanner(io.LimitReader(r, maxMounts))
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(before)
		kind, _, _ := strings.Cut(after, " ")
		if !ok || len(fields) < 5 {
			continue
		}
		at := unescaped.Replace(fields[4])
		mounts[at] = append(mounts[at], mount{id: fields[0], parent: fields[1], kind: kind})
	}
	return mounts
}

// unescaped undoes what mountinfo does to its texts.
var unescaped = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#")

// remoteMount follows a path from mount to mount.
func remoteMount(mounts map[string][]mount, path string) string {
	roots := mounts["/"]
	if len(roots) == 0 {
		return ""
	}
	at := roots[len(roots)-1].id
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		for _, m := range mounts[path[:i]] {
			if m.parent != at {
				continue
			}
			if at = m.id; remoteKind(m.kind) && !covered(mounts[path[:i]], at) {
				return m.kind
			}
		}
	}
	return ""
}

// covered tells whether another is mounted on a mount's root: an autofs mostly is.
func covered(here []mount, id string) bool {
	for _, m := range here {
		if m.parent == id {
			return true
		}
	}
	return false
}

// remoteKind tells whether it is not this kernel that answers for a file system of a type.
func remoteKind(kind string) bool {
	switch kind, _, _ := strings.Cut(kind, "."); kind { // "fuse.sshfs"
	case "fuse", "fuseblk", "virtiofs", "autofs", "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "ceph", "afs", "coda", "lustre",
		"gpfs", "orangefs", "pvfs2", "9p", "vboxsf":
		return true
	}
	return false
}
