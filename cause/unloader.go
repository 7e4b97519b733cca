package cause

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// unloader finds the process that waits in delete_module for a module to leave, and since when there is
// that process; empty where none is found, or this process may not look.
func unloader(module string) string {
	files, _ := filepath.Glob("/proc/[0-9]*/syscall") // main threads: rmmod and modprobe have no other
	for _, file := range files {
		fields := strings.Fields(procfs.FirstLine(file))
		if len(fields) < 2 || fields[0] != strconv.Itoa(unix.SYS_DELETE_MODULE) {
			continue
		}
		dir := filepath.Dir(file)
		address, err := strconv.ParseUint(strings.TrimPrefix(fields[1], "0x"), 16, 63)
		if err != nil || modname.Normal(textOf(filepath.Join(dir, "mem"), int64(address))) != module {
			continue
		}
		who := fmt.Sprintf("%s[%s]", procfs.FirstLine(filepath.Join(dir, "comm")), filepath.Base(dir))
		if start, ok := procfs.Started(procfs.FirstLine(filepath.Join(dir, "stat"))); ok {
			who += ", which was started " + shortSpan(tracer.SinceBoot()-start) + " ago"
		}
		return who
	}
	return ""
}

// textOf reads a name in another process's memory; empty where there is none.
func textOf(memory string, at int64) string {
	f, err := os.Open(memory)
	if err != nil {
		return ""
	}
	defer f.Close()
	name := make([]byte, 64)
	n, _ := f.ReadAt(name, at)
	text, _, _ := bytes.Cut(name[:n], []byte{0})
	return string(text)
}
