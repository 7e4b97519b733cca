package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Of linux/audit.h.
const (
	auditGetFeature        = 1019
	auditLoginUIDImmutable = 1 << 1
	auditFeaturesLength    = 16 // version, mask, features, lock
)

// LoginUIDImmutable asks the running kernel whether a login uid, once it is set, stays for
// good (auditctl --loginuid-immutable), also against root. Whatever the answer, a process
// that has none can set it. To ask takes CAP_AUDIT_CONTROL. The error wraps [ErrUnknown],
// and [os.ErrNotExist] where this kernel has no login uids.
func LoginUIDImmutable() (bool, error) {
	if _, err := os.Stat("/proc/self/loginuid"); errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("audit: this kernel has no login uids: %w", err)
	}
	features, err := auditFeatures()
	if err != nil {
		return false, unknown("audit: ask for its features: %w", err)
	}
	return features&auditLoginUIDImmutable != 0, nil
}

func auditFeatures() (uint32, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	// The kernel answers at once, by a thread of its own.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
		return 0, err
	}
	ask := make([]byte, unix.SizeofNlMsghdr)
	binary.NativeEndian.PutUint32(ask, unix.SizeofNlMsghdr)
	binary.NativeEndian.PutUint16(ask[4:], auditGetFeature)
	binary.NativeEndian.PutUint16(ask[6:], unix.NLM_F_REQUEST)
	if err := unix.Sendto(fd, ask, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	buffer := make([]byte, 4096)
	n, from, err := unix.Recvfrom(fd, buffer, 0)
	if err != nil {
		return 0, err
	}
	if kernel, ok := from.(*unix.SockaddrNetlink); !ok || kernel.Pid != 0 {
		return 0, errors.New("another process answered")
	}
	return parseAuditFeatures(buffer[:n])
}

// parseAuditFeatures reads one message: the features, or an error.
func parseAuditFeatures(message []byte) (uint32, error) {
	if len(message) < unix.SizeofNlMsghdr {
		return 0, fmt.Errorf("answer of %d bytes", len(message))
	}
	kind, body := binary.NativeEndian.Uint16(message[4:]), message[unix.SizeofNlMsghdr:]
	switch {
	case kind == unix.NLMSG_ERROR && len(body) >= 4:
		return 0, unix.Errno(-int32(binary.NativeEndian.Uint32(body)))
	case kind == auditGetFeature && len(body) >= auditFeaturesLength:
		return binary.NativeEndian.Uint32(body[8:]), nil
	}
	return 0, fmt.Errorf("answer of type %d and %d bytes", kind, len(message))
}
