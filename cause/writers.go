package cause

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxWriters bounds what is said about a file that is open for writing.
const maxWriters = 5

// writers finds the processes that have a file open for writing, as far as /proc
// lets this user see. It reads only what the kernel keeps of their descriptors, and opens
// none of their files. It errs when the time is over.
func writers(ctx context.Context, path string) ([]string, error) {
	var found []string
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, p := range processes {
		if _, err := strconv.ParseUint(p.Name(), 10, 32); err != nil {
			continue
		}
		writes, err := hasOpenForWriting(ctx, filepath.Join("/proc", p.Name()), path)
		if err != nil {
			return found, err
		}
		if !writes {
			continue
		}
		comm, _ := os.ReadFile(filepath.Join("/proc", p.Name(), "comm"))
		found = append(found, fmt.Sprintf("%s[%s]", strings.TrimSpace(string(comm)), p.Name()))
		if len(found) == maxWriters {
			break
		}
	}
	return found, nil
}

// hasOpenForWriting tells whether one of a process's descriptors is of a path, and open
// for writing.
func hasOpenForWriting(ctx context.Context, process, path string) (bool, error) {
	descriptors, _ := os.ReadDir(filepath.Join(process, "fd"))
	for _, d := range descriptors {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		link := filepath.Join(process, "fd", d.Name())
		if target, err := os.Readlink(link); err == nil && target == path && opensForWriting(link) {
			return true, nil
		}
	}
	return false, nil
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
