// Nolines removes the line information from a .BTF.ext section, but for the first line of each
// function: it reads the section from standard input and writes it to standard output.
//
// Compiled BPF programs carry each line of their source, so that the log of a verifier that
// refuses one can show it. Nobody reads that log where kmodtrace runs, but every start reads the
// lines, makes an object of each, and hands them to the kernel again with each program: they were
// nine tenths of the section, and a third of what reading the programs took. No option of clang or
// llvm-strip leaves them out alone.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// order is that of the objects: amd64 and arm64 have one.
var order = binary.LittleEndian

// header is struct btf_ext_header of the kernel's tools/lib/bpf/libbpf_internal.h. Offsets count
// from the header's end; lengths are in bytes.
type header struct {
	Magic                       uint16
	Version, Flags              uint8
	HeaderLength                uint32
	FunctionStart, FunctionSize uint32
	LineStart, LineSize         uint32
	RelocStart, RelocSize       uint32
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "nolines: %v\n", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	all, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	short, err := onlyFunctions(all)
	if err != nil {
		return fmt.Errorf("read .BTF.ext: %w", err)
	}
	_, err = out.Write(short)
	return err
}

// onlyFunctions keeps one line for each function, at its start: the kernel wants those where there
// is any line, and the library adds one to each instruction that it could not relocate.
func onlyFunctions(section []byte) ([]byte, error) {
	var h header
	if _, err := binary.Decode(section, order, &h); err != nil {
		return nil, err
	}
	if h.Magic != 0xeb9f || h.Version != 1 || int(h.HeaderLength) != binary.Size(h) {
		return nil, fmt.Errorf("unknown format: %+v", h)
	}
	body := section[h.HeaderLength:]
	if h.FunctionStart != 0 || h.LineStart != h.FunctionSize || h.RelocStart != h.LineStart+h.LineSize ||
		uint64(h.RelocStart)+uint64(h.RelocSize) != uint64(len(body)) {
		return nil, errors.New("its parts do not follow each other")
	}
	functions, lines, relocs := body[:h.LineStart], body[h.LineStart:h.RelocStart], body[h.RelocStart:]
	starts := make(map[place]bool)
	if _, err := filter(functions, func(p place) bool { starts[p] = true; return true }); err != nil {
		return nil, fmt.Errorf("functions: %w", err)
	}
	kept, err := filter(lines, func(p place) bool { return starts[p] })
	if err != nil {
		return nil, fmt.Errorf("lines: %w", err)
	}
	h.LineSize = uint32(len(kept))
	h.RelocStart = h.LineStart + h.LineSize
	short, err := binary.Append(nil, order, h)
	return slices.Concat(short, functions, kept, relocs), err
}

// place is an instruction, by the name of its section in the string table and its offset there.
type place struct{ section, offset uint32 }

// filter copies the records that keep wants. They come as the size of a record, and for each
// section the offset of its name, the number of its records, and these, which begin with an offset.
func filter(part []byte, keep func(place) bool) ([]byte, error) {
	if len(part) < 4 {
		return nil, io.ErrUnexpectedEOF
	}
	size := uint64(order.Uint32(part))
	if size < 4 {
		return nil, fmt.Errorf("records of %d bytes", size)
	}
	kept := slices.Clone(part[:4])
	for part = part[4:]; len(part) > 0; {
		if len(part) < 8 {
			return nil, io.ErrUnexpectedEOF
		}
		name, n := order.Uint32(part), uint64(order.Uint32(part[4:]))
		part = part[8:]
		if uint64(len(part)) < n*size {
			return nil, io.ErrUnexpectedEOF
		}
		var records []byte
		for record := range slices.Chunk(part[:n*size], int(size)) {
			if keep(place{name, order.Uint32(record)}) {
				records = append(records, record...)
			}
		}
		part = part[n*size:]
		if len(records) > 0 {
			kept = order.AppendUint32(order.AppendUint32(kept, name), uint32(uint64(len(records))/size))
			kept = append(kept, records...)
		}
	}
	return kept, nil
}
