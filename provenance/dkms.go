package provenance

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// dkmsTree is where DKMS keeps what it builds: NAME/VERSION/RELEASE/ARCHITECTURE/module/FILE, below the root.
const dkmsTree = "var/lib/dkms"

// maxBuilds bounds how many of them are compared with a file.
const maxBuilds = 64

// dkmsOf gives NAME/VERSION of what DKMS built on this machine for a release, where one of its files has the name, the size
// and the hash of a file: what DKMS installs is a copy of that. Empty where none has, and where the tree is not root's alone.
func (l *Lookup) dkmsOf(release, path string, sum Digest, size int64) string {
	if release == "" || sum == "" || strings.ContainsAny(release, "/*?[\\") || strings.ContainsAny(filepath.Base(path), "*?[\\") {
		return ""
	}
	info, err := os.Lstat(l.path(dkmsTree))
	if err != nil || !info.IsDir() || info.Mode().Perm()&0o022 != 0 {
		return ""
	}
	found, err := filepath.Glob(l.path(dkmsTree, "*", "*", release, "*", "module", filepath.Base(path)))
	if err != nil || len(found) > maxBuilds {
		return ""
	}
	for _, built := range found {
		if sumOf(built, size) != sum {
			continue
		}
		below, err := filepath.Rel(l.path(dkmsTree), built)
		if err != nil {
			continue
		}
		parts := strings.Split(below, string(filepath.Separator))
		return parts[0] + "/" + parts[1]
	}
	return ""
}

// sumOf hashes a regular file of that size; empty for another one.
func sumOf(path string, size int64) Digest {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() != size {
		return ""
	}
	hash := sha256.New()
	if n, err := io.Copy(hash, io.LimitReader(f, size+1)); err != nil || n != size {
		return ""
	}
	return Digest(hex.EncodeToString(hash.Sum(nil)))
}
