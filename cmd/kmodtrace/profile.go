package main

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// profileVariable names a file for a profile of this process's CPU time, as make bench
// wants one: it is for those who work on kmodtrace.
const profileVariable = "KMODTRACE_CPUPROFILE"

// profiled does something, and records a profile of it where one is asked for.
func profiled(do func() error) error {
	name := os.Getenv(profileVariable)
	if name == "" {
		return do()
	}
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("%s: %w", profileVariable, err)
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return fmt.Errorf("%s: %w", profileVariable, err)
	}
	defer pprof.StopCPUProfile()
	return do()
}
