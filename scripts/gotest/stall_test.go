package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const timedHead = "package a\n\nimport (\n\t\"testing\"\n\t\"time\"\n)\n\n"

// TestStalledPackageIsEnded: with its stacks, while the others are left alone.
func TestStalledPackageIsEnded(t *testing.T) {
	t.Parallel()
	status, out, err := goTestIn(t, &options{stall: 5 * time.Second, limit: time.Hour, grace: time.Minute}, map[string]string{
		"a_test.go": timedHead + `func TestGood(t *testing.T) {}
			func TestHangs(t *testing.T) { t.Run("sub", func(t *testing.T) { waitsForEver() }) }
			func waitsForEver() { <-time.After(time.Hour) } // by a timer, or the runtime calls it a deadlock`,
		"b/b_test.go": "package b\n\nimport \"testing\"\n\nfunc TestB(t *testing.T) {}",
	}, "./...")
	if status != 1 || err != nil {
		t.Errorf("exit status %d, %v", status, err)
	}
	for _, want := range []string{
		"gotest: m: no output for ", "running: TestHangs/sub (for ", "gotest: m: quit to m.test (process ",
		"--- FAIL: m TestHangs/sub", "SIGQUIT", "m.waitsForEver", "did not end", "FAIL  m ", "ok    m/b ", "2 passed, 1 failed, 0 skipped",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(out, "gotest: m/b: ") || strings.Contains(out, "terminated to") {
		t.Error("more was ended than what hangs")
	}
}

// TestStalledTestThatIgnoresSignals: its children end with it.
func TestStalledTestThatIgnoresSignals(t *testing.T) {
	t.Parallel()
	child := filepath.Join(t.TempDir(), "child")
	status, out, err := goTestIn(t, &options{stall: 3 * time.Second, limit: time.Hour, grace: time.Second}, map[string]string{
		"a_test.go": `package a
			import ("fmt"; "os"; "os/exec"; "os/signal"; "syscall"; "testing"; "time")
			func TestHangs(t *testing.T) {
				signal.Ignore(syscall.SIGQUIT, syscall.SIGTERM)
				c := exec.Command("sleep", "100000")
				if err := c.Start(); err != nil { t.Fatal(err) }
				os.WriteFile(` + "`" + child + "`" + `, fmt.Append(nil, c.Process.Pid), 0o600)
				time.Sleep(time.Hour)
			}`,
	})
	if status != 1 || err != nil || !strings.Contains(out, "killed to m.test") || !strings.Contains(out, "0 passed, 1 failed, 0 skipped") {
		t.Errorf("exit status %d, %v", status, err)
	}
	gone(t, child)
}

// TestWhatKeepsTheOutputOpenIsEnded: go test waits for that.
func TestWhatKeepsTheOutputOpenIsEnded(t *testing.T) {
	t.Parallel()
	child := filepath.Join(t.TempDir(), "child")
	status, out, err := goTestIn(t, &options{stall: 3 * time.Second, limit: time.Hour, grace: time.Second}, map[string]string{
		"a_test.go": `package a
			import ("fmt"; "os"; "os/exec"; "testing")
			func TestLeaves(t *testing.T) {
				c := exec.Command("sleep", "100000")
				c.Stdout = os.Stdout
				if err := c.Start(); err != nil { t.Fatal(err) }
				os.WriteFile(` + "`" + child + "`" + `, fmt.Append(nil, c.Process.Pid), 0o600)
			}`,
	})
	if status != 1 || err != nil {
		t.Errorf("exit status %d, %v", status, err)
	}
	for _, want := range []string{"no test runs", "quit to sleep (process ", "FAIL  m ", "1 passed, 1 failed, 0 skipped"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q", want)
		}
	}
	gone(t, child)
}

// TestRunThatDoesNotEnd: the limit holds for what says something all the time, too.
func TestRunThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	status, out, err := goTestIn(t, &options{stall: time.Hour, limit: 5 * time.Second, grace: time.Minute}, map[string]string{
		"a_test.go": `package a
			import ("testing"; "time")
			func TestTalks(t *testing.T) { for { t.Log("on and on"); time.Sleep(10*time.Millisecond) } }`,
	})
	if status != 1 || err != nil || !strings.Contains(out, "the whole run did not end within 5s") || !strings.Contains(out, "0 passed, 1 failed, 0 skipped") {
		t.Errorf("exit status %d, %v", status, err)
	}
	if !strings.Contains(out, "m.TestTalks(") {
		t.Error("no stacks")
	}
}

// TestGoTestThatHangs: without a test that runs, go test itself is ended.
func TestGoTestThatHangs(t *testing.T) {
	t.Parallel()
	child := filepath.Join(t.TempDir(), "child")
	status, _, err := goTestIn(t, &options{stall: time.Hour, limit: 10 * time.Second, grace: 250 * time.Millisecond}, map[string]string{
		"a_test.go": head + "func TestA(t *testing.T) {}",
	}, "-toolexec", "sh -c 'echo -n $$ >"+child+"; exec sleep 100000'", "-count=1")
	if status != 1 || !errors.Is(err, errLimit) {
		t.Errorf("exit status %d, %v", status, err)
	}
	gone(t, child)
}

// gone waits until the process ends whose id is in a file.
func gone(t *testing.T, file string) {
	t.Helper()
	pid, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for ; ; time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile(filepath.Join("/proc", string(pid), "stat"))
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
	}
}

// TestWatchFollowsProgress: a package that says something now and then goes on for as long
// as it likes.
func TestWatchFollowsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := newWatch()
		stalls := make(chan stall, 10)
		go w.follow(ctx, 15*time.Minute, func(s stall) { stalls <- s })
		for _, pkg := range []string{"slow", "hangs", "good"} {
			w.take(event{Action: "start", Package: pkg})
			w.take(event{Action: "run", Package: pkg, Test: "TestA"})
		}
		w.take(event{Action: "run", Package: "hangs", Test: "TestA/b"})
		w.take(event{Action: "run", Package: "hangs", Test: "TestWaits"})
		w.take(event{Action: "pause", Package: "hangs", Test: "TestWaits"})
		w.take(event{Action: "pass", Package: "good", Test: "TestA"})
		w.take(event{Action: "pass", Package: "good"})
		for range 20 {
			time.Sleep(14 * time.Minute)
			w.take(event{Action: "output", Package: "slow", Test: "TestA", Output: "x\n"})
			w.take(event{Action: "output", Package: "good", Output: "too late\n"})
		}
		synctest.Wait()
		if len(stalls) != 1 {
			t.Fatalf("%d packages are silent, want one", len(stalls))
		}
		s := <-stalls
		if want := "no output for 15m0s; running: TestA/b (for 15m0s)"; s.pkg != "hangs" || s.why != want {
			t.Errorf("%s: %s, want %s", s.pkg, s.why, want)
		}
		select {
		case <-s.ended:
			t.Error("it has not ended")
		default:
		}
		w.take(event{Action: "fail", Package: "hangs"})
		<-s.ended
		time.Sleep(16 * time.Minute)
		synctest.Wait()
		if len(stalls) != 1 {
			t.Errorf("%d packages are silent, want the other one", len(stalls))
		}
	})
}

func TestOptions(t *testing.T) {
	o, rest, err := parse(strings.Fields("--stall 2m --tally x --limit 1h -run --stall 3m"))
	if o.stall != 2*time.Minute || o.limit != time.Hour || o.tally != "x" || strings.Join(rest, " ") != "-run --stall 3m" || err != nil {
		t.Errorf("%+v, %q, %v", o, rest, err)
	}
	for _, bad := range []string{"--stall soon .", "--stall 0 .", "--limit -1s ."} {
		if _, _, err := parse(strings.Fields(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// TestTimeoutOfTheCaller: it counts, whatever gotest's own is.
func TestTimeoutOfTheCaller(t *testing.T) {
	const says = `func TestA(t *testing.T) { d, ok := t.Deadline(); t.Skip(ok, d.After(time.Now().Add(time.Hour))) }`
	for args, want := range map[string]string{"": "false false", "-timeout=2h": "true true", "-timeout 5m": "true false"} {
		_, out, _ := goTestOf(t, map[string]string{"a_test.go": timedHead + says}, strings.Fields(args)...)
		if !strings.Contains(out, "skipped 1: "+want) {
			t.Errorf("%q: want %s", args, want)
		}
	}
}
