package kernel

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// vmlinux makes an ELF file of memory: its sections are what the symbols name.
func (c *fakeCore) vmlinux(t testing.TB) []byte {
	t.Helper()
	c.put([]byte("Linux version 9.9 (me) #1\n\x00"))
	symbols := newKallsyms()
	for line := range strings.Lines(c.list) {
		symbols.add([]byte(strings.TrimSpace(line)))
	}
	le := binary.LittleEndian
	file := c.file()
	le.PutUint16(file[18:], 62)
	names := []byte{0}
	headers := make([]byte, 64)
	for section, label := range map[string]string{
		"__ksymtab": "ksymtab", "__ksymtab_gpl": "ksymtab_gpl", "__kcrctab": "kcrctab", "__kcrctab_gpl": "kcrctab_gpl", "__kflagstab": "kflagstab",
	} {
		s, ok := symbols.span("__start___"+label, "__stop___"+label)
		if !ok {
			continue
		}
		h := make([]byte, 64)
		le.PutUint32(h, uint32(len(names)))
		le.PutUint64(h[8:], 2)
		le.PutUint64(h[16:], s.address)
		le.PutUint64(h[32:], uint64(s.size))
		names = append(append(names, section...), 0)
		headers = append(headers, h...)
	}
	h := make([]byte, 64)
	le.PutUint64(h[24:], uint64(len(file)))
	le.PutUint64(h[32:], uint64(len(names)))
	headers = append(headers, h...)
	file = append(file, names...)
	le.PutUint64(file[40:], uint64(len(file)))
	le.PutUint16(file[58:], 64)
	le.PutUint16(file[60:], uint16(len(headers)/64))
	le.PutUint16(file[62:], uint16(len(headers)/64-1))
	return append(file, headers...)
}

// bzImage puts a packed kernel behind a setup header, with its size after it.
func bzImage(packed []byte, size int) []byte {
	le := binary.LittleEndian
	packed = le.AppendUint32(bytes.Clone(packed), uint32(size))
	image := make([]byte, 3*512)
	image[0x1f1] = 1
	copy(image[0x202:], "HdrS")
	le.PutUint16(image[0x206:], 0x20f)
	le.PutUint32(image[0x248:], 512)
	le.PutUint32(image[0x24c:], uint32(len(packed)))
	return append(append(image, packed...), "what follows"...)
}

// lz4Packed packs as the kernel's build does.
func lz4Packed(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	if err := w.Apply(lz4.LegacyOption(true)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestBootImage(t *testing.T) {
	plain := fakeKernel().vmlinux(t)
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, image := range map[string][]byte{
		"plain": plain,
		"gzip":  bzImage([]byte(gzipped(t, string(plain))), len(plain)),
		"zstd":  bzImage(encoder.EncodeAll(plain, nil), len(plain)),
		"lz4":   bzImage(lz4Packed(t, plain), len(plain)),
	} {
		k := running(files{"boot/vmlinuz-9.9": string(image)}).openRelease(t, "9.9")
		if s, err := k.Symbol("spaced"); err != nil || *s.GPL || s.Namespace != "SPACE" || *s.CRC != 0x12 || !strings.HasSuffix(s.Source, "vmlinuz-9.9") {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if s, err := k.Symbol("register_kprobe"); err != nil || !*s.GPL {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if got := k.Machine(); got != "x86-64" {
			t.Errorf("%s: machine %q", name, got)
		}
	}
}

// TestBootImageDamaged: an image that is not understood leaves things unknown.
func TestBootImageDamaged(t *testing.T) {
	plain := fakeKernel().vmlinux(t)
	far := bzImage(plain, len(plain))
	binary.LittleEndian.PutUint32(far[0x248:], 1<<31)
	old := bzImage(plain, len(plain))
	binary.LittleEndian.PutUint16(old[0x206:], 0x200)
	table := bytes.Clone(plain)
	binary.LittleEndian.PutUint64(table[40:], ^uint64(0))
	narrow := bytes.Clone(plain)
	narrow[4] = 1
	for name, image := range map[string][]byte{
		"empty":         nil,
		"junk":          []byte(strings.Repeat("junk", 1000)),
		"half":          plain[:len(plain)/2],
		"header":        plain[:64],
		"payload far":   far,
		"old protocol":  old,
		"table far":     table,
		"of 32 bits":    narrow,
		"xz":            bzImage([]byte("\xfd7zXZ\x00 and so on"), 1),
		"damaged gzip":  bzImage([]byte("\x1f\x8b and so on"), 1),
		"damaged zstd":  bzImage([]byte("\x28\xb5\x2f\xfd and so on"), 1),
		"damaged lz4":   bzImage([]byte("\x02\x21\x4c\x18\x05\x00\x00\x00\x1fa\xff\xff\xff\xff"), 1),
		"another build": bytes.ReplaceAll(plain, []byte("version 9.9"), []byte("version 9.8")),
	} {
		k := running(files{"boot/vmlinuz-9.9": string(image)}).openRelease(t, "9.9")
		if s, err := k.Symbol("spaced"); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestUnpackLZ4(t *testing.T) {
	block := func(text string) string {
		return string(binary.LittleEndian.AppendUint32(nil, uint32(len(text)))) + text
	}
	bomb := block("\x1fa\x01\x00" + strings.Repeat("\xff", 1<<16) + "\x00\x00")
	large := strings.Repeat("more than one block", 1<<20)
	for name, c := range map[string]struct {
		in   string
		want string
		ok   bool
	}{
		"literals":       {block("\x30abc"), "abc", true},
		"overlap":        {block("\x14a\x01\x00\x50zzzzz"), "aaaaaaaaazzzzz", true},
		"a long literal": {block("\xf0\x01" + strings.Repeat("x", 16)), strings.Repeat("x", 16), true},
		"blocks":         {string(lz4Packed(t, []byte(large))[len(lz4Magic):]), large, true},
		"too far":        {block("\x10a\x02\x00\x10z"), "", false},
		"distance zero":  {block("\x10a\x00\x00\x10z"), "", false},
		"cut distance":   {block("\x10a\x01"), "", false},
		"cut length":     {block("\xf0\xff\xff"), "", false},
		"cut literals":   {block("\x50abc"), "", false},
		"cut block":      {"\x05\x00\x00\x00\x30abc", "", false},
		"over 8 MiB":     {bomb, "", false},
	} {
		for size, end := range map[string]string{"": "", " and a size": string(binary.LittleEndian.AppendUint32(nil, uint32(len(c.want))))} {
			got, err := unpackVmlinux([]byte(string(lz4Magic) + c.in + end))
			if (err == nil) != c.ok || string(got) != c.want && c.ok {
				t.Errorf("%s%s: %.80q, %v", name, size, got, err)
			}
		}
	}
}

func FuzzBootImage(f *testing.F) {
	plain := fakeKernel().vmlinux(f)
	f.Add(plain)
	f.Add(bzImage(lz4Packed(f, plain), len(plain)))
	f.Add(bzImage([]byte(gzipped(f, string(plain))), len(plain)))
	f.Fuzz(func(t *testing.T, data []byte) {
		image, err := parseBootImage(data)
		if err != nil {
			return
		}
		image.vermagic("9.9")
		if found, err := image.exports(true); err != nil && !errors.Is(err, ErrUnknown) {
			t.Fatalf("%v, %v", found, err)
		}
		if list, err := image.certificates(); err == nil && len(list) == 0 {
			t.Fatal("a list of nothing")
		}
	})
}
