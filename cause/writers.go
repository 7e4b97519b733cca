package cause

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxWriters bounds what is said about a file that is open for writing.
const maxWriters = 5

// writers finds the processes that have a file open for writing, as far as /proc
// lets this user see.
func writers(path string) []string {
	var found []string
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || target != path || !opensForWriting(link) {
			continue
		}
		pid := strings.Split(link, "/")[2]
		comm, _ := os.ReadFile(filepath.Join("/proc", pid, "comm"))
		found = append(found, fmt.Sprintf("%s[%s]", strings.TrimSpace(string(comm)), pid))
		if len(found) == maxWriters {
			break
		}
	}
	return found
}

// opensForWriting reads the flags of an open descriptor, which are octal.
func opensForWriting(link string) bool {
	text, err := os.ReadFile(strings.Replace(link, "/fd/", "/fdinfo/", 1))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), "flags:")
	word, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	flags, err := strconv.ParseUint(word, 8, 64)
	return err == nil && flags&uint64(os.O_WRONLY|os.O_RDWR) != 0
}
