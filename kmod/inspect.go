package kmod

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kmodtrace/kmodtrace/internal/modname"
	"golang.org/x/sys/unix"
)

// File is what a module file says about itself.
type File struct {
	Path        string      `json:"path,omitempty"`
	Name        string      `json:"name"`        // as the kernel will call it
	Compression Compression `json:"compression"` // of the file
	FileSize    int         `json:"file_size"`   // bytes of the file
	Size        int         `json:"size"`        // bytes of the module in it, decompressed, signature included

	// MemorySize is what its sections take in the kernel, in bytes, before they are
	// set out in pages: what only its init needs is in it.
	MemorySize uint64 `json:"memory_size"`
	// StructSize is how large struct module is in the kernel that it was built for; zero
	// where it has none.
	StructSize uint64 `json:"-"`
	// Sections are the parts that the kernel puts into memory, in the file's order.
	Sections []Section `json:"sections"`

	Machine   string `json:"machine"`            // ELF machine: x86-64, aarch64, …
	WordSize  int    `json:"word_size"`          // bits: 32 or 64
	BigEndian bool   `json:"big_endian"`         // order of bytes
	BuildID   string `json:"build_id,omitempty"` // hexadecimal; empty when built without

	// Fields are the lines of the .modinfo section in the file's order. Keys repeat:
	// a module has one "alias" for each device that it drives.
	Fields []Field `json:"fields"`

	// Parameters, in the order in which they first appear.
	Parameters []Parameter `json:"parameters"`
	// Layout is the version of the kernel's struct module that it was built against;
	// nil without CONFIG_MODVERSIONS.
	Layout *CRC `json:"module_layout,omitempty"`
	// Imports are the symbols that the kernel or other modules must give.
	Imports []Import `json:"imports"`
	// Exports are the symbols that it gives to other modules.
	Exports []Export `json:"exports"`
	// Signature is nil where none is appended.
	Signature *Signature `json:"signature"`

	lacks string
}

// Field is one key and value of .modinfo.
type Field struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Parameter is one parameter that the module takes.
type Parameter struct {
	Name        string `json:"name"`
	Type        string `json:"type,omitempty"` // the kernel's word: int, charp, bool, array of int, …
	Description string `json:"description,omitempty"`
}

// Import is a symbol that must exist before the module can be loaded.
type Import struct {
	Name string `json:"name"`
	CRC  *CRC   `json:"crc,omitempty"` // the version it was built against; nil without CONFIG_MODVERSIONS
	Weak bool   `json:"weak"`          // may stay missing
}

// Export is a symbol that the module gives.
type Export struct {
	Name      string `json:"name"`
	GPL       bool   `json:"gpl"`                 // only for modules with a GPL-compatible license
	Namespace string `json:"namespace,omitempty"` // users must import it (MODULE_IMPORT_NS)
	CRC       *CRC   `json:"crc,omitempty"`
}

// CRC is the version of a symbol: a checksum of its type, of CONFIG_MODVERSIONS.
type CRC uint32

// String gives it in hexadecimal, as Module.symvers has it.
func (c CRC) String() string { return fmt.Sprintf("%#08x", uint32(c)) }

// MarshalText gives it in hexadecimal.
func (c CRC) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Value gives the first value of a .modinfo key, or nothing.
func (f *File) Value(key string) string {
	for _, field := range f.Fields {
		if field.Key == key {
			return field.Value
		}
	}
	return ""
}

// Values gives all values of a .modinfo key.
func (f *File) Values(key string) []string {
	var values []string
	for _, field := range f.Fields {
		if field.Key == key {
			values = append(values, field.Value)
		}
	}
	return values
}

// Depends gives the names of the modules whose symbols it needs, as the build found
// them. Soft dependencies are in Values("softdep").
func (f *File) Depends() []string {
	return strings.FieldsFunc(f.Value("depends"), func(c rune) bool { return c == ',' })
}

// Inspect reads a module file, plain or compressed by gzip, xz or zstd. It needs no
// privilege and no kernel that has modules, and memory for the tables of the module alone:
// at most some 64 MiB, whatever the file is.
//
// Errors: [ErrNotFound] (ENOENT), [ErrNotModule] for everything that is not a module or
// is damaged, [ErrTooBig] for a file over 1 GiB, one that decompresses to more than 16
// times its size and 16 MiB, one whose compression needs a window of more than 16 MiB, and
// tables of more than 16 MiB or 65,536 entries.
func Inspect(path string) (*File, error) {
	file, size, err := openModuleFile(path)
	if err != nil {
		return nil, &Error{Op: "inspect", Module: path, Err: err}
	}
	defer file.Close()
	return InspectReader(file, size, path)
}

// InspectReader is Inspect of an open file of a size: whoever found a file by its descriptor
// must not look for it by its name again, where another may be by now. The path is only
// for errors, and for the name of a module that does not say its own.
func InspectReader(file io.ReaderAt, size int64, path string) (*File, error) {
	f, err := parse(file, size)
	if err != nil {
		return nil, &Error{Op: "inspect", Module: path, Err: bareError(err)}
	}
	f.Path = path
	if f.Name == "" && path != "" { // built before the name was in .modinfo
		f.Name = NameOfFile(path)
	}
	return f, nil
}

// Parse is Inspect of a file's bytes.
func Parse(data []byte) (*File, error) {
	return InspectReader(bytes.NewReader(data), int64(len(data)), "")
}

// ReadSignature gives the signature of a module in an open file of a size, nil where it has
// none. It keeps nothing else of the file in memory.
func ReadSignature(file io.ReaderAt, size int64) (*Signature, error) {
	c, err := openContents(file, size)
	if err != nil {
		return nil, &Error{Op: "read signature", Err: err}
	}
	defer c.close()
	_, signature, err := signatureOf(c)
	if err != nil {
		return nil, &Error{Op: "read signature", Err: err}
	}
	return signature, nil
}

// ReadImage gives the module in a file, decompressed, signature included. It has all of it
// in memory, in the bounds of [Inspect]; a file that is neither an ELF file nor
// compressed it refuses with [ErrNotELF].
func ReadImage(path string) ([]byte, error) {
	f, size, err := openModuleFile(path)
	if err != nil {
		return nil, &Error{Op: "read", Module: path, Err: err}
	}
	defer f.Close()
	image, err := readImage(f, size)
	if err != nil {
		return nil, &Error{Op: "read", Module: path, Err: bareError(err)}
	}
	return image, nil
}

// ReadImageOf is ReadImage of an open file of a size: see [InspectReader].
func ReadImageOf(file io.ReaderAt, size int64) ([]byte, error) {
	image, err := readImage(file, size)
	if err != nil {
		return nil, &Error{Op: "read", Err: bareError(err)}
	}
	return bytes.Clone(image), nil // the file may be unmapped
}

func readImage(file io.ReaderAt, size int64) ([]byte, error) {
	c, err := openContents(file, size)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if magic, err := c.read(0, min(c.size, int64(len(elf.ELFMAG)))); err == nil && c.compression == Plain && string(magic) != elf.ELFMAG {
		return nil, ErrNotELF // and not worth the memory
	}
	return c.read(0, c.size)
}

// openModuleFile opens a regular file. What is none is not even opened for reading: a FIFO
// would hang, and of devices some act when they are opened.
func openModuleFile(path string) (f *os.File, size int64, err error) {
	at, err := os.OpenFile(path, unix.O_PATH, 0)
	if err != nil {
		return nil, 0, bareError(err)
	}
	defer at.Close()
	info, err := at.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = because(ErrNotModule, unix.EISDIR)
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%w: not a regular file", ErrNotModule)
	case info.Size() == 0:
		err = fmt.Errorf("%w: the file is empty", ErrNotModule)
	case info.Size() > maxImage:
		err = fmt.Errorf("%w: the file has more than %d bytes", ErrTooBig, maxImage)
	default:
		f, err = reopen(at, path, info)
	}
	if err != nil {
		return nil, 0, bareError(err)
	}
	return f, info.Size(), nil
}

// reopen opens for reading what is open by O_PATH, also where /proc is missing.
func reopen(at *os.File, path string, info fs.FileInfo) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(int(at.Fd())), flags, 0)
	if !errors.Is(err, unix.ENOENT) {
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), path), nil
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, err
	}
	if now, err := f.Stat(); err != nil || !os.SameFile(info, now) {
		f.Close()
		return nil, errors.Join(err, unix.ESTALE)
	}
	return f, nil
}

// bareError takes off the path that os adds: Error has it already.
func bareError(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return because(ErrNotFound, err)
	}
	return err
}

func parse(file io.ReaderAt, size int64) (*File, error) {
	c, err := openContents(file, size)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if c.size == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrNotModule)
	}
	body, signature, err := signatureOf(c)
	if err != nil {
		return nil, err
	}
	img, err := parseImage(c, body)
	if err != nil {
		return nil, err
	}
	f := &File{
		Compression: c.compression, FileSize: int(size), Size: int(c.size), Signature: signature,
		Machine: MachineName(img.machine), WordSize: 32, BigEndian: img.order == binary.BigEndian,
	}
	if img.wide {
		f.WordSize = 64
	}
	if err := f.describe(img); err != nil {
		return nil, err
	}
	return f, nil
}

// describe takes what the tables of a module say.
func (f *File) describe(img *image) error {
	info := img.section(".modinfo")
	if info == nil {
		return fmt.Errorf("%w: an object file without .modinfo", ErrNotModule)
	}
	f.Fields = parseModinfo(img, string(info))
	if f.Name = structName(img); f.Name == "" {
		f.Name = modname.Normal(f.Value("name"))
	}
	f.Parameters = parameters(f.Fields)
	f.BuildID = buildID(img)
	f.lacks = missingParts(img)
	f.MemorySize = memorySize(img)
	f.StructSize = structSize(img)
	f.Sections = sections(img)
	crcs := importVersions(img)
	f.Layout = crcs["module_layout"]
	f.Imports = imports(img, crcs)
	var err error
	if f.Exports, err = exports(img); err != nil {
		return err
	}
	if img.tooMany {
		return errEntries
	}
	return nil
}

// Complete tells whether the file has the parts that a kernel cannot do without and
// this package can: nil when it has. It errs with [ErrNotModule] otherwise.
func (f *File) Complete() error {
	if f.lacks == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrNotModule, f.lacks)
}

// thisModule is the section that becomes struct module.
const thisModule = ".gnu.linkonce.this_module"

// structSize gives the size of struct module.
func structSize(img *image) uint64 {
	for _, s := range img.sections {
		if s.name == thisModule {
			return s.size
		}
	}
	return 0
}

// missingParts names what a kernel misses: struct module, as the build leaves it, in
// exactly one section, and symbols.
func missingParts(img *image) string {
	structs, symbols := 0, 0
	for _, s := range img.sections {
		if s.name == thisModule {
			structs++
		}
		if s.kind == elf.SHT_SYMTAB {
			symbols++
		}
	}
	switch {
	case symbols == 0:
		return "it has no table of symbols (stripped?)"
	case structs == 0:
		return "it has no struct module: is it an object file that was not linked as a module?"
	case structs > 1:
		return "it has more than one struct module"
	}
	return ""
}

// memorySize adds up the sections that the kernel keeps. A sum that does not fit
// is the largest number.
func memorySize(img *image) uint64 {
	var sum uint64
	for _, s := range img.sections {
		if s.flags&elf.SHF_ALLOC == 0 {
			continue
		}
		if sum+s.size < sum {
			return math.MaxUint64
		}
		sum += s.size
	}
	return sum
}

// MachineName gives the common name of an ELF machine.
func MachineName(m elf.Machine) string {
	switch m {
	case elf.EM_X86_64:
		return "x86-64"
	case elf.EM_386:
		return "x86"
	}
	return strings.ToLower(strings.TrimPrefix(m.String(), "EM_"))
}

// buildID gives that of a file.
func buildID(img *image) string { return noteID(img.section(".note.gnu.build-id"), img.order) }

// noteID reads the note that the linker leaves: sizes of name and content, a type,
// "GNU", the content.
func noteID(text []byte, order binary.ByteOrder) string {
	note := reader{text, order, false, 0} // its words have 32 bits everywhere
	nameLen, size := note.word(), note.word()
	note.word() // type
	if note.past() || nameLen != 4 {
		return ""
	}
	id, ok := cut(note.data, 16, uint64(size))
	if !ok {
		return ""
	}
	return hex.EncodeToString(id)
}

// structName gives the name in struct module as the build leaves it, which is the one
// that the kernel goes by. Nothing else in it is set then, so that its place in the
// struct, which kernels choose, does not matter. Empty where that is not so.
func structName(img *image) string {
	name := string(bytes.Trim(img.section(thisModule), "\x00"))
	if name, err := NormalName(name); err == nil && utf8.ValidString(name) && !strings.ContainsRune(name, 0) {
		return name
	}
	return ""
}
