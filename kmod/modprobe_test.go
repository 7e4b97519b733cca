package kmod

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
)

// TestModprobeFlood: a modprobe that writes without end costs no more memory than its bound.
func TestModprobeFlood(t *testing.T) {
	script := filepath.Join(t.TempDir(), "modprobe")
	const text = "#!/bin/sh\nhead -c 64000000 /dev/zero | tr '\\0' x\nhead -c 64000000 /dev/zero | tr '\\0' x >&2\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	names, err := Resolve(t.Context(), "x", &ResolveOptions{Modprobe: script, Complete: true})
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "it wrote more than") {
		t.Errorf("%d names, %v", len(names), err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8*maxOutput {
		t.Errorf("allocated %d bytes, where %d are kept", used, maxOutput)
	}
}

// TestModprobeCancelled: a run ends with its context, also where its child keeps the pipe.
func TestModprobeCancelled(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "modprobe")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nsleep 100000 &\n: > \"$0.begun\"\nwait\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for {
			if _, err := os.Stat(script + ".begun"); err == nil {
				cancel()
				return
			}
			runtime.Gosched()
		}
	}()
	if _, err := Resolve(ctx, "x", &ResolveOptions{Modprobe: script}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}

func TestInspectReader(t *testing.T) {
	m := koimage.Module{This: true}
	m.Info = []string{"license=GPL"}
	data := m.Bytes()
	f, err := InspectReader(bytes.NewReader(data), "/x/a-b.ko", int64(len(data)))
	if err != nil || f.Path != "/x/a-b.ko" || f.Name == "" || f.FileSize != len(data) {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := InspectReader(bytes.NewReader(data), "/x/a-b.ko", int64(len(data)-1)); !errors.Is(err, ErrTooBig) {
		t.Errorf("one byte too many: %v", err)
	}
	if _, err := InspectReader(strings.NewReader("x"), "/x", 10); !errors.Is(err, ErrNotModule) {
		t.Errorf("no module: %v", err)
	}
}
