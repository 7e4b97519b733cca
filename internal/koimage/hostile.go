package koimage

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"
)

// HostileText is what a name may be that somebody wants to steer a terminal, forge a line
// or hide, without the NUL that ends texts in files.
const HostileText = "a\nFORGED\r\x1b[2J\x1b]0;t\a\u0085\u009b31m\x9b\xff\u202e\u2066\u2028\u200b\ufeff\U000e0041\u0301"

// bombSize is how large the files are that become a thousand times as much.
const bombSize = 16 << 20

// HostileDir fills a directory with files that are not modules, or bad ones, each named after
// what is wrong with it and ending in .ko. It gives their names.
func HostileDir(dir string) ([]string, error) {
	for name, data := range hostileFiles() {
		if err := os.WriteFile(filepath.Join(dir, name+".ko"), data, 0o600); err != nil {
			return nil, err
		}
	}
	for name, make := range map[string]func(path string) error{
		"sparse 1 TiB":         func(path string) error { return sparse(path, "", 1<<40) },
		"sparse 900 MiB":       func(path string) error { return sparse(path, "", 900<<20) },
		"sparse ELF 900 MiB":   func(path string) error { return sparse(path, string(Hello().Bytes()[:64]), 900<<20) },
		"sparse gzip 900 MiB":  func(path string) error { return sparse(path, "\x1f\x8b\x08", 900<<20) },
		"sparse xz 900 MiB":    func(path string) error { return sparse(path, string(xzBomb()[:64]), 900<<20) },
		"fifo":                 func(path string) error { return unix.Mkfifo(path, 0o600) },
		"socket":               func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
		"directory":            func(path string) error { return os.Mkdir(path, 0o700) },
		"dangling link":        func(path string) error { return os.Symlink("nothing", path) },
		"link to itself":       func(path string) error { return os.Symlink(filepath.Base(path), path) },
		"link to dev zero":     func(path string) error { return os.Symlink("/dev/zero", path) },
		"link to proc kmsg":    func(path string) error { return os.Symlink("/proc/kmsg", path) },
		"link to a terminal":   func(path string) error { return os.Symlink("/dev/tty", path) },
		"link to own memory":   func(path string) error { return os.Symlink("/proc/self/mem", path) },
		HostileText + " named": func(path string) error { return os.WriteFile(path, []byte("\x7fELF"+HostileText), 0o600) },
	} {
		if err := make(filepath.Join(dir, name+".ko")); err != nil {
			return nil, err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

func sparse(path, head string, size int64) error {
	if err := os.WriteFile(path, []byte(head), 0o600); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

// hostileFiles are what a regular file may have in it.
func hostileFiles() map[string][]byte {
	files := map[string][]byte{
		"empty":                 nil,
		"text":                  []byte("hello\n"),
		"noise":                 bytes.Repeat([]byte(HostileText), 1000),
		"gzip bomb":             repeated(gzipped(make([]byte, bombSize)), bombSize),
		"gzip in gzip":          gzipped(gzipped(Hello().Bytes())),
		"gzip cut short":        gzipped(make([]byte, 1<<20))[:600],
		"zstd bomb":             repeated(zstdOf(make([]byte, bombSize)), bombSize),
		"zstd of a huge window": append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8}, make([]byte, 64)...),
		"xz bomb":               xzBomb(),
		"hostile names":         hostileNames().Bytes(),
	}
	for name, data := range hostileELF() {
		files["ELF "+name] = data
	}
	for name, der := range hostileDER() {
		files["signature "+name] = Sign(Hello().Bytes(), der)
	}
	signed := Sign(Hello().Bytes(), []byte{0x30, 0})
	claim := bytes.Clone(signed)
	binary.BigEndian.PutUint32(claim[len(claim)-28-4:], 0xffffffff)
	files["signature of 4 GiB"] = claim
	files["signatures without end"] = bytes.Repeat(signed[len(signed)-28-12-2:], 10_000)
	return files
}

func repeated(part []byte, size int) []byte { return bytes.Repeat(part, size/len(part)) }

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data) // into memory
	_ = w.Close()
	return b.Bytes()
}

func zstdOf(data []byte) []byte {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err) // without options
	}
	return z.EncodeAll(data, nil)
}

// xzBomb is one stream of many blocks, of which each is a bomb.
func xzBomb() []byte {
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err != nil {
		panic(err) // without options
	}
	_, _ = w.Write(make([]byte, bombSize/4))
	_ = w.Close()
	data := b.Bytes()
	const head, foot = 12, 12
	index := 4 * (1 + int(binary.LittleEndian.Uint32(data[len(data)-8:])))
	block := data[head : len(data)-foot-index]
	return append(bytes.Clone(data[:head]), repeated(block, bombSize)...)
}

// hostileNames has such a text wherever a module file has one.
func hostileNames() Module {
	m := Hello()
	m.This, m.Struct = true, []byte(HostileText)
	for i, line := range m.Info {
		key, value, _ := strings.Cut(line, "=")
		m.Info[i] = key + "=" + value + HostileText
		m.Info = append(m.Info, HostileText+key+"="+value)
	}
	m.Info = append(m.Info, "parmtype="+HostileText+":int", "parm="+HostileText+":"+HostileText, "="+HostileText, HostileText)
	for i := range m.Imports {
		m.Imports[i].Name += HostileText
	}
	for i := range m.Exports {
		m.Exports[i].Name += HostileText
		m.Exports[i].Namespace += HostileText
	}
	return m
}

// The places in the header of an ELF file of 64 bits, and in a section's.
const (
	tableAt, entryAt, countAt, namesAt   = 40, 58, 60, 62
	flagsIn, offsetIn, sizeIn, linkIn    = 8, 24, 32, 40
	sectionHeader                        = 64
	symbolTable, stringTable, programBit = 2, 3, 1
)

// hostileELF are module files whose header or tables lie.
func hostileELF() map[string][]byte {
	put := binary.LittleEndian
	files := make(map[string][]byte)
	lie := func(name string, change func(data []byte, sections int, header func(int) []byte)) {
		data := Hello().Bytes()
		table := put.Uint64(data[tableAt:])
		change(data, int(put.Uint16(data[countAt:])), func(i int) []byte { return data[int(table)+i*sectionHeader:] })
		files[name] = data
	}
	for name, count := range map[string]uint16{"65535 sections": 0xffff, "no sections": 0} {
		lie(name, func(data []byte, _ int, _ func(int) []byte) { put.PutUint16(data[countAt:], count) })
	}
	lie("2^32 sections", func(data []byte, _ int, header func(int) []byte) {
		put.PutUint16(data[countAt:], 0)
		put.PutUint64(header(0)[sizeIn:], 1<<32)
	})
	for _, size := range []uint16{0, 1, 0xffff} {
		lie(fmt.Sprintf("entries of %d bytes", size), func(data []byte, _ int, _ func(int) []byte) { put.PutUint16(data[entryAt:], size) })
	}
	for _, at := range []uint64{1 << 63, ^uint64(0), ^uint64(0) - 63, 0, 1} {
		lie(fmt.Sprintf("table at %#x", at), func(data []byte, _ int, _ func(int) []byte) { put.PutUint64(data[tableAt:], at) })
	}
	for _, names := range []uint16{0xffff, 0, 1} {
		lie(fmt.Sprintf("names in section %d", names), func(data []byte, _ int, _ func(int) []byte) { put.PutUint16(data[namesAt:], names) })
	}
	every := func(name string, change func(data, header []byte)) {
		lie(name, func(data []byte, sections int, header func(int) []byte) {
			for i := range sections {
				change(data, header(i))
			}
		})
	}
	every("sections beyond the file", func(_, h []byte) { put.PutUint64(h[sizeIn:], 1<<40) })
	every("sections that overflow", func(_, h []byte) { put.PutUint64(h[offsetIn:], ^uint64(0)-4) })
	every("sections of all the file", func(data, h []byte) {
		put.PutUint64(h[offsetIn:], 0)
		put.PutUint64(h[sizeIn:], uint64(len(data)))
	})
	every("links to nowhere", func(_, h []byte) { put.PutUint32(h[linkIn:], 0xfffffff0) })
	every("names out of their table", func(_, h []byte) { put.PutUint32(h, 0xfffffff0) })
	every("all symbol tables", func(_, h []byte) { put.PutUint32(h[4:], symbolTable) })
	every("all without NUL", func(data, h []byte) {
		if put.Uint32(h[4:]) == stringTable {
			at, size := put.Uint64(h[offsetIn:]), put.Uint64(h[sizeIn:])
			copy(data[at:at+size], bytes.ReplaceAll(data[at:at+size], []byte{0}, []byte("x")))
		}
	})
	files["65000 sections of all the file"] = crowded()
	return files
}

// crowded has as many sections as a header can count, each of all of the file, all named
// .modinfo and in memory.
func crowded() []byte {
	const sections = 65_000
	put := binary.LittleEndian
	data := Module{Info: []string{"name=x"}}.Bytes()
	base := uint64(len(data))
	names := base + sections*sectionHeader
	data = append(data, make([]byte, sections*sectionHeader)...)
	data = append(data, "\x00.modinfo\x00"...)
	put.PutUint64(data[tableAt:], base)
	put.PutUint16(data[countAt:], sections)
	put.PutUint16(data[namesAt:], 1)
	for i := range uint64(sections) {
		h := data[base+i*sectionHeader:]
		put.PutUint32(h, 1)
		put.PutUint32(h[4:], programBit)
		put.PutUint64(h[flagsIn:], 2) // in memory
		put.PutUint64(h[sizeIn:], uint64(len(data)))
		if i == 1 {
			put.PutUint64(h[offsetIn:], names)
			put.PutUint64(h[sizeIn:], uint64(len(data))-names)
		}
	}
	return data
}

// hostileDER are signatures that are no PKCS#7, or much of it.
func hostileDER() map[string][]byte {
	nested := func(tag byte, depth int) []byte {
		der := []byte{5, 0}
		for range depth {
			der = append(append([]byte{tag, 0x83}, byte(len(der)>>16), byte(len(der)>>8), byte(len(der))), der...)
		}
		return der
	}
	return map[string][]byte{
		"nested 10000 deep":        nested(0x30, 10_000),
		"nested tags":              nested(0xa0, 5_000),
		"of indefinite length":     bytes.Repeat([]byte{0x30, 0x80}, 10_000),
		"of a length of 2^63":      {0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"of a tag without end":     bytes.Repeat([]byte{0x3f, 0xff}, 10_000),
		"of a hostile text":        []byte(HostileText),
		"of 16 MiB":                make([]byte, 16<<20),
		"of nothing":               {},
		"whose identifier is huge": append([]byte{0x30, 0x83, 1, 0, 4, 6, 0x83, 0, 0xff, 0xff}, bytes.Repeat([]byte{0xff}, 0xffff)...),
	}
}
