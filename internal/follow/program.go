package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/usernames"
)

// program is what a command line names, ready to be started.
type program struct {
	Path       string
	Argv, env  []string
	credential *syscall.Credential // nil: as whom this process runs
	Terminal   *ownTerminal        // once it is started as another user on a terminal; else nil
}

// Find looks for the first argument as a shell would.
func Find(argv []string) (*program, error) {
	path, err := exec.LookPath(argv[0])
	// "." in PATH is the user's choice.
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return nil, startError(argv[0], lookError(argv[0], err))
	}
	return &program{Path: path, Argv: argv, env: os.Environ()}, nil
}

// lookError tells what PATH has and nobody can execute from what it has not.
func lookError(name string, err error) error {
	var look *exec.Error
	if errors.As(err, &look) {
		err = look.Err
	}
	var at *fs.PathError
	if errors.As(err, &at) { // "stat NAME", which is the name that is said anyway
		err = at.Err
	}
	if !errors.Is(err, exec.ErrNotFound) || name == "" || strings.Contains(name, "/") {
		return err
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if info, statErr := os.Stat(filepath.Join(dir, name)); statErr == nil && info.Mode().IsRegular() {
			return fs.ErrPermission
		}
	}
	return err
}

// StartError says why a command was not started.
type StartError struct {
	err      error
	NotFound bool // there is no such command
}

func (e *StartError) Error() string { return e.err.Error() }
func (e *StartError) Unwrap() error { return e.err }

func startError(name string, err error) error {
	return &StartError{
		err:      fmt.Errorf("run %s: %w", strconv.Quote(cells.Short(name)), err),
		NotFound: errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound),
	}
}

// As has the program run as a user: with the user's ids and groups, and the variables
// that say who and where that is. All else stays as it is.
func (p *program) As(name string) error {
	if os.Geteuid() != 0 {
		return errors.New("--user: only root can run a command as another user")
	}
	u, err := lookUser(name)
	if err != nil {
		return err
	}
	if p.credential, err = CredentialOf(u); err != nil {
		return fmt.Errorf("--user %s: %w", cells.Short(name), err)
	}
	p.env = WithVariables(p.env, "HOME="+u.HomeDir, "LOGNAME="+u.Username, "USER="+u.Username)
	return nil
}

// lookUser takes a name or, if nobody has that name, a number.
func lookUser(name string) (*user.User, error) {
	u, err := usernames.Find(name)
	if err != nil {
		return nil, cli.Usagef("--user %q: no such user here", cells.Short(name))
	}
	return u, nil
}

// CredentialOf gives the ids that a process of the user has.
func CredentialOf(u *user.User) (*syscall.Credential, error) {
	groups, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	ids := make([]uint32, 0, 2+len(groups))
	for _, text := range append([]string{u.Uid, u.Gid}, groups...) {
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, err
		}
		ids = append(ids, uint32(id))
	}
	return &syscall.Credential{Uid: ids[0], Gid: ids[1], Groups: ids[2:]}, nil
}

// WithVariables gives env with some variables set anew.
func WithVariables(env []string, pairs ...string) []string {
	var kept []string
	for _, old := range env {
		name, _, _ := strings.Cut(old, "=")
		replaced := false
		for _, pair := range pairs {
			replaced = replaced || strings.HasPrefix(pair, name+"=")
		}
		if !replaced {
			kept = append(kept, old)
		}
	}
	return append(kept, pairs...)
}

// apart tells whether it has a session of its own: another user's, wherever there is a
// terminal that it could otherwise reach.
func (p *program) apart() bool {
	if p.credential == nil {
		return false
	}
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err == nil {
		f.Close()
	}
	return err == nil || p.Terminal != nil
}

// Start starts it with this process's own standard input, output and error, in the same
// process group, and with no other descriptor than those that this process was itself
// given to pass on. As another user it has a session and, in place of this process's
// terminal, one of its own. The pid is as this process's own namespace has it.
func (p *program) Start() (pid int, err error) {
	if p.credential != nil {
		if p.Terminal, err = NewOwnTerminal(int(p.credential.Uid)); err != nil {
			return 0, startError(p.Argv[0], err)
		}
	}
	files := []uintptr{0, 1, 2}
	sys := &syscall.SysProcAttr{Credential: p.credential, Setsid: p.apart()}
	if p.Terminal != nil {
		files = p.Terminal.files()
		sys.Setctty, sys.Ctty = true, slices.Index(files, p.Terminal.slave.Fd())
	}
	pid, err = syscall.ForkExec(p.Path, p.Argv, &syscall.ProcAttr{Env: p.env, Files: files, Sys: sys})
	if err != nil {
		return 0, startError(p.Argv[0], err)
	}
	if p.Terminal != nil {
		p.Terminal.begin(pid)
	}
	return pid, nil
}
