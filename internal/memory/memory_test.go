package memory

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRelease: the program goes on, with less of its file in memory.
func TestRelease(t *testing.T) {
	before := ofFile(t)
	if len(ownText()) < 2 {
		t.Fatalf("the program's file is mapped at %v", ownText())
	}
	Release()
	if after := ofFile(t); after >= before {
		t.Errorf("%d kB of files were resident, and %d are", before, after)
	}
}

func ofFile(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "RssFile:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Skip("this kernel does not tell how much of files is resident")
	}
	return n
}

// TestFrugal: the kernel says that there are no huge pages.
func TestFrugal(t *testing.T) {
	Frugal()
	off, err := unix.PrctlRetInt(unix.PR_GET_THP_DISABLE, 0, 0, 0, 0)
	if err != nil || off != 1 {
		t.Errorf("huge pages off: %d, %v", off, err)
	}
}
