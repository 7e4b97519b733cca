package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// memory is a kernel's memory, by virtual address. What is read is kept: tables
// point into the same few pages again and again. Addresses and lengths come from that
// memory itself, which changes while it is read, so that each is taken for hostile.
type memory struct {
	from  io.ReaderAt
	order binary.ByteOrder
	wide  bool // 64-bit
	areas []area
	pages map[uint64][]byte
	left  int // pages that may still be read
}

// area is a piece of virtual memory in the file.
type area struct {
	address, size, offset uint64
}

const (
	memoryPage = 4096
	maxPages   = 64 << 20 / memoryPage // what is wanted of a kernel with thousands of modules is 16 MiB
	maxAreas   = 4096
	maxTable   = 16 << 20 // bytes of an export table; a distribution's kernel has 200 KiB
)

var errMemory = errors.New("the kernel's memory is not what it should be")

// openMemory opens /proc/kcore. The caller closes the file.
func (k *Kernel) openMemory() (*memory, io.Closer, error) {
	path := k.path("proc/kcore")
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() == 0: // lockdown to confidentiality, or a container
		return nil, nil, unknown("the kernel does not show its memory even to root (lockdown, or no CAP_SYS_RAWIO): %w", err)
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, unknown("reading the kernel's memory needs root: %w", err)
	case err != nil:
		return nil, nil, unknown("the kernel's memory: %w", err)
	}
	m, err := parseCore(f)
	if err != nil {
		f.Close()
		return nil, nil, unknown("%s: %w", path, err)
	}
	return m, f, nil
}

// parseCore reads the headers of an ELF core file.
func parseCore(from io.ReaderAt) (*memory, error) {
	header := make([]byte, 64)
	if _, err := from.ReadAt(header, 0); err != nil {
		return nil, fmt.Errorf("its ELF header: %w", noEOF(err))
	}
	if string(header[:4]) != "\x7fELF" {
		return nil, errors.New("it does not begin as an ELF file")
	}
	m := &memory{from: from, order: binary.LittleEndian, wide: header[4] == 2, pages: make(map[uint64][]byte), left: maxPages}
	if header[5] == 2 {
		m.order = binary.BigEndian
	}
	table, size, count := uint64(m.order.Uint32(header[28:])), m.order.Uint16(header[42:]), m.order.Uint16(header[44:])
	known := uint16(32)
	if m.wide {
		table, size, count = m.order.Uint64(header[32:]), m.order.Uint16(header[54:]), m.order.Uint16(header[56:])
		known = 56
	}
	if size != known || count > maxAreas || table > 1<<62 {
		return nil, errors.New("its ELF header is damaged")
	}
	headers := make([]byte, int(size)*int(count))
	if _, err := from.ReadAt(headers, int64(table)); err != nil {
		return nil, fmt.Errorf("its program headers: %w", noEOF(err))
	}
	for ; len(headers) > 0; headers = headers[size:] {
		m.addArea(headers[:size])
	}
	return m, nil
}

// addArea takes one program header, if it is of memory.
func (m *memory) addArea(h []byte) {
	const load = 1
	if m.order.Uint32(h) != load {
		return
	}
	a := area{uint64(m.order.Uint32(h[8:])), uint64(m.order.Uint32(h[16:])), uint64(m.order.Uint32(h[4:]))}
	if m.wide {
		a = area{m.order.Uint64(h[16:]), m.order.Uint64(h[32:]), m.order.Uint64(h[8:])}
	}
	if a.size == 0 || a.address+a.size-1 < a.address || a.offset > 1<<62 || a.size > 1<<62 {
		return
	}
	m.areas = append(m.areas, a)
}

// page gives the page that holds an address, from the address on: at least one byte.
func (m *memory) page(address uint64) ([]byte, error) {
	start := address &^ (memoryPage - 1)
	data, ok := m.pages[start]
	if !ok {
		var err error
		if data, err = m.readPage(start); err != nil {
			return nil, err
		}
		m.pages[start] = data
	}
	if uint64(len(data)) <= address-start {
		return nil, fmt.Errorf("%w: %#x is not mapped", errMemory, address)
	}
	return data[address-start:], nil
}

// readPage reads a page, or as much of it as the file has.
func (m *memory) readPage(start uint64) ([]byte, error) {
	for _, a := range m.areas {
		if start < a.address || start-a.address >= a.size {
			continue
		}
		if m.left == 0 {
			return nil, fmt.Errorf("%w: more than %d pages of it were wanted", errMemory, maxPages)
		}
		m.left--
		data := make([]byte, min(memoryPage, a.size-(start-a.address)))
		n, err := m.from.ReadAt(data, int64(a.offset+(start-a.address)))
		if n == 0 {
			return nil, fmt.Errorf("%w: read %#x: %w", errMemory, start, noEOF(err))
		}
		return data[:n], nil
	}
	return nil, fmt.Errorf("%w: %#x is not mapped", errMemory, start)
}

// read gives memory over as many pages as it takes.
func (m *memory) read(address uint64, size int) ([]byte, error) {
	if size < 0 || size > maxTable || address+uint64(size) < address {
		return nil, fmt.Errorf("%w: %d bytes at %#x", errMemory, size, address)
	}
	var out []byte
	for len(out) < size {
		data, err := m.page(address + uint64(len(out)))
		if err != nil {
			return nil, err
		}
		out = append(out, data[:min(len(data), size-len(out))]...)
	}
	return out, nil
}

// text gives the text that begins at an address, of at most so many bytes.
func (m *memory) text(address uint64, most int) (string, error) {
	var out []byte
	for {
		data, err := m.page(address + uint64(len(out)))
		if err != nil {
			return "", err
		}
		if text, ok := textOf(data); ok && len(out)+len(text) <= most {
			return string(out) + text, nil
		}
		if out = append(out, data...); len(out) > most {
			return "", fmt.Errorf("%w: no text at %#x", errMemory, address)
		}
	}
}

// number reads an unsigned number of 1, 2, 4 or 8 bytes.
func (m *memory) number(address uint64, size int) (uint64, error) {
	data, err := m.read(address, size)
	if err != nil {
		return 0, err
	}
	switch size {
	case 1:
		return uint64(data[0]), nil
	case 2:
		return uint64(m.order.Uint16(data)), nil
	case 4:
		return uint64(m.order.Uint32(data)), nil
	case 8:
		return m.order.Uint64(data), nil
	}
	return 0, fmt.Errorf("%w: a number of %d bytes", errMemory, size)
}

// pointer reads one.
func (m *memory) pointer(address uint64) (uint64, error) { return m.number(address, m.pointerSize()) }

func (m *memory) pointerSize() int {
	if m.wide {
		return 8
	}
	return 4
}

// noEOF: a file that ends is a damaged one here.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
