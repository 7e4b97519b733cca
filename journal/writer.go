package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// HasWriter tells whether a process on this machine has the journal open for writing: a
// copy has none. It only looks: to try the lock would keep a writer out that comes at
// that moment.
func (r *Reader) HasWriter() (bool, error) {
	held, err := isLocked(r.path + "-lock")
	return held, wrap("see who writes", r.path, err)
}

// isLocked looks for a lock in the kernel's list. The device is not compared: some file
// systems have another one there than for stat.
func isLocked(path string) (bool, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return false, err
	}
	f, err := os.Open("/proc/locks")
	if err != nil {
		return false, err
	}
	defer f.Close()
	inode := fmt.Sprintf(":%d", st.Ino)
	lines := bufio.NewScanner(f)
	for lines.Scan() { // "1: FLOCK  ADVISORY  WRITE 4121 08:01:131 0 EOF"
		words := strings.Fields(lines.Text())
		if len(words) == 8 && words[1] == "FLOCK" && words[3] == "WRITE" && strings.HasSuffix(words[5], inode) {
			return true, nil
		}
	}
	return false, lines.Err()
}
