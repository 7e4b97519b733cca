// Command finit32 loads or unloads a module. Built for 386 it enters the kernel
// by the 32-bit system call table.
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "finit32:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: finit32 load FILE | init FILE | unload NAME")
	}
	switch args[0] {
	case "unload":
		return unix.DeleteModule(args[1], unix.O_NONBLOCK)
	case "init":
		image, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		return unix.InitModule(image, "")
	default:
		f, err := os.Open(args[1])
		if err != nil {
			return err
		}
		defer f.Close()
		return unix.FinitModule(int(f.Fd()), "", 0)
	}
}
