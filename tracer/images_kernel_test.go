package tracer_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// mostOfImage is how much of an image the kernel side hands over.
const mostOfImage = 4 << 20

// TestImages: the bytes that the kernel had are there whole, wherever they came from, or it is said that they are not. Nothing is
// loaded for that where nobody asks.
func TestImages(t *testing.T) {
	inLab(t)
	without := open(t, nil)
	if _, err := without.Image(1); !errors.Is(err, tracer.ErrNoImage) {
		t.Error(err)
	}
	if n := copiers(t); n != 0 {
		t.Errorf("%d programs copy images for nobody", n)
	}
	with := open(t, &tracer.Options{Images: true})
	if n := copiers(t); n != 1 {
		t.Errorf("%d programs copy images", n)
	}
	hello, err := os.ReadFile(specimen("hello"))
	if err != nil {
		t.Fatal(err)
	}
	junk := append([]byte("\x7fELF"), bytes.Repeat([]byte("junk"), 1000)...)
	fromMemory := func(image []byte) func() error { return func() error { return unix.InitModule(image, "") } }
	for _, c := range []struct {
		name string
		load func() error
		want []byte
		why  string // there is none
	}{
		{"init_module", fromMemory(hello), hello, ""},
		{"a file", func() error { return finit(specimen("hello"), "") }, hello, ""},
		{"a memfd that is closed at once", func() error { return fromMemfd(hello, 0) }, hello, ""},
		{"compressed", func() error { return compressed(t, specimen("hello")+".xz") }, hello, ""},
		{"one page", fromMemory(padTo(hello[:0], 4096)), padTo(nil, 4096), ""},
		{"refused", fromMemory(junk), junk, ""},
		{"one part", fromMemory(padTo(hello, 32<<10*((len(hello)>>15)+1))), padTo(hello, 32<<10*((len(hello)>>15)+1)), ""},
		{"one byte more", fromMemory(padTo(hello, 32<<10*((len(hello)>>15)+1)+1)), padTo(hello, 32<<10*((len(hello)>>15)+1)+1), ""},
		{"as much as goes", fromMemory(padTo(hello, mostOfImage)), padTo(hello, mostOfImage), ""},
		{"more than goes", fromMemory(padTo(hello, mostOfImage+1)), nil, fmt.Sprintf("of its %d bytes", mostOfImage+1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var failed error
			got := loadsOf(with.during(t, func() { failed = c.load() }))
			if errors.Is(failed, unix.EOPNOTSUPP) {
				t.Skip("this kernel does not decompress")
			}
			for _, a := range got {
				if a.Outcome == tracer.Live {
					sh(t, "/sbin/rmmod", "hello")
				}
				checkImage(t, with, &a, c.want, c.why)
			}
			if len(got) != 1 {
				t.Errorf("%d actions, %v", len(got), failed)
			}
		})
	}
	t.Run("many at once", func(t *testing.T) { testManyImages(t, with) })
	if loss, err := with.Loss(); err != nil || loss.Any() {
		t.Errorf("loss: %+v, %v", loss, err)
	}
	if err := with.Close(); err != nil {
		t.Error(err)
	}
	if _, err := with.Image(1); !errors.Is(err, tracer.ErrNoImage) {
		t.Error(err)
	}
	if n := copiers(t); n != 0 {
		t.Errorf("%d programs still copy images", n)
	}
}

// copiers counts the programs that copy images.
func copiers(t *testing.T) (n int) {
	t.Helper()
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if err != nil {
			return n
		}
		id = next
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // it is gone
		}
		info, err := p.Info()
		p.Close()
		if err != nil {
			t.Fatal(err)
		}
		if info.Name == "copy_image" {
			n++
		}
	}
}

func loadsOf(all []tracer.Action) []tracer.Action {
	return slices.DeleteFunc(all, func(a tracer.Action) bool { return a.Kind != tracer.Load })
}

func checkImage(t *testing.T, w *watch, a *tracer.Action, want []byte, why string) {
	t.Helper()
	got, err := w.Image(a.ID)
	if why != "" {
		if !errors.Is(err, tracer.ErrNoImage) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %d bytes, %v", brief(*a), len(got), err)
		}
		return
	}
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, %v, want %d", brief(*a), len(got), err, len(want))
	}
	w.DropImage(a.ID)
	if _, err := w.Image(a.ID); !errors.Is(err, tracer.ErrNoImage) {
		t.Error("it is there again")
	}
}

// testManyImages: of more than there is room for each is whole or not there.
func testManyImages(t *testing.T, w *watch) {
	const many, size = 64, 1 << 20
	images := make(map[string][]byte)
	for i := range many {
		name := fmt.Sprintf("nap%d", i)
		text, err := os.ReadFile(specimen(name))
		if err != nil {
			t.Fatal(err)
		}
		images[name] = padTo(text, size)
	}
	got := loadsOf(w.during(t, func() {
		var group sync.WaitGroup
		for _, image := range images {
			group.Go(func() {
				if err := unix.InitModule(image, "ms=100"); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}))
	whole := 0
	for _, a := range got {
		sh(t, "/sbin/rmmod", a.Module)
		image, err := w.Image(a.ID)
		switch {
		case err == nil && bytes.Equal(image, images[a.Module]):
			whole++
		case err == nil:
			t.Errorf("%s: %d other bytes", brief(a), len(image))
		case !errors.Is(err, tracer.ErrNoImage):
			t.Errorf("%s: %v", brief(a), err)
		}
		w.DropImage(a.ID)
	}
	t.Logf("%d of %d are whole", whole, len(got))
	if len(got) != many || whole == 0 {
		t.Errorf("%d loads, %d whole", len(got), whole)
	}
}

// padTo is an image of a size, whose end the kernel does not look at.
func padTo(image []byte, size int) []byte {
	return append(bytes.Clone(image), bytes.Repeat([]byte{'.'}, size-len(image))...)
}

func fromMemfd(image []byte, flags int) error {
	fd, err := unix.MemfdCreate("images", 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, image); err != nil {
		return err
	}
	return unix.FinitModule(fd, "", flags)
}

// compressed has the kernel decompress a file.
func compressed(t *testing.T, path string) error {
	const compressedFile = 4 // MODULE_INIT_COMPRESSED_FILE, from 5.17
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err = fromMemfd(text, compressedFile); errors.Is(err, unix.EINVAL) {
		return unix.EOPNOTSUPP
	}
	return err
}
