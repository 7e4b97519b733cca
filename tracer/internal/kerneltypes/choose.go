package kerneltypes

import (
	"fmt"
	"slices"
)

// choose gives BTF with the types that have one of the wanted names, and what they hold by value.
func choose(raw []byte, wanted Names) ([]byte, error) {
	var roots []uint32
	ts, err := parse(raw, func(id uint32, name []byte) {
		if len(name) > 0 && wanted[string(essential(name))] {
			roots = append(roots, id)
		}
	})
	if err != nil {
		return nil, err
	}
	c := &choice{types: ts, new: map[uint32]uint32{0: 0}, names: map[uint32]uint32{0: 0}, texts: []byte{0}}
	for _, id := range roots {
		if err := c.take(id); err != nil {
			return nil, err
		}
	}
	return c.encode()
}

// choice is what is taken of types.
type choice struct {
	*types
	ids   []uint32          // which
	new   map[uint32]uint32 // their new numbers
	names map[uint32]uint32 // the new offset of each name
	texts []byte
}

// voidPointer is the new number of all pointers: what one leads to is looked up by its name where
// a program follows it.
const voidPointer = 1

// take takes a type, and what it holds by value.
func (c *choice) take(id uint32) error {
	waiting := []uint32{id}
	for len(waiting) > 0 {
		id := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		if _, taken := c.new[id]; taken {
			continue
		}
		if uint64(id) >= uint64(len(c.starts)) {
			return fmt.Errorf("type %d: %w", id, errUnknown)
		}
		t := c.data[c.starts[id]:]
		if kindOf(t) == kindPointer {
			c.new[id] = voidPointer
			continue
		}
		c.new[id] = 0
		c.ids = append(c.ids, id)
		err := eachReference(t, func(of []byte) { waiting = append(waiting, order.Uint32(of)) })
		if err != nil {
			return err
		}
	}
	return nil
}

// eachReference calls f with each place of a type that has the number of another one, which it
// holds by value.
func eachReference(t []byte, f func(of []byte)) error {
	switch kind := kindOf(t); kind {
	case kindArray:
		f(t[typeSize:])
		f(t[typeSize+4:])
	case kindStruct, kindUnion:
		for i := range int(lengthOf(t)) {
			f(t[typeSize+12*i+4:])
		}
	case kindTypedef, kindVolatile, kindConst, kindRestrict, kindTypeTag:
		f(t[8:])
	case kindInt, kindEnum, kindEnum64, kindFloat, kindForward, kindPrototype:
		// A typedef can be of a prototype, whose parameters nobody looks for.
	default:
		return fmt.Errorf("kind %d held by value: %w", kind, errUnknown)
	}
	return nil
}

// encode writes what is taken, in its old order.
func (c *choice) encode() ([]byte, error) {
	slices.Sort(c.ids)
	for i, id := range c.ids {
		c.new[id] = voidPointer + 1 + uint32(i)
	}
	data := make([]byte, typeSize)
	order.PutUint32(data[4:], kindPointer<<24)
	for _, id := range c.ids {
		old := c.data[c.starts[id]:]
		size, err := sizeOf(old)
		if err != nil {
			return nil, err
		}
		data = append(data, old[:size]...)
		t := data[len(data)-size:]
		if kindOf(t) == kindPrototype {
			data = data[:len(data)-size+typeSize]
			order.PutUint32(t[4:], kindPrototype<<24)
			order.PutUint32(t[8:], 0)
			continue
		}
		if err := eachReference(t, func(of []byte) { order.PutUint32(of, c.new[order.Uint32(of)]) }); err != nil {
			return nil, err
		}
		if err := c.rename(t); err != nil {
			return nil, err
		}
	}
	header := make([]byte, headerSize)
	order.PutUint16(header, 0xeb9f)
	header[2] = 1
	order.PutUint32(header[4:], headerSize)
	order.PutUint32(header[12:], uint32(len(data)))
	order.PutUint32(header[16:], uint32(len(data)))
	order.PutUint32(header[20:], uint32(len(c.texts)))
	return slices.Concat(header, data, c.texts), nil
}

// rename moves the names that a type has to the new strings.
func (c *choice) rename(t []byte) error {
	if err := c.renameAt(t); err != nil {
		return err
	}
	var step int
	switch kindOf(t) {
	case kindStruct, kindUnion, kindEnum64:
		step = 12
	case kindEnum:
		step = 8
	default:
		return nil
	}
	for i := range int(lengthOf(t)) {
		if err := c.renameAt(t[typeSize+step*i:]); err != nil {
			return err
		}
	}
	return nil
}

func (c *choice) renameAt(at []byte) error {
	old := order.Uint32(at)
	offset, known := c.names[old]
	if !known {
		name, err := c.name(old)
		if err != nil {
			return err
		}
		offset = uint32(len(c.texts))
		c.texts = append(append(c.texts, name...), 0)
		c.names[old] = offset
	}
	order.PutUint32(at, offset)
	return nil
}
