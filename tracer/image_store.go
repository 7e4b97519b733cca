package tracer

import (
	"container/list"
	"fmt"
	"unsafe"
)

// Bounds of what is kept of images. An image is at most as large as the kernel side hands over
// (MOST_PARTS of PART_LEN in bpf/copier.bpf.c).
const (
	maxImages     = 1024
	maxImageBytes = 16 << 20 // of all together
	maxImageSize  = 4 << 20
)

const copierPartSize = unsafe.Sizeof(copierPart{})

// imageStore puts images together. They are forgotten by their age: who wants one asks soon after
// the load. The zero value is empty.
type imageStore struct {
	byID  map[ID]*list.Element // of *keptImage
	order list.List            // the oldest first
	bytes int
}

// keptImage is an image, of which all bytes have arrived when there are size of them.
type keptImage struct {
	id    ID
	size  uint64
	bytes []byte
	why   string // it will never be whole, and bytes is nil
}

// add takes a part. Those of an image arrive in order, unless some are missing.
func (s *imageStore) add(p *copierPart, bytes []byte) {
	h := s.entry(ID(p.Attempt), p.Size)
	switch {
	case h.why != "":
	case p.State == uint32(copierPartStatePART_TOO_LARGE) || p.Size > maxImageSize:
		s.giveUp(h, fmt.Sprintf("of its %d bytes the kernel side hands over %d at most", p.Size, maxImageSize))
	case p.State == uint32(copierPartStatePART_NO_ROOM):
		s.giveUp(h, "there was no room for them beside those of other loads")
	case p.State != uint32(copierPartStatePART_BYTES):
		s.giveUp(h, "the kernel did not let its memory be read")
	case p.Size != h.size || uint64(p.Offset) != uint64(len(h.bytes)) || uint64(len(bytes)) > h.size-uint64(len(h.bytes)) || uint32(len(bytes)) != p.Length:
		s.giveUp(h, "some of them were lost")
	default:
		if h.bytes == nil {
			s.makeRoom(h)
			h.bytes = make([]byte, 0, h.size)
			s.bytes += int(h.size)
		}
		h.bytes = append(h.bytes, bytes...)
	}
}

func (s *imageStore) entry(id ID, size uint64) *keptImage {
	if e := s.byID[id]; e != nil {
		return e.Value.(*keptImage)
	}
	if s.byID == nil {
		s.byID = make(map[ID]*list.Element)
	}
	for len(s.byID) >= maxImages {
		s.drop(s.order.Front().Value.(*keptImage).id)
	}
	h := &keptImage{id: id, size: size}
	s.byID[id] = s.order.PushBack(h)
	return h
}

// makeRoom gives up the oldest ones for another.
func (s *imageStore) makeRoom(of *keptImage) {
	for e := s.order.Front(); e != nil && s.bytes+int(of.size) > maxImageBytes; e = e.Next() {
		if h := e.Value.(*keptImage); h != of && h.bytes != nil {
			s.giveUp(h, "they gave way to those of later loads")
		}
	}
}

func (s *imageStore) giveUp(h *keptImage, why string) {
	if h.bytes != nil {
		s.bytes -= int(h.size)
	}
	h.bytes, h.why = nil, why
}

// image gives what is whole. Nobody writes to it any more.
func (s *imageStore) image(id ID) ([]byte, error) {
	e := s.byID[id]
	if e == nil {
		return nil, fmt.Errorf("%w: none of them arrived", ErrNoImage)
	}
	switch h := e.Value.(*keptImage); {
	case h.why != "":
		return nil, fmt.Errorf("%w: %s", ErrNoImage, h.why)
	case uint64(len(h.bytes)) != h.size:
		return nil, fmt.Errorf("%w: %d of %d arrived", ErrNoImage, len(h.bytes), h.size)
	default:
		return h.bytes, nil
	}
}

func (s *imageStore) drop(id ID) {
	if e := s.byID[id]; e != nil {
		s.giveUp(e.Value.(*keptImage), "")
		s.order.Remove(e)
		delete(s.byID, id)
	}
}
