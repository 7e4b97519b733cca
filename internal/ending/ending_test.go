package ending

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/await"
)

// TestHurry: the signal that ended the first context does not count, the next one does.
func TestHurry(t *testing.T) {
	all := make(chan os.Signal, 8) // so that none of them ends the test
	signal.Notify(all, Signals()...)
	defer signal.Stop(all)
	ask := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-all
	}
	ctx, cancel := context.WithCancel(t.Context())
	hurried, stop := Hurry(ctx)
	defer stop()
	ask()
	cancel()
	select {
	case <-hurried.Done():
		t.Fatal("asked once, and it hurries")
	case <-time.After(100 * time.Millisecond):
	}
	signal.Notify(all, Signals()...)
	ask()
	select {
	case <-hurried.Done():
	case <-time.After(await.Bound):
		t.Fatal("asked twice, and it does not hurry")
	}
}
