package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/follow"
	"github.com/kmodtrace/kmodtrace/internal/tail"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// passThrough is `kmodtrace run` but for the tracing.
func passThrough(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := func() error {
		p, err := follow.Find(args)
		if err != nil {
			return err
		}
		if name := os.Getenv("PASSTHROUGH_USER"); name != "" {
			if err := p.As(name); err != nil {
				return err
			}
		}
		r := &follow.Runner{Tail: &tail.Tail[tracer.Action]{}, Signals: follow.NewRelay()}
		defer r.Signals.Stop()
		if err := follow.BecomeSubreaper(); err != nil {
			return err
		}
		pid, err := p.Start()
		if err != nil {
			return err
		}
		r.Signals.Has(p)
		status := r.Follow(ctx, pid)
		if p.Terminal != nil {
			p.Terminal.End()
		}
		return endError(status)
	}()
	if err != nil && err.Error() != "" {
		fmt.Fprintf(os.Stderr, "passthrough: %v\n", err)
	}
	if s := signalOf(err); s != 0 {
		follow.DieBy(s)
	}
	return statusOf(err)
}

// echoSignals prints the signals that it gets and the lines that it reads, until there
// are no more. (A shell may miss a signal just before it reads.)
func echoSignals() {
	signals := make(chan os.Signal, 100)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
		syscall.SIGTERM, syscall.SIGWINCH, syscall.SIGCONT, syscall.Signal(37))
	lines := readLines(os.Stdin)
	fmt.Println("ready")
	for {
		select {
		case s := <-signals:
			fmt.Println(s)
		case line, ok := <-lines:
			if !ok {
				return
			}
			fmt.Println("got", line)
		}
	}
}

// passing starts a command below passthrough, which is this same program, as is echoer.
func passing(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"passthrough", "echoer"} {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if args[0] == "echoer" {
		args[0] = filepath.Join(dir, args[0])
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "passthrough"), args...)
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	return cmd, out
}

// heedHangups: whoever runs the tests may ignore hangups (nohup), and what they start
// then would too. What a signal is caught for here begins with it as usual.
func heedHangups(t *testing.T) {
	t.Helper()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangups) })
}

// TestRelayEnds: what ends the command ends this one, in the same way.
func TestRelayEnds(t *testing.T) {
	heedHangups(t)
	for _, s := range []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGILL, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGKILL,
		syscall.SIGUSR1, syscall.SIGSEGV, syscall.SIGPIPE, syscall.SIGALRM, syscall.SIGTERM, syscall.SIGXCPU, syscall.SIGSYS, 34, 64,
	} {
		cmd, _ := passing(t, "sh", "-c", fmt.Sprintf("kill -%d $$; sleep 60", s))
		err := cmd.Run()
		if got := cmd.ProcessState.Sys().(syscall.WaitStatus); !got.Signaled() || got.Signal() != s {
			t.Errorf("killed by %v: %v", s, err)
		}
	}
	for _, status := range []int{0, 1, 7, 126, 255} {
		cmd, _ := passing(t, "sh", "-c", "exit "+strconv.Itoa(status))
		err := cmd.Run()
		if cmd.ProcessState.ExitCode() != status {
			t.Errorf("exit status %d: %v", status, err)
		}
	}
}

// TestRelaySignals: what is sent to this one comes to the command, once.
func TestRelaySignals(t *testing.T) {
	heedHangups(t)
	cmd, _ := passing(t, "echoer")
	// A session of its own: no terminal that sends signals itself.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	lines := linesOf(t, cmd)
	if got := nextLine(t, lines); got != "ready" {
		t.Fatalf("first line %q", got)
	}
	for _, s := range []syscall.Signal{
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGTERM, unix.SIGWINCH, unix.SIGCONT, 37,
	} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if got := nextLine(t, lines); got != s.String() {
			t.Errorf("%v came as %q", s, got)
		}
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if line, more := <-lines; more {
		t.Errorf("then %q", line)
	}
}

// linesOf starts a command and gives its output's lines.
func linesOf(t *testing.T, cmd *exec.Cmd) <-chan string {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	t.Cleanup(func() { _ = out.Close() })
	return readLines(out)
}

func readLines(f *os.File) <-chan string {
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		var text []byte
		buf := make([]byte, 1024)
		for {
			n, err := f.Read(buf)
			text = append(text, buf[:n]...)
			for {
				line, rest, found := bytes.Cut(text, []byte("\n"))
				if !found {
					break
				}
				lines <- strings.TrimRight(string(line), "\r")
				text = rest
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

func nextLine(t *testing.T, lines <-chan string) string {
	t.Helper()
	select {
	case line := <-lines:
		return line
	case <-time.After(await.Bound):
		t.Fatal("no line came")
		return ""
	}
}

// TestRelayIgnored: what was ignored before stays so, for the command too (nohup), and
// nothing else is.
func TestRelayIgnored(t *testing.T) {
	const command = "grep SigIgn /proc/self/status"
	cmd, _ := passing(t, strings.Fields(command)...)
	ignored := func(args ...string) uint64 {
		shell := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `trap "" HUP INT TSTP; exec "$@"`, "sh"}, args...)...)
		out, err := shell.Output()
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ := strings.Cut(strings.TrimSpace(string(out)), "\t")
		mask, err := strconv.ParseUint(text, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		return mask
	}
	plain := ignored(strings.Fields(command)...)
	const set = 1<<(unix.SIGHUP-1) | 1<<(unix.SIGINT-1) | 1<<(unix.SIGTSTP-1)
	if mask := ignored(append([]string{cmd.Path}, cmd.Args[1:]...)...); mask != plain || mask&set != set {
		t.Errorf("ignored signals %x, want %x", mask, plain)
	}
}

// TestRelayOrphans: whose parent ends becomes this one's child, and is reaped at its end.
func TestRelayOrphans(t *testing.T) {
	cmd, out := passing(t, "sh", "-c", `
		(sh -c 'while [ ! -e "$1/go" ]; do sleep 0.05; done; grep PPid: /proc/$$/status >"$1/part"; mv "$1/part" "$1/parent"' sh "$1" &
			echo $! >"$1/orphan")
		touch "$1/go"
		while [ ! -e "$1/parent" ]; do sleep 0.05; done
		while [ -d /proc/$(cat "$1/orphan") ]; do sleep 0.05; done
		echo $PPID; cut -f 2 "$1/parent"`, "sh", t.TempDir())
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	ids := strings.Fields(out.String())
	if len(ids) != 2 || ids[0] != ids[1] || ids[0] != strconv.Itoa(cmd.Process.Pid) {
		t.Errorf("parents of command and orphan %v, want %d", ids, cmd.Process.Pid)
	}
}

// TestRelayDescriptors: the command has those that it would have without this.
func TestRelayDescriptors(t *testing.T) {
	extra, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	const script = "echo /proc/$$/fd/*"
	plain := exec.CommandContext(t.Context(), "sh", "-c", script)
	plain.ExtraFiles = []*os.File{extra}
	want, err := plain.Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd, out := passing(t, "sh", "-c", script)
	cmd.ExtraFiles = []*os.File{extra}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if got, want := baseNames(out.String()), baseNames(string(want)); !slices.Equal(got, want) {
		t.Errorf("descriptors %v, want %v", got, want)
	}
}

func baseNames(paths string) []string {
	var names []string
	for _, p := range strings.Fields(paths) {
		names = append(names, filepath.Base(p))
	}
	return names
}

// TestRelayAttributes: limits, masks, working directory, environment and rights are as
// they were.
func TestRelayAttributes(t *testing.T) {
	const script = "ulimit -Sn; ulimit -Hn; ulimit -l; umask; pwd; nice; env | grep -v ^_= | sort; grep -E '^(Uid|Gid|Groups|SigBlk|SigIgn|Cap|NoNew)' /proc/self/status"
	env := []string{"PATH=" + os.Getenv("PATH"), "A=1", "B=", "A=2"}
	plain := exec.CommandContext(t.Context(), "sh", "-c", script)
	plain.Env = env
	want, err := plain.Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd, out := passing(t, "sh", "-c", script)
	cmd.Env = env
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("what a command has of its own (-without +with):\n%s", diff)
	}
}

// TestRelayJobControl: on a terminal of its own, Ctrl-C goes to the command once and
// is survived, and Ctrl-Z stops both until the shell continues them.
func TestRelayJobControl(t *testing.T) {
	keyboard, screen := terminal(t)
	cmd, _ := passing(t, "echoer")
	// A shell with job control between, as a user has it.
	shell := exec.CommandContext(t.Context(), "bash", "-c", `set -m; "$@"; echo "stopped $?"; fg >/dev/null; echo "ended $?"`, "bash")
	shell.Args = append(shell.Args, append([]string{cmd.Path}, cmd.Args[1:]...)...)
	shell.Stdin, shell.Stdout, shell.Stderr = screen, screen, screen
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := shell.Start(); err != nil {
		t.Skipf("no bash on a terminal: %v", err)
	}
	_ = screen.Close()
	lines := readLines(keyboard)
	send := func(text string) {
		t.Helper()
		if _, err := keyboard.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		for {
			line := nextLine(t, lines)
			switch {
			case strings.Contains(line, want):
				return
			case line == "" || strings.HasPrefix(line, "["): // what the shell says of a job
			default:
				t.Fatalf("%q, want %q", line, want)
			}
		}
	}
	expect("ready")
	send("\x03")
	expect("interrupt")
	send("one\n")
	expect("got one")
	send("\x1a")
	expect("stopped 147") // 128 + SIGSTOP
	expect("continued")
	send("two\n")
	expect("got two")
	send("\x04")
	expect("ended 0")
	if err := shell.Wait(); err != nil {
		t.Error(err)
	}
}

// terminal gives both ends of a new terminal, without echo.
func terminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	settings, err := unix.IoctlGetTermios(int(screen.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	settings.Lflag = settings.Lflag&^unix.ECHO | unix.NOFLSH // what a signal prints at once is not to be dropped
	if err := unix.IoctlSetTermios(int(screen.Fd()), unix.TCSETS, settings); err != nil {
		t.Fatal(err)
	}
	return keyboard, screen
}
