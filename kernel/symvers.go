package kernel

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// symversExports reads what the build recorded of the kernel's own exports.
func (k *Kernel) symversExports() (exports, error) {
	for _, path := range []string{
		"lib/modules/" + k.release + "/build/Module.symvers",
		"usr/src/linux-headers-" + k.release + "/Module.symvers",
		"lib/modules/" + k.release + "/symvers",
		"boot/symvers-" + k.release + ".gz",
		"lib/modules/" + k.release + "/symvers.gz",
	} {
		text, err := readMaybeGzip(k.path(path))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, unknown("%w", err)
		}
		if found := parseSymvers(string(text), k.path(path)); len(found) > 0 {
			return found, k.checkNames(found, path)
		}
	}
	return nil, unknown("no Module.symvers of it is installed")
}

// checkNames compares with the kernel's own list of names, where that tells: kernels are
// rebuilt with the same release.
func (k *Kernel) checkNames(found exports, path string) error {
	listed, err := k.listedExports()
	if err != nil {
		return nil
	}
	same := len(listed) == len(found)
	for name := range listed {
		if _, ok := found[name]; !ok {
			same = false
		}
	}
	if !same {
		return unknown("%s is of another build", k.path(path))
	}
	return nil
}

// parseSymvers reads lines of CRC, name, owner, kind, and from 5.4 on namespace, with
// tabs between. Only those of the kernel itself are taken: the modules' files say more.
// A CRC of zero is that of a kernel without versions, for no checksum is zero.
func parseSymvers(text, source string) exports {
	found := make(exports)
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		if len(fields) < 4 || fields[2] != "vmlinux" || !isIdentifier(fields[1]) {
			continue
		}
		crc, err := strconv.ParseUint(strings.TrimPrefix(fields[0], "0x"), 16, 32)
		kind, ok := strings.CutPrefix(fields[3], "EXPORT_")
		if err != nil || !ok {
			continue
		}
		gpl := strings.HasSuffix(kind, "_GPL")
		s := Symbol{Name: fields[1], GPL: &gpl, Source: source}
		if len(fields) > 4 {
			s.Namespace, s.NamespaceKnown = fields[4], true
		}
		if crc != 0 {
			c := kmod.CRC(crc)
			s.CRC = &c
		}
		found[s.Name] = s
	}
	return found
}
