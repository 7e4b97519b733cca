package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// Every start of the program makes all commands, and so must not do what only one of them needs: the rules of
// `history --rule`, compiled for a shell that completes it, once made each start take four times as long.
// What is made once is made before the first test, or by another: so a process of its own counts.
func TestStartMakesLittle(t *testing.T) {
	const bound = 10000
	if os.Getenv("KMODTRACE_COUNT_START") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestStartMakesLittle$", "-test.v")
		cmd.Env = append(os.Environ(), "KMODTRACE_COUNT_START=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "allocations") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	newRootCommand()
	runtime.ReadMemStats(&after)
	n := after.Mallocs - before.Mallocs
	fmt.Println(n, "allocations")
	if n > bound {
		t.Errorf("the commands are made with %d allocations, more than %d: something is made that only one of them needs", n, bound)
	}
}
