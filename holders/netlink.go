package holders

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"

	"golang.org/x/sys/unix"
)

// What the kernel lists by netlink. It is asked by hand because few messages are needed, and the
// package that would be taken for it asks for families of which one may not be loaded: to ask
// would load it.

// nlaTypeMask is NLA_TYPE_MASK: the upper two bits are flags.
const nlaTypeMask = 1<<14 - 1

// maxAnswer bounds what is read of one list, in bytes.
const maxAnswer = 256 << 20

// errMoreListed: the kernel lists more than is read.
var errMoreListed = errors.New("the kernel lists more than is read")

// dump asks the kernel for a list, in the network namespace of the calling thread. It yields the
// messages of the answer, without their headers.
func dump(family int, kind uint16, request []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
		if err != nil {
			yield(nil, os.NewSyscallError("socket", err))
			return
		}
		defer unix.Close(fd)
		// The kernel answers at once, unless something is wrong with it.
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
			yield(nil, os.NewSyscallError("setsockopt", err))
			return
		}
		message := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(request)))
		message = binary.NativeEndian.AppendUint16(message, kind)
		message = binary.NativeEndian.AppendUint16(message, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
		message = append(message, make([]byte, 8)...)
		if err := unix.Sendto(fd, append(message, request...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			yield(nil, os.NewSyscallError("sendto", err))
			return
		}
		readDump(fd, yield)
	}
}

func readDump(fd int, yield func([]byte, error) bool) {
	buffer := make([]byte, 256<<10)
	for read := 0; read < maxAnswer; {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			yield(nil, os.NewSyscallError("recvfrom", err))
			return
		}
		read += n
		for kind, payload := range netlinkMessages(buffer[:n]) {
			switch kind {
			case unix.NLMSG_DONE:
				return
			case unix.NLMSG_ERROR:
				if len(payload) < 4 {
					yield(nil, unix.EBADMSG)
				} else if errno := -int32(binary.NativeEndian.Uint32(payload)); errno != 0 {
					yield(nil, unix.Errno(errno))
				}
				return
			default:
				if !yield(payload, nil) {
					return
				}
			}
		}
	}
	yield(nil, fmt.Errorf("%w: %d MiB", errMoreListed, maxAnswer>>20))
}

// netlinkMessages takes the messages of one datagram apart. What is cut off is left out.
func netlinkMessages(data []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(data) >= unix.NLMSG_HDRLEN {
			size := int(binary.NativeEndian.Uint32(data))
			if size < unix.NLMSG_HDRLEN || size > len(data) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(data[4:]), data[unix.NLMSG_HDRLEN:size]) {
				return
			}
			data = data[min(len(data), (size+3)&^3):]
		}
	}
}

// attributes takes attributes apart, by their numbers without flags.
func attributes(data []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(data) >= unix.NLA_HDRLEN {
			size := int(binary.NativeEndian.Uint16(data))
			if size < unix.NLA_HDRLEN || size > len(data) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(data[2:])&nlaTypeMask, data[unix.NLA_HDRLEN:size]) {
				return
			}
			data = data[min(len(data), (size+3)&^3):]
		}
	}
}

// attribute gives one of them; nil where there is none.
func attribute(data []byte, number uint16) []byte {
	for n, value := range attributes(data) {
		if n == number {
			return value
		}
	}
	return nil
}
