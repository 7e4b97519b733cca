package tracer

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// formats are the kinds of files that may be taken for modules, by their first
// bytes.
func formats() map[Format][]byte {
	return map[Format][]byte{
		FormatELF:  []byte(elf.ELFMAG),
		FormatGzip: {0x1f, 0x8b},
		FormatXz:   {0xfd, '7', 'z', 'X', 'Z', 0},
		FormatZstd: {0x28, 0xb5, 0x2f, 0xfd},
	}
}

// signatureMark ends a signed module (include/linux/module_signature.h).
const signatureMark = "~Module signature appended~\n"

func decodeImage(w *bpfImageEvent) Image {
	image := Image{Size: w.Size, Format: FormatUnknown}
	head := w.Head[:min(uint64(len(w.Head)), w.Size)]
	for format, magic := range formats() {
		if bytes.HasPrefix(head, magic) {
			image.Format = format
		}
	}
	if image.Format == FormatELF {
		image.decodeELF(head)
	}
	info, signed := bytes.CutSuffix(w.Tail[:], []byte(signatureMark))
	if signed && w.Size >= uint64(len(w.Tail)) {
		image.Signed = true
		image.SignatureSize = binary.BigEndian.Uint32(info[len(info)-4:])
	}
	return image
}

// decodeELF reads the first fields of the header, which are in the same places
// for all machines.
func (image *Image) decodeELF(head []byte) {
	const typeAt, machineAt, end = 16, 18, 20
	if len(head) < end {
		return
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	switch elf.Class(head[elf.EI_CLASS]) {
	case elf.ELFCLASS32:
		image.Bits = 32
	case elf.ELFCLASS64:
		image.Bits = 64
	}
	image.Type = order.Uint16(head[typeAt:])
	image.Machine = order.Uint16(head[machineAt:])
}
