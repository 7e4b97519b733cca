// Command kmodtrace watches the kernel load, refuse, free and request modules,
// and loads and unloads modules itself.
package main

import (
	"os"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

func main() {
	// In a machine of the lab this same binary is the guest's first process.
	if guest.IsInit() {
		guest.Init()
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
