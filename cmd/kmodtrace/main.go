// Command kmodtrace watches the kernel load, refuse, free and request modules,
// and loads and unloads modules itself.
package main

import (
	"io"
	"os"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
	"github.com/kmodtrace/kmodtrace/internal/term"
)

func main() {
	// In a machine of the lab this same binary is the guest's first process.
	if guest.IsInit() {
		guest.Init()
	}
	stdout, stderr := term.OnScreen(os.Stdout), term.OnScreen(os.Stderr)
	status := run(os.Args[1:], os.Stdin, stdout, stderr)
	for _, w := range []io.Writer{stdout, stderr} {
		if s, ok := w.(*term.Screen); ok {
			_ = s.Flush()
		}
	}
	os.Exit(status)
}
