package kernel

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// maxCertificates bounds how many a kernel is thought to have built in.
const maxCertificates = 256

// certificates gives those that are built into the image as trusted: one after the
// other in DER, and then, aligned, the length of all. That length
// tells them from other certificates in the image, which are trusted for other things.
//
// They are searched for because nothing leads to them. The kernel's own tool,
// scripts/extract-sys-certs.pl, needs the symbol system_certificate_list, from the image or
// from System.map: a boot image has no symbols, and Debian's System.map only names the package that has the real one. The running
// kernel has freed the list after boot. Only the search is written here; crypto/x509 reads
// what is found.
func (v *vmlinux) certificates() ([]*x509.Certificate, error) {
	// A certificate of version 3: two sequences of two-byte lengths, and the version.
	tail := []byte{0xa0, 3, 2, 1, 2}
	tried := 0
	for at := 0; tried < 16*maxCertificates; tried++ {
		next := bytes.Index(v.data[at:], tail)
		if next < 0 {
			break
		}
		at += next + len(tail)
		start := at - len(tail) - 8
		if start < 0 || v.data[start] != 0x30 || v.data[start+1] != 0x82 {
			continue
		}
		if list := certificateList(v.data[start:]); list != nil {
			return list, nil
		}
	}
	return nil, unknown("boot image %s has no list of trusted certificates that can be found", v.path)
}

// certificateList reads certificates as long as there are some, and gives nothing where
// their length does not follow.
func certificateList(data []byte) []*x509.Certificate {
	var list []*x509.Certificate
	size := 0
	for len(list) < maxCertificates && size+4 < len(data) && data[size] == 0x30 && data[size+1] == 0x82 {
		n := 4 + int(binary.BigEndian.Uint16(data[size+2:]))
		if n > len(data)-size {
			return nil
		}
		certificate, err := x509.ParseCertificate(data[size : size+n])
		if err != nil {
			return nil
		}
		list = append(list, certificate)
		size += n
	}
	if followedBy(data[size:], uint64(size)) {
		return list
	}
	return nil
}

// followedBy tells whether a number follows, after no more zeroes than align it: the
// build aligns to 8 bytes on x86, and to 256 on arm64.
func followedBy(data []byte, number uint64) bool {
	for padding := 0; padding < 256 && padding+8 <= len(data); padding++ {
		if binary.LittleEndian.Uint64(data[padding:]) == number {
			return true
		}
		if data[padding] != 0 {
			return false
		}
	}
	return false
}

// trustedCertificate is the key that the kernel makes of a certificate.
func trustedCertificate(c *x509.Certificate) trustedKey {
	serial, err := asn1.Marshal(c.SerialNumber)
	var number, issuer asn1.RawValue
	if err == nil {
		_, err = asn1.Unmarshal(serial, &number)
	}
	if err == nil {
		_, err = asn1.Unmarshal(c.RawIssuer, &issuer)
	}
	id := hex.EncodeToString(c.SubjectKeyId)
	key := trustedKey{Key: Key{Description: c.Subject.CommonName + ": " + id, ID: id, Keyring: builtinKeyring}}
	if err == nil {
		key.ids = [][]byte{append(bytes.Clone(number.Bytes), issuer.Bytes...)}
		key.Serial = hex.EncodeToString(number.Bytes)
	}
	if len(c.SubjectKeyId) > 0 {
		key.ids = append(key.ids, c.SubjectKeyId)
	}
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &info); err == nil {
		key.public = info.Key.Bytes
	}
	key.kind = c.PublicKeyAlgorithm.String()
	switch public := c.PublicKey.(type) {
	case *rsa.PublicKey:
		key.kind = "rsa"
	case *ecdsa.PublicKey:
		key.kind = "ecdsa-nist-p" + strings.TrimPrefix(public.Curve.Params().Name, "P-")
	}
	return key
}
