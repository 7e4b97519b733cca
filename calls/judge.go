package calls

import (
	"golang.org/x/sys/unix"
)

// Judgement is what a result says of its call.
type Judgement uint8

// The judgements. Possible is an error by its value, of a function of which it is not known what it returns: a
// function that returns nothing leaves any value behind. Null is a null pointer, which is an error of some
// functions and a good answer of others.
const (
	Fine Judgement = iota
	Failed
	Possible
	Null
)

// maxErrno is the kernel's MAX_ERRNO.
const maxErrno = 4095

// judge reads a result as a function of that type returns it.
func judge(t Type, value uint64) (Judgement, unix.Errno) {
	narrow, wide := -int64(int32(uint32(value))), -int64(value)
	isError := func(n int64) bool { return 0 < n && n <= maxErrno }
	switch t {
	case Int:
		if isError(narrow) {
			return Failed, unix.Errno(narrow)
		}
	case Long, Pointer:
		if isError(wide) {
			return Failed, unix.Errno(wide)
		}
		if t == Pointer && value == 0 {
			return Null, 0
		}
	case Unknown:
		if isError(wide) || value>>32 == 0 && isError(narrow) {
			return Possible, unix.Errno(narrow)
		}
	}
	return Fine, 0
}

// Int gives the result of a function that returns an int.
func (c *Call) Int() int32 { return int32(uint32(c.value)) }
