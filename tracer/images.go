package tracer

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/kmodtrace/kmodtrace/internal/wire"
	"github.com/kmodtrace/kmodtrace/tracer/internal/attach"
)

// ErrNoImage says that the kernel's own bytes of a load are not there whole. What wraps it says why.
var ErrNoImage = errors.New("the kernel's own bytes of the module are not there")

// images takes the bytes that load_module is given out of the kernel, by a program and a ring of
// their own. Its methods may be called from any goroutine.
type images struct {
	programs *ebpf.Collection
	probe    link.Link
	ring     *ringbuf.Reader
	flushed  chan struct{} // an element for each Flush of ring
	ended    chan struct{} // closed when nobody reads ring any more

	asking sync.Mutex // held by who waits for flushed
	mu     sync.Mutex
	kept   imageStore
}

// openImages attaches the program, which finds the attempts where the hooks keep them.
func openImages(hooks *attach.Hooks) (_ *images, err error) {
	spec, err := loadCopier()
	if err != nil {
		return nil, fmt.Errorf("read programs: %w", err)
	}
	program := spec.Programs[copierProgCopyImage]
	// What its headers declare beside that is the hooks', and pointers carry types to the generator.
	spec.Variables = nil
	for name := range spec.Maps {
		if name != copierMapImages && name != copierMapAttempts {
			delete(spec.Maps, name)
		}
	}
	m := &images{flushed: make(chan struct{}, 1), ended: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.detach())
		}
	}()
	m.programs, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		MapReplacements: map[string]*ebpf.Map{copierMapAttempts: hooks.Map(bpfMapAttempts)},
	})
	if err != nil {
		return nil, fmt.Errorf("load %s: %s", program.Name, attach.OneLine(err))
	}
	if m.ring, err = ringbuf.NewReader(m.programs.Maps[copierMapImages]); err != nil {
		return nil, fmt.Errorf("open ring of images: %w", err)
	}
	if m.probe, err = link.Kprobe(program.AttachTo, m.programs.Programs[copierProgCopyImage], nil); err != nil {
		return nil, fmt.Errorf("attach to %s: %w", program.AttachTo, err)
	}
	go m.read()
	return m, nil
}

// read keeps what arrives until the ring is closed.
func (m *images) read() {
	defer close(m.ended)
	var record ringbuf.Record
	for {
		switch err := m.ring.ReadInto(&record); {
		case errors.Is(err, ringbuf.ErrFlushed):
			m.flushed <- struct{}{}
		case err != nil:
			return
		default:
			m.add(record.RawSample)
		}
	}
}

func (m *images) add(raw []byte) {
	part, err := wire.View[copierPart](raw)
	if err != nil {
		return // its image lacks it
	}
	bytes := raw[copierPartSize:]
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept.add(part, bytes[:min(len(bytes), int(part.Length))])
}

// image gives the bytes of an attempt's load, once all that the kernel side has handed over is read.
func (m *images) image(id ID) ([]byte, error) {
	if err := m.catchUp(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept.image(id)
}

func (m *images) catchUp() error {
	m.asking.Lock()
	defer m.asking.Unlock()
	if err := m.ring.Flush(); err != nil {
		return fmt.Errorf("%w: %w", ErrNoImage, err)
	}
	select {
	case <-m.flushed:
		return nil
	case <-m.ended:
		return fmt.Errorf("%w: their ring is closed", ErrNoImage)
	}
}

func (m *images) drop(id ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept.drop(id)
}

// detach takes everything out of the kernel. What is not there yet is left out.
func (m *images) detach() error {
	var errs []error
	if m.probe != nil {
		errs = append(errs, m.probe.Close())
	}
	if m.ring != nil {
		errs = append(errs, m.ring.Close())
	}
	if m.programs != nil {
		m.programs.Close()
	}
	return errors.Join(errs...)
}

// Image gives the bytes that the kernel made the module of in an attempt to load: its own copy,
// decompressed where the kernel does that, with the signature. The error is [ErrNoImage] where
// they are not there whole, with the reason. See [Options.Images].
func (t *Tracer) Image(id ID) ([]byte, error) {
	if t.images == nil {
		if t.imagesErr != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoImage, t.imagesErr)
		}
		return nil, fmt.Errorf("%w: the tracer was not asked for them", ErrNoImage)
	}
	return t.images.image(id)
}

// DropImage forgets what [Tracer.Image] gives of an attempt. Without it the bytes of an attempt are
// forgotten when there is no room for those of later ones.
func (t *Tracer) DropImage(id ID) {
	if t.images != nil {
		t.images.drop(id)
	}
}
