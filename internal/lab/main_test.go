package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// The test binary is also the first process of the guests that it boots, as
// kmodtrace is of its own, the hostile program in some of them, and a QEMU whose guest has
// taken it over.
func TestMain(m *testing.M) {
	if guest.IsInit() {
		guest.Init()
	}
	if what, ok := strings.CutPrefix(filepath.Base(os.Args[0]), fakePrefix); ok {
		fakeQEMU(what)
		os.Exit(0)
	}
	if os.Getenv("KMODTRACE_LAB") != "" && len(os.Args) == 3 && os.Args[1] == "hostile" {
		hostileProgram(os.Args[2])
		os.Exit(0)
	}
	code := m.Run()
	guests.remove()
	os.Exit(code)
}

// guests are the programs that are the first process of guests, where this test binary cannot be:
// in a guest of another architecture, and where it is not static, as the race detector wants it.
var guests builtGuests

type builtGuests struct {
	mu    sync.Mutex
	dir   string
	built map[string]string // by architecture
}

// program gives the program for a guest of an architecture, "" for this test binary itself.
func (b *builtGuests) program(t *testing.T, arch string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if p, err := readProgram(self); err != nil {
		t.Fatal(err)
	} else if arch == runtime.GOARCH && p.interp == "" {
		return ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.built[arch] == "" {
		b.build(t, arch)
	}
	return b.built[arch]
}

func (b *builtGuests) build(t *testing.T, arch string) {
	t.Helper()
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "kmodtrace-guests-")
		if err != nil {
			t.Fatal(err)
		}
		b.dir, b.built = dir, map[string]string{}
	}
	name := filepath.Join(b.dir, arch)
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", name, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the guest's program: %v\n%s", err, out)
	}
	b.built[arch] = name
}

func (b *builtGuests) remove() { os.RemoveAll(b.dir) }
