package kernel

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// bootImage is what an installed kernel's image tells. The image itself, of some 60 MB
// unpacked, is not kept.
type bootImage struct {
	machine         string
	vermagic        string
	exports         exports
	exportsErr      error
	certificates    []*x509.Certificate // that are built in as trusted
	certificatesErr error
}

// vmlinux is the kernel in a boot image, as it will be in memory: its tables lie there
// as in the running one's.
type vmlinux struct {
	path    string
	data    []byte
	machine string
	elf     *elfImage // nil where the image is not an ELF file, as arm64's: its tables cannot be found
}

const (
	maxBootFile = 256 << 20
	maxVmlinux  = 512 << 20 // a distribution's has 60 MB
)

// readBootImage reads the image file. That of the running kernel's release must be of the same
// build: an upgrade replaces the file under the running kernel's feet.
func (k *Kernel) readBootImage() (*bootImage, error) {
	for _, path := range []string{"boot/vmlinuz-" + k.release, "lib/modules/" + k.release + "/vmlinuz", "boot/vmlinux-" + k.release} {
		data, err := procfs.ReadFile(k.path(path), maxBootFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, unknown("%w", err)
		}
		unpacked, err := parseBootImage(data)
		if err != nil {
			return nil, unknown("boot image %s: %w", k.path(path), err)
		}
		unpacked.path = k.path(path)
		if err := k.checkBanner(unpacked); err != nil {
			return nil, err
		}
		image := &bootImage{machine: unpacked.machine, vermagic: unpacked.vermagic(k.release)}
		image.exports, image.exportsErr = unpacked.exports(k.configured("CONFIG_MODULE_REL_CRCS"))
		image.certificates, image.certificatesErr = unpacked.certificates()
		return image, nil
	}
	return nil, unknown("no boot image of it is installed")
}

// checkBanner compares the build that the image names.
func (k *Kernel) checkBanner(image *vmlinux) error {
	banner := "Linux version " + k.release + " ("
	if k.running {
		banner = k.line("proc/version")
	}
	if banner == "" || !bytes.Contains(image.data, []byte(banner)) {
		return unknown("boot image %s is of another build", image.path)
	}
	return nil
}

// parseBootImage unpacks an image: x86's bzImage, or a kernel that is packed or plain.
func parseBootImage(data []byte) (*vmlinux, error) {
	payload := data
	if len(data) > 0x260 && string(data[0x202:0x206]) == "HdrS" {
		var ok bool
		if payload, ok = bzImagePayload(data); !ok {
			return nil, errors.New("its header is damaged")
		}
	}
	unpacked, err := unpackVmlinux(payload)
	if err != nil {
		return nil, err
	}
	v := &vmlinux{data: unpacked}
	if len(unpacked) >= 64 && string(unpacked[:4]) == "\x7fELF" {
		if v.elf, err = parseELF(unpacked); err != nil {
			return nil, err
		}
		v.machine = v.elf.machine
	} else if len(unpacked) >= 64 && string(unpacked[56:60]) == "ARM\x64" {
		v.machine = "aarch64"
	}
	return v, nil
}

// bzImagePayload gives the packed kernel in an image of x86: the setup header says
// where, counted from the end of the setup code (boot protocol 2.08 on).
func bzImagePayload(data []byte) ([]byte, bool) {
	if binary.LittleEndian.Uint16(data[0x206:]) < 0x208 {
		return nil, false
	}
	sectors := uint64(data[0x1f1])
	if sectors == 0 {
		sectors = 4
	}
	start := (sectors+1)*512 + uint64(binary.LittleEndian.Uint32(data[0x248:]))
	size := uint64(binary.LittleEndian.Uint32(data[0x24c:]))
	if start > uint64(len(data)) || size > uint64(len(data))-start {
		return nil, false
	}
	return data[start : start+size], true
}

// vermagic finds the text that modules must have: after a NUL, and up to one.
func (v *vmlinux) vermagic(release string) string {
	rest := v.data
	for {
		at := bytes.Index(rest, []byte("\x00"+release+" "))
		if at < 0 {
			return ""
		}
		rest = rest[at+1:]
		text, ok := textOf(rest[:min(len(rest), maxSymbolName)])
		if ok && isVermagic(text, release) {
			return text
		}
	}
}

// exports reads the tables that the running kernel would have. Their addresses are
// those that the image was linked for, which does not matter: all distances in them are relative.
func (v *vmlinux) exports(relative bool) (exports, error) {
	if v.elf == nil {
		return nil, unknown("boot image %s does not tell where its tables are", v.path)
	}
	m, err := parseCore(bytes.NewReader(v.data))
	if err != nil {
		return nil, unknown("boot image %s: %w", v.path, err)
	}
	main := exportTable{
		entries: v.elf.sections["__ksymtab"], crcs: v.elf.sections["__kcrctab"], flags: v.elf.sections["__kflagstab"], crcsRelative: relative,
	}
	gpl := exportTable{entries: v.elf.sections["__ksymtab_gpl"], crcs: v.elf.sections["__kcrctab_gpl"], gpl: true, crcsRelative: relative}
	if main.entries.size == 0 || (main.flags.size != 0) == (gpl.entries.size != 0) {
		return nil, unknown("boot image %s has export tables of a kind that is not understood", v.path)
	}
	found := make(exports)
	for _, table := range []*exportTable{&main, &gpl} {
		if err := table.read(m, "", v.path, found); err != nil {
			return nil, unknown("boot image %s: %w", v.path, err)
		}
	}
	return found, nil
}

// elfImage is what is wanted of an ELF file of a kernel.
type elfImage struct {
	machine  string
	sections map[string]span // that are part of its memory
}

// parseELF reads the table of sections.
func parseELF(data []byte) (*elfImage, error) {
	if data[4] != 2 || data[5] != 1 {
		return nil, errors.New("it is not of 64 bits and little-endian") // such kernels are not common enough
	}
	order := binary.LittleEndian
	image := &elfImage{machine: elfMachine(order.Uint16(data[18:])), sections: make(map[string]span)}
	table, size, count := order.Uint64(data[40:]), uint64(order.Uint16(data[58:])), uint64(order.Uint16(data[60:]))
	names := uint64(order.Uint16(data[62:]))
	if size < 64 || table > uint64(len(data)) || size*count > uint64(len(data))-table || names >= count {
		return nil, errors.New("its table of sections is cut short")
	}
	header := func(i uint64) []byte { return data[table+i*size:] }
	text := data[min(uint64(len(data)), order.Uint64(header(names)[24:])):]
	for i := range count {
		h := header(i)
		const alloc = 2
		at := uint64(order.Uint32(h))
		if order.Uint64(h[8:])&alloc == 0 || at >= uint64(len(text)) {
			continue
		}
		name, ok := textOf(text[at:min(uint64(len(text)), at+maxSymbolName)])
		if s := order.Uint64(h[32:]); ok && s <= maxTable {
			image.sections[strings.Clone(name)] = span{order.Uint64(h[16:]), int(s)}
		}
	}
	return image, nil
}

// elfMachine names the machines whose kernels are known to be ELF files inside.
func elfMachine(number uint16) string {
	switch number {
	case 62:
		return "x86-64"
	case 183:
		return "aarch64"
	case 243:
		return "riscv"
	case 258:
		return "loongarch"
	case 21:
		return "ppc64"
	case 22:
		return "s390"
	}
	return fmt.Sprintf("machine %d", number)
}
