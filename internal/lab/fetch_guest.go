package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// guestPackages are what a guest needs beside kmodtrace: a shell and the usual
// commands in one static file, and kmod with its libraries.
func guestPackages() []string {
	return []string{"busybox-static", "dash", "kmod", "libkmod2", "libc6", "liblzma5", "libzstd1", "libssl3t64", "zlib1g"}
}

// GuestRoot fetches the guest's tools for an architecture, once, and gives the
// directory that holds them in a merged-usr layout: bin/busybox, bin/kmod, bin/dash,
// the dynamic loader and the libraries, where their programs look for them when
// the directory is the root. All come from one Debian release, so that a guest is
// the same on every host.
func GuestRoot(ctx context.Context, cache, arch string, progress io.Writer) (string, error) {
	dir := filepath.Join(cache, "guest", arch, listIdentity(guestPackages()))
	return fetchedOnce(ctx, cache, dir, progress, func(a *archive, ix *index) error { return a.fetchGuest(ctx, ix, dir, arch) })
}

// listIdentity names a list of packages, so that what was fetched for another
// list is not taken for this one's.
func listIdentity(names []string) string {
	sum := sha256.Sum256([]byte(strings.Join(names, " ")))
	return hex.EncodeToString(sum[:6])
}

func (a *archive) fetchGuest(ctx context.Context, ix *index, dir, arch string) error {
	var packages []pkg
	for _, name := range guestPackages() {
		p, ok := ix.find(name, arch, "")
		if !ok {
			return fmt.Errorf("fetch guest tools: no package %s for %s in %s", name, arch, guestSuite)
		}
		packages = append(packages, p)
	}
	return a.unpackInto(ctx, dir, arch+" guest tools", packages, finishGuest)
}

// finishGuest completes the root, and drops what a guest never reads.
func finishGuest(root string) error {
	errs := []error{mergeUsr(root), os.RemoveAll(filepath.Join(root, "usr", "share"))}
	for _, name := range []string{"bin/busybox", "bin/kmod", "bin/dash"} {
		_, err := os.Stat(filepath.Join(root, name))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// mergeUsr adds the links of a merged-usr system (bin is usr/bin, and so on),
// which no package carries.
func mergeUsr(root string) error {
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.MkdirAll(filepath.Join(root, "usr", name), 0o755); err != nil {
			return err
		}
		if exists(filepath.Join(root, name)) {
			continue
		}
		if err := os.Symlink(filepath.Join("usr", name), filepath.Join(root, name)); err != nil {
			return err
		}
	}
	return nil
}
