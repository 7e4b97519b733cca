package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// compilerVersion is the gcc that the toolchain carries. It compiles modules
// for all of the lab's kernels, though those before 6.12 were compiled by an
// older one; 7.x accepts none that is older than 13.
const compilerVersion = "14"

// toolchain is a directory with a compiler, make, and the little of a system that
// the kernel's build system needs around them. It is a root directory for chroot;
// nothing in it is installed in the host.
type toolchain struct {
	root     string
	identity string // names the exact packages: another identity, other output
}

// toolchainPackages are the packages that are asked for; apt adds what they
// depend on. They are for the host's own architecture, with a cross compiler for
// the other one.
func toolchainPackages(host string) []string {
	return []string{
		"gcc-" + compilerVersion,
		"gcc-" + compilerVersion + "-" + strings.ReplaceAll(gnuTriplet(otherArch(host)), "_", "-"),
		"make", "dash", "bash", "coreutils", "sed", "grep", "mawk", "findutils", "diffutils",
		"libelf1t64", // objtool's
		"pahole",     // from 6.12 the headers hold what modules' type information needs
	}
}

func otherArch(arch string) string {
	if arch == "amd64" {
		return "arm64"
	}
	return "amd64"
}

func gnuTriplet(arch string) string {
	if arch == "arm64" {
		return "aarch64-linux-gnu"
	}
	return "x86_64-linux-gnu"
}

// compilerArguments tell make which compiler serves a kernel's architecture.
func compilerArguments(arch string) []string {
	args := []string{"CC=gcc-" + compilerVersion}
	if arch != runtime.GOARCH {
		prefix := gnuTriplet(arch) + "-"
		args = []string{"CC=" + prefix + "gcc-" + compilerVersion, "CROSS_COMPILE=" + prefix}
	}
	kernelName := map[string]string{"amd64": "x86", "arm64": "arm64"}[arch]
	return append(args, "ARCH="+kernelName)
}

// ensureToolchain gives the toolchain, fetching it the first time: about 110 MB.
func ensureToolchain(ctx context.Context, cache string, progress io.Writer) (*toolchain, error) {
	dir, err := closure{
		kind:   "toolchain",
		what:   fmt.Sprintf("compiler (gcc %s and what it needs)", compilerVersion),
		names:  toolchainPackages(runtime.GOARCH),
		finish: finishToolchain,
	}.ensure(ctx, cache, progress)
	if err != nil {
		return nil, err
	}
	return openToolchain(dir)
}

func openToolchain(dir string) (*toolchain, error) {
	text, err := os.ReadFile(filepath.Join(dir, closureRecord))
	if err != nil {
		return nil, fmt.Errorf("open toolchain: %w", err)
	}
	return &toolchain{root: dir, identity: string(text)}, nil
}

// finishToolchain does what the packages' install scripts would, as far as
// compiling needs it.
func finishToolchain(root string) error {
	for link, target := range map[string]string{"sh": "dash", "awk": "mawk"} {
		path := filepath.Join(root, "usr", "bin", link)
		if !exists(path) {
			if err := os.Symlink(target, path); err != nil {
				return err
			}
		}
	}
	for _, dir := range []string{"dev", "proc", "tmp", "build", "usr/src"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// bind shows a directory of the host at a place inside the toolchain.
type bind struct{ from, at string }

// enter is the first program in the new namespaces: it mounts, changes root and
// becomes the command. Its arguments are the root, how many binds, the binds, and
// the command, so that no path is ever parsed by the shell.
const enter = `set -e
root=$1 n=$2; shift 2
while [ "$n" -gt 0 ]; do
	mount --rbind "$1" "$root/$2"; shift 2; n=$((n - 1))
done
mount -t tmpfs tmpfs "$root/tmp"
mount -t proc proc "$root/proc" 2>/dev/null || :
exec chroot "$root" /usr/bin/env -i PATH=/usr/bin HOME=/tmp LC_ALL=C KBUILD_BUILD_TIMESTAMP=0 "$@"`

// run runs a command inside the toolchain. The mounts exist in a namespace of
// its own, and its processes too: when the command ends or is killed, or we are,
// all of both are gone. Root needs no more than that; others get their
// privilege over the new namespaces from a user namespace.
func (t *toolchain) run(ctx context.Context, binds []bind, stdout io.Writer, argv ...string) error {
	done, err := use(t.root)
	if err != nil {
		return err
	}
	defer done()
	args := []string{"-c", enter, "sh", t.root, fmt.Sprint(len(binds) + 1), "/dev", "dev"}
	for _, b := range binds {
		if err := os.MkdirAll(filepath.Join(t.root, b.at), 0o755); err != nil {
			return fmt.Errorf("enter toolchain: %w", err)
		}
		args = append(args, b.from, b.at)
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", append(args, argv...)...)
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   unix.CLONE_NEWPID,
		Unshareflags: unix.CLONE_NEWNS,
		Pdeathsig:    unix.SIGKILL,
	}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	cmd.Stdout, cmd.Stderr = stdout, stdout
	setGroup(cmd)
	// Pdeathsig is about the thread that starts the child, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("enter toolchain: this system grants no namespace: run as root: %w", err)
	}
	return err
}
