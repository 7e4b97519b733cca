//go:build !race

package kmod

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/kmodtrace/kmodtrace/internal/koimage"
)

// inspectVariable names a file for TestPeak's child to inspect.
const inspectVariable = "KMODTRACE_TEST_INSPECT"

// TestPeak: what Inspect has in memory at once stays in its bounds, whatever the file is.
// A process of its own does it: the kernel knows the most that it ever had.
func TestPeak(t *testing.T) {
	if path := os.Getenv(inspectVariable); path != "" {
		_, err := Inspect(path)
		fmt.Printf("peak %d error %v\n", peakKiB(t), err)
		return
	}
	dir := t.TempDir()
	idle, _ := peakOf(t, filepath.Join(dir, "none.ko"))
	for name, data := range hugeFiles(t) {
		path := filepath.Join(dir, "file.ko")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		peak, err := peakOf(t, path)
		t.Logf("%-24s %4d MiB to begin with, %4d MiB at most, %s", name, idle>>10, peak>>10, err)
		if peak-idle > 64<<10 {
			t.Errorf("%s: %d MiB more than to begin with", name, (peak-idle)>>10)
		}
	}
}

// peakOf has a child inspect a file, and gives the most memory that it had, in KiB, and its error.
func peakOf(t *testing.T, path string) (int, string) {
	t.Helper()
	child := exec.Command("/proc/self/exe", "-test.run=^TestPeak$")
	child.Env = append(os.Environ(), inspectVariable+"="+path)
	out, err := child.Output()
	_, text, ok := strings.Cut(string(out), "peak ")
	peak, said, _ := strings.Cut(text, " error ")
	n, numberErr := strconv.Atoi(peak)
	if err != nil || !ok || numberErr != nil {
		t.Fatalf("%s: %v\n%s", path, err, out)
	}
	said, _, _ = strings.Cut(said, "\n")
	return n, said
}

// peakKiB is the most memory that this process ever had.
func peakKiB(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// hugeFiles are files of 16 MB that become 16 GB, or are made of what takes memory.
func hugeFiles(t *testing.T) map[string][]byte {
	const size = 16 << 20
	files := make(map[string][]byte)
	for compression, data := range packed(t, make([]byte, 16<<20)) {
		switch compression {
		case Xz:
			block := data[xzHeaderLen : len(data)-12-len(xzIndex(data))]
			files["xz bomb"] = append(bytes.Clone(data[:xzHeaderLen]), bytes.Repeat(block, size/len(block))...)
		case Gzip, Zstd:
			files[compression.String()+" bomb"] = bytes.Repeat(data, size/len(data))
		}
	}
	// Windows as large as are taken, with what cannot be compressed in them.
	noise := make([]byte, maxWindow+chunkSize)
	rand.NewChaCha8([32]byte{}).Read(noise)
	files["zstd, largest window"] = zstdOf(t, noise, maxWindow)
	files["xz, largest window"] = xzStored(noise, dictionary16MiB)
	for name, module := range greedyModules() {
		image := module.Bytes()
		files[name] = image
		files[name+", zstd"] = zstdOf(t, image, 1<<20)
	}
	return files
}

// xzIndex is what stands between the blocks and the footer.
func xzIndex(data []byte) []byte {
	size := 4 * (1 + int(binary.LittleEndian.Uint32(data[len(data)-8:])))
	return data[len(data)-12-size : len(data)-12]
}

// greedyModules say as much as they can in few bytes.
func greedyModules() map[string]koimage.Module {
	lines := koimage.Module{Info: []string{"name=x", strings.Repeat("=\x00", 7<<20)}}
	padded := koimage.Module{Info: []string{"name=x", strings.Repeat("x", 15<<20)}}
	huge := koimage.Module{Info: []string{"name=x", strings.Repeat("x", 100<<20)}}
	symbols := koimage.Module{Info: []string{"name=x"}}
	for range 150_000 {
		symbols.Imports = append(symbols.Imports, koimage.Symbol{Name: "s"})
	}
	return map[string]koimage.Module{"7 million empty fields": lines, "a long field": padded, "a field of 100 MiB": huge, "150,000 imports": symbols}
}

// TestLargeModule: a module of more than is kept says the same in every compression, and
// is the same when it is read as a whole.
func TestLargeModule(t *testing.T) {
	module := koimage.Hello()
	code := make([]byte, maxKept+3*keptTail)
	rand.NewChaCha8([32]byte{1}).Read(code[:1<<20])
	for name, m := range map[string]koimage.Module{
		"code first": func() koimage.Module { m := module; m.Code = code; return m }(),
		"code last":  func() koimage.Module { m := module; m.Tail = code; return m }(),
	} {
		image := koimage.Sign(m.Bytes(), []byte{0x30, 3, 6, 1, 1})
		for compression, data := range packed(t, image) {
			f, err := Parse(data)
			if err != nil {
				t.Errorf("%s, %v: %v", name, compression, err)
				continue
			}
			checkHello(t, f)
			if f.Size != len(image) || f.Signature == nil || f.Signature.Size != 5 {
				t.Errorf("%s, %v: %d bytes, signature %+v", name, compression, f.Size, f.Signature)
			}
			if s, err := ReadSignature(bytes.NewReader(data), int64(len(data))); err != nil || !cmp.Equal(s, f.Signature) {
				t.Errorf("%s, %v: signature %+v, %v", name, compression, s, err)
			}
			if whole, err := unpacked(data); err != nil || !bytes.Equal(whole, image) {
				t.Errorf("%s, %v: %d bytes of %d, %v", name, compression, len(whole), len(image), err)
			}
		}
	}
}

// TestWindow: a window that is too large is refused before it is allocated.
func TestWindow(t *testing.T) {
	noise := make([]byte, maxWindow+chunkSize)
	rand.NewChaCha8([32]byte{}).Read(noise)
	for name, data := range map[string][]byte{"zstd": zstdOf(t, noise, 2*maxWindow), "xz": xzStored(noise, dictionary16MiB+2)} {
		var err error
		if used := allocated(func() { _, err = Parse(data) }); !errors.Is(err, ErrTooBig) || used > 4<<20 {
			t.Errorf("%s: %d bytes allocated, %v", name, used, err)
		}
	}
	if got, err := unpacked(xzStored(noise, dictionary16MiB)); err != nil || !bytes.Equal(got, noise) {
		t.Errorf("the largest window that is taken: %d bytes of %d, %v", len(got), len(noise), err)
	}
}

func zstdOf(t *testing.T, data []byte, window int) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil, zstd.WithWindowSize(window))
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}

// dictionary16MiB is how a block's header has that size; the same and 2 is twice that.
const dictionary16MiB = 24

// xzStored is an xz file, without its index, of data as it is.
func xzStored(data []byte, dictionary byte) []byte {
	withSum := func(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b)) }
	flags := []byte{0, 0} // no checksum
	file := append([]byte(xzMagic), withSum(flags)...)
	file = append(file, withSum([]byte{2, 0, xzLZMA2, 1, dictionary, 0, 0, 0})...)
	begun := len(file)
	for chunk := range slices.Chunk(data, chunkSize) {
		control := byte(2)
		if len(file) == begun {
			control = 1 // with a new dictionary
		}
		file = binary.BigEndian.AppendUint16(append(file, control), uint16(len(chunk)-1))
		file = append(file, chunk...)
	}
	file = append(file, 0)
	for (len(file)-begun)%4 != 0 {
		file = append(file, 0)
	}
	return append(file, 0) // the index follows
}
