package kmod

import (
	"bytes"
	"compress/gzip"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"crypto/x509/pkix"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/ulikunitz/xz"
)

func crc(v uint32) *CRC { c := CRC(v); return &c }

// TestParse reads one module in every form that a file can have.
func TestParse(t *testing.T) {
	for name, shape := range map[string]func(*koimage.Module){
		"64-bit":            func(*koimage.Module) {},
		"64-bit big-endian": func(m *koimage.Module) { m.BigEndian = true },
		"32-bit":            func(m *koimage.Module) { m.Narrow = true },
		"32-bit big-endian": func(m *koimage.Module) { m.Narrow, m.BigEndian = true, true },
		"export flags":      func(m *koimage.Module) { m.Flags = true },
		"extended versions": func(m *koimage.Module) { m.Extended = true },
	} {
		t.Run(name, func(t *testing.T) {
			module := koimage.Hello()
			shape(&module)
			f, err := Parse(module.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			checkHello(t, f)
			if f.BigEndian != module.BigEndian || (f.WordSize == 32) != module.Narrow {
				t.Errorf("%d bits, big-endian %v", f.WordSize, f.BigEndian)
			}
		})
	}
}

func checkHello(t *testing.T, f *File) {
	t.Helper()
	for _, check := range []struct{ want, got any }{
		{"hello", f.Name},
		{"abcdef", f.BuildID},
		{[]string{"A", "B"}, f.Values("author")},
		{[]string{"mod_a", "mod_b"}, f.Depends()},
		{"pre: mod_c", f.Value("softdep")},
		{[]Parameter{{"who", "charp", "whom to greet"}, {"times", "int", ""}}, f.Parameters},
		{[]Import{{Name: "_printk", CRC: crc(0x12345678)}, {Name: "maybe", CRC: crc(1), Weak: true}}, f.Imports},
		{[]Export{
			{Name: "hello_free", CRC: crc(0xdeadbeef)},
			{Name: "hello_gpl", CRC: crc(0xcafe), GPL: true, Namespace: "HELLO"},
		}, f.Exports},
	} {
		if diff := cmp.Diff(check.want, check.got); diff != "" {
			t.Error(diff)
		}
	}
}

// packed gives the same bytes in each compression.
func packed(t testing.TB, data []byte) map[Compression][]byte {
	t.Helper()
	var gz, x bytes.Buffer
	g := gzip.NewWriter(&gz)
	g.Write(data)
	g.Close()
	w, err := xz.WriterConfig{CheckSum: xz.CRC32}.NewWriter(&x)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	w.Close()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return map[Compression][]byte{Plain: data, Gzip: gz.Bytes(), Xz: x.Bytes(), Zstd: z.EncodeAll(data, nil)}
}

// unpacked gives what is in a file.
func unpacked(data []byte) ([]byte, error) {
	return readImage(bytes.NewReader(data), int64(len(data)))
}

func TestParseCompressed(t *testing.T) {
	image := koimage.Hello().Bytes()
	for compression, data := range packed(t, image) {
		f, err := Parse(data)
		if err != nil {
			t.Errorf("%v: %v", compression, err)
			continue
		}
		checkHello(t, f)
		if f.Compression != compression || f.FileSize != len(data) || f.Size != len(image) {
			t.Errorf("%v: got %v, %d bytes of %d", compression, f.Compression, f.FileSize, f.Size)
		}
	}
}

// TestXzChecks reads each kind of checksum, and finds one that is wrong.
func TestXzChecks(t *testing.T) {
	image := koimage.Hello().Bytes()
	for _, check := range []byte{xz.CRC32, xz.CRC64, xz.SHA256} {
		var out bytes.Buffer
		w, err := xz.WriterConfig{CheckSum: check, BlockSize: 500}.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(image)
		w.Close()
		got, err := unpacked(out.Bytes())
		if err != nil || !bytes.Equal(got, image) {
			t.Errorf("check %d: %d bytes of %d, %v", check, len(got), len(image), err)
		}
	}
	data := packed(t, image)[Xz]
	broken := bytes.Clone(data)
	broken[len(broken)-30]++ // before index and footer: the block's own checksum
	if _, err := unpacked(broken); err == nil {
		t.Error("a wrong checksum was not seen")
	}
}

func TestXzDictionaryOf4GiB(t *testing.T) {
	data := packed(t, []byte("hello"))[Xz]
	// Block header: size, flags, filter, length of properties, dictionary.
	header := data[xzHeaderLen : xzHeaderLen+4*(int(data[xzHeaderLen])+1)]
	at := bytes.IndexByte(header[2:], xzLZMA2) + 2
	header[at+2] = 40
	body := header[:len(header)-4]
	binary.LittleEndian.PutUint32(header[len(header)-4:], crc32.ChecksumIEEE(body))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := unpacked(data)
	runtime.ReadMemStats(&after)
	if err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
		t.Errorf("allocated %d MiB", used>>20)
	}
}

// TestXzBlocks: a file of many blocks that ask for 4 GiB each.
func TestXzBlocks(t *testing.T) {
	data := packed(t, []byte("hello"))[Xz]
	header := data[xzHeaderLen : xzHeaderLen+4*(int(data[xzHeaderLen])+1)]
	at := bytes.IndexByte(header[2:], xzLZMA2) + 2
	header[at+2] = 40
	body := header[:len(header)-4]
	binary.LittleEndian.PutUint32(header[len(header)-4:], crc32.ChecksumIEEE(body))
	// Header, "hello" in a chunk of its own, the end of chunks, padding, the checksum.
	block := append(bytes.Clone(header), "\x01\x00\x04hello\x00\x00\x00\x00"...)
	block = binary.LittleEndian.AppendUint32(block, crc32.ChecksumIEEE([]byte("hello")))
	const blocks = 5000
	data = append(append(bytes.Clone(data[:xzHeaderLen]), bytes.Repeat(block, blocks)...), 0)
	var got []byte
	var err error
	used := allocated(func() { got, err = unpacked(data) })
	if err != nil || !bytes.Equal(got, bytes.Repeat([]byte("hello"), blocks)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if used > mayUnpack(len(data)) {
		t.Errorf("allocated %d MiB", used>>20)
	}
}

// TestExportsAreLinear: texts that exports share are not copied for each.
func TestExportsAreLinear(t *testing.T) {
	module := koimage.Module{Info: []string{"name=x"}}
	for i := range 10000 {
		module.Exports = append(module.Exports, koimage.Symbol{Name: fmt.Sprintf("e%d", i), Namespace: "n"})
	}
	module.Exports[9999].Namespace = strings.Repeat("n", 1<<20)
	data := module.Bytes()
	data = bytes.ReplaceAll(data, []byte("n\x00n\x00"), []byte("nnnn")) // texts without an end
	if used := allocated(func() { Parse(data) }); used > 6*uint64(len(data)) {
		t.Errorf("allocated %d bytes for a file of %d", used, len(data))
	}
}

// TestNotModules tries what users give by mistake.
func TestNotModules(t *testing.T) {
	dir := t.TempDir()
	image := koimage.Hello().Bytes()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fifo := filepath.Join(dir, "fifo.ko")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	gz := packed(t, image)[Gzip]
	for name, c := range map[string]struct {
		path string
		want error
	}{
		"missing":        {filepath.Join(dir, "none.ko"), fs.ErrNotExist},
		"missing too":    {filepath.Join(dir, "none.ko"), ErrNotFound},
		"directory":      {dir, syscall.EISDIR},
		"fifo":           {fifo, ErrNotModule},
		"device":         {"/dev/zero", ErrNotModule},
		"empty":          {write("empty.ko", nil), ErrNotModule},
		"text":           {write("text.ko", []byte("hello, world\n")), ErrNotModule},
		"program":        {self, ErrNotModule},
		"half":           {write("half.ko", image[:len(image)/2]), ErrNotModule},
		"header only":    {write("header.ko", image[:64]), ErrNotModule},
		"object":         {write("object.ko", bytes.Replace(image, []byte(".modinfo"), []byte(".modxxxx"), 1)), ErrNotModule},
		"half a gzip":    {write("half.ko.gz", gz[:len(gz)/2]), ErrNotModule},
		"gzip of text":   {write("text.ko.gz", packed(t, []byte("hi"))[Gzip]), ErrNotModule},
		"gzip of gzip":   {write("twice.ko.gz", packed(t, gz)[Gzip]), ErrNotModule},
		"4 KiB of name":  {filepath.Join(dir, strings.Repeat("x", 4096)), syscall.ENAMETOOLONG},
		"name of NUL":    {"a\x00b.ko", syscall.EINVAL},
		"magic only":     {write("magic.ko", []byte(signatureMagic)), ErrNotModule},
		"xz header only": {write("short.ko.xz", []byte(xzMagic)), ErrNotModule},
	} {
		_, err := Inspect(c.path)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
			continue
		}
		if text := err.Error(); strings.Count(text, "\n") > 0 || len(text) > 500 {
			t.Errorf("%s: not one clear line: %q", name, text)
		}
	}
}

// TestNamesAreShared: a hostile file whose every symbol has the longest name must not
// take memory with the square of its size.
func TestNamesAreShared(t *testing.T) {
	module := koimage.Module{Info: []string{"name=x"}}
	for range 20000 {
		module.Imports = append(module.Imports, koimage.Symbol{Name: "s"})
	}
	module.Extended = true
	module.Imports[0].Name = strings.Repeat("n", 1<<20)
	data := module.Bytes()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Parse(data); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 16*uint64(len(data)) {
		t.Errorf("allocated %d bytes for a file of %d", used, len(data))
	}
}

func TestSignature(t *testing.T) {
	image := koimage.Hello().Bytes()
	sha512 := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	issuer := mustMarshal(t, pkix.Name{CommonName: "the lab's key"}.ToRDNSequence())
	serial, err := asn1.Marshal(big.NewInt(0x0fa2))
	if err != nil {
		t.Fatal(err)
	}
	named := mustMarshal(t, issuerAndSerial{asn1.RawValue{FullBytes: issuer}, asn1.RawValue{FullBytes: serial}})
	for name, c := range map[string]struct {
		signature []byte
		want      Signature
	}{
		"by serial number": {pkcs7(t, sha512, asn1.RawValue{FullBytes: named}), Signature{Kind: "PKCS#7", Signer: "the lab's key", KeyID: "0F:A2", Hash: "sha512", Issuer: issuer, Serial: []byte{0x0f, 0xa2}}},
		"by key": {
			pkcs7(t, sha512, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: []byte{1, 2, 0xff}}),
			Signature{Kind: "PKCS#7", KeyID: "01:02:FF", Hash: "sha512", KeyIdentifier: []byte{1, 2, 0xff}},
		},
	} {
		f, err := Parse(koimage.Sign(image, c.signature))
		if err != nil {
			t.Fatal(err)
		}
		c.want.Size, c.want.Value, c.want.Signers, c.want.Algorithm = len(c.signature), []byte("made by the key"), 1, "1.2.840.113549.1.1.1" // RSA
		if diff := cmp.Diff(&c.want, f.Signature); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func pkcs7(t *testing.T, digest asn1.ObjectIdentifier, key asn1.RawValue) []byte {
	set := asn1.RawValue{FullBytes: mustMarshal(t, []int{})}
	data := mustMarshal(t, struct {
		Version         int
		Digests, Inside asn1.RawValue
		Signers         []signerPart `asn1:"set"`
	}{1, set, set, []signerPart{{1, key, pkix.AlgorithmIdentifier{Algorithm: digest}, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}}, []byte("made by the key")}}})
	return mustMarshal(t, struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: data}})
}

type signerPart struct {
	Version           int
	Key               asn1.RawValue
	Digest, Algorithm pkix.AlgorithmIdentifier
	Value             []byte
}

func mustMarshal(t *testing.T, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestDamagedSignature: a module stays readable whatever hangs at its end.
func TestDamagedSignature(t *testing.T) {
	image := koimage.Hello().Bytes()
	huge := koimage.Sign(image, []byte("x"))
	binary.BigEndian.PutUint32(huge[len(huge)-len(signatureMagic)-4:], 0xffffffff)
	for name, data := range map[string][]byte{
		"not PKCS#7": koimage.Sign(image, []byte("junk")),
		"empty":      koimage.Sign(image, nil),
		"too long":   huge,
	} {
		f, err := Parse(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f.Signature == nil || f.Signature.Problem == "" {
			t.Errorf("%s: %+v", name, f.Signature)
		}
		checkHello(t, f)
	}
}
