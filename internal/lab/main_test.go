package lab

import (
	"os"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// The test binary is also the first process of the guests that it boots, as
// kmodtrace is of its own.
func TestMain(m *testing.M) {
	if guest.IsInit() {
		guest.Init()
	}
	os.Exit(m.Run())
}
