// Package cmdline is what the commands below kmodtrace lab do: machines as a command line describes
// them, what goes along with a compiled Go test, the terminal of a command, and lists as text.
package cmdline

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/lab"
)

// Machine are the flags that describe a machine of the lab.
type Machine struct {
	kernel, arch, append string
	add, get, env        []string
	memory, cpus         int
	timeout              time.Duration
	console, dir, disk   string
	init                 string
	noModules            bool
	boot                 bool
	getModes             bool
	getLimit             int64
}

// Register adds the flags.
func (f *Machine) Register(flags *pflag.FlagSet) {
	flags.StringVar(&f.kernel, "kernel", "6.12", "`SERIES` or release to boot, or \"newest\"; fetched when absent")
	flags.StringVar(&f.arch, "arch", runtime.GOARCH, "architecture of the guest: amd64 or arm64")
	flags.StringVar(&f.append, "append", "", "append `LINE` to the kernel's command line")
	flags.StringArrayVar(&f.add, "add", nil, "add `FILE[:GUESTPATH]`, a file, directory or program with its libraries. Without a path, programs go to /usr/local/bin and others to the command's directory")
	flags.StringArrayVar(&f.get, "get", nil, "bring the file or directory `GUESTPATH[:DIR]` back when the command has ended. Links and devices stay in the guest, no file can be executed, and a directory here that is not empty is refused")
	flags.BoolVar(&f.getModes, "get-modes", false, "keep the permissions of what --get brings: files of the guest may be executable")
	flags.Int64Var(&f.getLimit, "get-limit", 1024, "bring at most this many `MiB` back, of at most 100,000 files and directories")
	flags.StringArrayVar(&f.env, "env", nil, "set `NAME=VALUE` for the command, or pass NAME from here")
	flags.StringVar(&f.dir, "dir", "/root", "`DIR` in the guest that the command runs in")
	flags.IntVar(&f.memory, "memory", 0, "memory in `MiB` (default: 512 and what the image needs)")
	flags.IntVar(&f.cpus, "cpus", 2, "number of CPUs")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Minute, "end the machine after this `TIME`; 0 for never")
	flags.StringVar(&f.console, "console", "", "keep the kernel's console in `FILE`")
	flags.StringVar(&f.disk, "disk", "", "give the guest this `FILE` as /dev/vda (run modprobe virtio_blk there first); what is written to it stays")
	flags.StringVar(&f.init, "init", "", "\"systemd\": boot a Debian system with systemd, and run the command when it is up; \"systemd/bookworm\": Debian 12")
	flags.BoolVar(&f.boot, "boot", false, "boot the kernel, instead of continuing from the snapshot of an earlier boot")
	flags.BoolVar(&f.noModules, "no-modules", false, "leave the kernel's module tree out of the guest")
}

// machine turns the flags into a machine, fetching its kernel if need be.
func (f *Machine) machine(ctx context.Context, progress io.Writer) (lab.Machine, error) {
	m := lab.Machine{
		Append: f.append, Memory: f.memory, CPUs: f.cpus, Timeout: f.timeout,
		Dir: f.dir, Console: f.console, Disk: f.disk, Init: f.init, NoModules: f.noModules, Boot: f.boot, Progress: progress,
	}
	if f.cpus < 1 || f.memory < 0 || f.timeout < 0 {
		return m, cli.Usagef("--cpus %d --memory %d --timeout %v: such a machine is not possible", f.cpus, f.memory, f.timeout)
	}
	if f.getLimit < 1 || f.getLimit > 1<<20 {
		return m, cli.Usagef("--get-limit %d: must be 1 to %d", f.getLimit, 1<<20)
	}
	m.BringBytes = f.getLimit << 20
	if err := lab.CheckInit(f.init); err != nil {
		return m, cli.Usagef("--%v", err)
	}
	if !path.IsAbs(f.dir) {
		return m, cli.Usagef("--dir %q: must be an absolute path in the guest", f.dir)
	}
	for _, arg := range f.add {
		file, err := parseAdd(arg, f.dir)
		if err != nil {
			return m, err
		}
		m.Files = append(m.Files, file)
	}
	for _, arg := range f.get {
		bring, err := parseGet(arg)
		if err != nil {
			return m, err
		}
		bring.Modes = f.getModes
		m.Bring = append(m.Bring, bring)
	}
	var err error
	if m.Env, err = parseEnv(f.env); err != nil {
		return m, err
	}
	if m.Cache, err = lab.CacheDir(); err != nil {
		return m, err
	}
	if m.Kernel, err = lab.EnsureKernel(ctx, m.Cache, f.kernel, f.arch, progress); err != nil {
		return m, err
	}
	addSpecimens(&m)
	return m, nil
}

// specimens is where the guest finds the modules that were built for its kernel.
const specimens = "/specimens"

func addSpecimens(m *lab.Machine) {
	host := filepath.Join(m.Cache, "specimens", m.Kernel.Arch, m.Kernel.Release)
	if _, err := os.Stat(host); err != nil {
		return
	}
	m.Files = append(m.Files, lab.File{Host: host, Guest: specimens})
	m.Env = append(m.Env, "KMODTRACE_MODULES="+specimens)
}

// parseAdd reads FILE[:GUESTPATH]. A FILE that is not there, without a slash, is
// looked for among the host's programs.
func parseAdd(arg, dir string) (lab.File, error) {
	host, to := arg, ""
	if i := strings.LastIndex(arg, ":/"); i >= 0 {
		host, to = arg[:i], arg[i+1:]
	}
	info, err := os.Stat(host)
	if err != nil && !strings.Contains(host, "/") {
		if found, lookErr := exec.LookPath(host); lookErr == nil {
			host = found
			info, err = os.Stat(host)
		}
	}
	if err != nil {
		return lab.File{}, fmt.Errorf("--add %s: %w", arg, err)
	}
	program := info.Mode().IsRegular() && info.Mode()&0o111 != 0
	name := filepath.Base(host)
	switch {
	case to == "" && program:
		to = path.Join("/usr/local/bin", name)
	case to == "":
		to = path.Join(dir, name)
	case strings.HasSuffix(to, "/"):
		to = path.Join(to, name)
	}
	return lab.File{Host: host, Guest: to, Programs: program}, nil
}

// parseGet reads GUESTPATH[:DIR].
func parseGet(arg string) (lab.Bring, error) {
	from, directory, ok := strings.Cut(arg, ":")
	if !ok {
		directory = "."
	}
	if !path.IsAbs(from) || directory == "" {
		return lab.Bring{}, cli.Usagef("--get %q: must be GUESTPATH[:DIR], the first an absolute path", arg)
	}
	return lab.Bring{Guest: from, Directory: directory}, nil
}

// parseEnv reads NAME=VALUE, and NAME for a variable of this process.
func parseEnv(args []string) ([]string, error) {
	var env []string
	for _, arg := range args {
		name, _, assigned := strings.Cut(arg, "=")
		if name == "" || strings.ContainsRune(arg, 0) {
			return nil, cli.Usagef("--env %q: must be NAME=VALUE or NAME", arg)
		}
		if assigned {
			env = append(env, arg)
		} else if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env, nil
}
