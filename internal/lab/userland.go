package lab

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/cavaliergopher/cpio"
	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// Systemd is a [Machine]'s Init: a Debian system whose first process is systemd. It is of the release that
// the guest's tools come from, and [SystemdBefore] of the one before that.
const (
	Systemd       = "systemd"
	SystemdBefore = "systemd/" + suiteBefore
)

// suiteBefore is the Debian release before guestSuite.
const suiteBefore = "bookworm"

// userlandSuite gives the Debian release of the system that an Init names; false for the lab's own.
func userlandSuite(init string) (suite string, ok bool) {
	switch init {
	case Systemd:
		return guestSuite, true
	case SystemdBefore:
		return suiteBefore, true
	}
	return "", false
}

// CheckInit refuses an Init that there is not.
func CheckInit(init string) error {
	if _, ok := userlandSuite(init); !ok && init != "" {
		return fmt.Errorf("init %q: must be %s or %s, or none for the lab's own", init, Systemd, SystemdBefore)
	}
	return nil
}

// userlandPackages are what a small server has: systemd with what makes it start, log
// and let users in, udev, D-Bus, kmod and sudo. The rest is what is essential in Debian.
func userlandPackages() []string {
	return []string{
		"systemd", "systemd-sysv", "udev", "dbus", "kmod", "sudo", "login", "passwd",
		"libpam-modules", "libpam-systemd", "iproute2", "procps",
	}
}

// userlandHook makes a system of the installed packages: one that has been started
// before (or systemd would set it up anew), with a user who may become root.
const userlandHook = `set -e
echo lab >"$1/etc/hostname"
echo 0123456789abcdef0123456789abcdef >"$1/etc/machine-id"
chroot "$1" useradd --create-home --shell /bin/bash --uid 1000 user
echo 'user ALL=(ALL) NOPASSWD: ALL' >"$1/etc/sudoers.d/user"
chmod 440 "$1/etc/sudoers.d/user"
rm "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"`

// userlandLeftOut is what nobody reads there; what is installed in the guest has it.
var userlandLeftOut = []string{"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*"}

const userlandArchive = "userland.tar"

// ensureUserland gives the archive with the Debian system, and makes it the first time:
// about 60 MB are fetched. It is an archive, for only that can hold the owners of the
// files where it is not root who makes it.
func ensureUserland(ctx context.Context, cache, arch, suite string, progress io.Writer) (string, error) {
	if arch != runtime.GOARCH {
		// Its packages' scripts have to run.
		return "", fmt.Errorf("init systemd: this machine is %s, and can make a Debian system of that only, not of %s", runtime.GOARCH, arch)
	}
	dir := filepath.Join(cache, "userland", arch, userlandIdentity(suite))
	dir, err := fetchedOnce(ctx, cache, dir, progress, func(a *archive, _ *index) error { return a.makeUserland(ctx, dir, arch, suite) })
	return filepath.Join(dir, userlandArchive), err
}

// userlandIdentity names how the Debian system is made.
func userlandIdentity(suite string) string {
	made := append(userlandPackages(), append(userlandLeftOut, userlandHook)...)
	if suite != guestSuite {
		made = append(made, suite)
	}
	return listIdentity(made)
}

func (a *archive) makeUserland(ctx context.Context, dir, arch, suite string) error {
	start := time.Now()
	program, err := exec.LookPath("mmdebstrap")
	if err != nil {
		return fmt.Errorf("make a Debian system: %w: install the package mmdebstrap, and uidmap where you are not root", err)
	}
	fmt.Fprintln(a.progress, "making a Debian system with systemd (60 MB to fetch)")
	err = assemble(dir, "Debian system", func(work, root string) error {
		sources, err := a.userlandSources(work, arch, suite)
		if err != nil {
			return err
		}
		settings, err := networkSettings(ctx)
		if err != nil {
			return err
		}
		network := filepath.Join(work, "network.conf")
		if err := os.WriteFile(network, []byte(settings), 0o644); err != nil {
			return err
		}
		args := []string{
			"--variant=essential", "--architectures=" + arch, "--include=" + strings.Join(userlandPackages(), ","),
			"--aptopt=" + network, "--aptopt=APT::Install-Recommends \"false\"", "--customize-hook=" + userlandHook,
		}
		for _, pattern := range userlandLeftOut {
			args = append(args, "--dpkgopt=path-exclude="+pattern)
		}
		_, err = output(exec.CommandContext(ctx, program, append(args, suite, filepath.Join(root, userlandArchive), sources)...))
		return err
	})
	if err == nil {
		fmt.Fprintf(a.progress, "made a Debian system in %.1f s\n", time.Since(start).Seconds())
		a.cleanCache()
	}
	return err
}

// userlandSources writes the source list for one suite and one architecture.
func (a *archive) userlandSources(dir, arch, suite string) (string, error) {
	all, err := os.ReadFile(filepath.Join(a.dir, "sources.list"))
	if err != nil {
		return "", err
	}
	only := strings.ReplaceAll(string(sourcesOf(string(all), suite)), "arch=amd64,arm64", "arch="+arch)
	path := filepath.Join(dir, "sources.list")
	return path, os.WriteFile(path, []byte(only), 0o644)
}

// The agent is kmodtrace again, started by systemd once the system is up: it runs the
// command. It is nowhere where a package would put kmodtrace.
const (
	agentProgram = "/lab/kmodtrace"
	agentUnit    = "/etc/systemd/system/lab.service"
)

const agentUnitText = `[Unit]
Description=The lab's command
After=multi-user.target

[Service]
ExecStart=` + guest.AgentPath + `
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
LimitMEMLOCK=infinity
`

// addUserland puts the Debian system into the image, and what starts it and the agent.
func (im *image) addUserland(ctx context.Context, m Machine) error {
	suite, _ := userlandSuite(m.Init)
	archive, err := ensureUserland(ctx, m.Cache, m.Kernel.Arch, suite, m.progress())
	if err != nil {
		return err
	}
	done, err := use(filepath.Dir(archive))
	if err != nil {
		return err
	}
	defer done()
	if err := im.archive(archive); err != nil {
		return err
	}
	if err := im.addProgram(m, agentProgram); err != nil {
		return err
	}
	for _, link := range [][2]string{
		{agentProgram, guest.InitPath},
		{agentProgram, guest.AgentPath},
		{agentUnit, "/etc/systemd/system/graphical.target.wants/lab.service"},
	} {
		if err := im.symlink(link[0], link[1]); err != nil {
			return err
		}
	}
	return im.text(agentUnit, 0o644, []byte(agentUnitText))
}

// archive copies what is in a tar archive, with its owners and modes. A hard link
// becomes a symbolic one; devices are left out, for the kernel makes them.
func (im *image) archive(host string) error {
	f, err := os.Open(host)
	if err != nil {
		return err
	}
	defer f.Close()
	in := tar.NewReader(f)
	for {
		h, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = im.archived(h, in)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", host, err)
		}
	}
}

func (im *image) archived(h *tar.Header, content io.Reader) error {
	out := &cpio.Header{Name: h.Name, Mode: cpio.FileMode(h.Mode & 0o7777), Uid: h.Uid, Guid: h.Gid}
	switch h.Typeflag {
	case tar.TypeDir:
		out.Mode |= cpio.TypeDir
		return im.add(out)
	case tar.TypeReg:
		out.Mode, out.Size = out.Mode|cpio.TypeReg, h.Size
	case tar.TypeSymlink, tar.TypeLink:
		target := h.Linkname
		if h.Typeflag == tar.TypeLink {
			target = "/" + im.clean(target)
		}
		if old, ok := im.have[im.clean(h.Name)]; ok && old&fs.ModeSymlink != 0 {
			return nil // /bin and its like
		}
		out.Mode, out.Size = 0o777|cpio.TypeSymlink, int64(len(target))
		content = strings.NewReader(target)
	default:
		return nil
	}
	if err := im.add(out); err != nil {
		return err
	}
	if n, err := io.Copy(im.cpio, content); err != nil || n != out.Size {
		return errors.Join(fmt.Errorf("image: /%s, byte %d of %d", out.Name, n, out.Size), err)
	}
	return nil
}
