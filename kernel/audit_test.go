package kernel

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func auditMessage(kind uint16, words ...uint32) []byte {
	m := make([]byte, unix.SizeofNlMsghdr)
	binary.NativeEndian.PutUint16(m[4:], kind)
	for _, w := range words {
		m = binary.NativeEndian.AppendUint32(m, w)
	}
	return m
}

func TestParseAuditFeatures(t *testing.T) {
	for _, test := range []struct {
		name    string
		message []byte
		want    uint32
		err     error
	}{
		{name: "immutable", message: auditMessage(auditGetFeature, 1, 3, auditLoginUIDImmutable, 0), want: auditLoginUIDImmutable},
		{name: "not", message: auditMessage(auditGetFeature, 1, 3, 1, 0), want: 1},
		{name: "refused", message: auditMessage(unix.NLMSG_ERROR, ^uint32(0)), err: unix.EPERM},
		{name: "short", message: auditMessage(auditGetFeature, 1), err: errors.ErrUnsupported},
		{name: "empty", err: errors.ErrUnsupported},
	} {
		got, err := parseAuditFeatures(test.message)
		if got != test.want || (err != nil) != (test.err != nil) || test.err == unix.EPERM && !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: %d, %v", test.name, got, err)
		}
	}
}
