package kmod

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// Signature is what is appended to a signed module. This package reads it and does
// not verify it: only the kernel knows the keys that it trusts.
type Signature struct {
	Kind   string `json:"kind"`             // PKCS#7 on every kernel since 4.3
	Signer string `json:"signer,omitempty"` // common name of the key's issuer
	// KeyID is how the signature names its key, hexadecimal with colons: the serial
	// number of the certificate, or the key's identifier where the file has that.
	KeyID string `json:"key_id,omitempty"`
	Hash  string `json:"hash,omitempty"` // algorithm of the digest: sha256, sha512, …
	Size  int    `json:"size"`           // bytes of the whole signature
	// Value is the signature proper, the bytes that the key made.
	Value []byte `json:"-"`
	// Issuer is the name of the key's issuer in DER, and Serial the number's bytes;
	// both empty where the signature names the key by KeyIdentifier.
	Issuer        []byte `json:"-"`
	Serial        []byte `json:"-"`
	KeyIdentifier []byte `json:"-"`
	// Signers counts the signatures in it; all but the first are left out here.
	Signers int `json:"-"`
	// Attributes tells that Value is of a list of attributes, and not of the content.
	Attributes bool `json:"-"`
	// Algorithm is the object identifier of that by which the key signs.
	Algorithm string `json:"-"`
	// Problem tells what could not be read of it, or is empty.
	Problem string `json:"problem,omitempty"`
}

const (
	signatureMagic   = "~Module signature appended~\n"
	signatureInfoLen = 12 // struct module_signature
	signaturePKCS7   = 2
)

// CutSignature divides a decompressed module into what is signed and the signature,
// which is nil where there is none.
func CutSignature(image []byte) ([]byte, *Signature) { return cutSignature(image) }

// cutSignature takes the signature off the end of a module; nil where there is none.
func cutSignature(data []byte) ([]byte, *Signature) {
	size, signature, err := signatureOf(&contents{size: int64(len(data)), parts: bytes.NewReader(data)})
	if err != nil { // memory can be read
		return data, nil
	}
	return data[:size], signature
}

// maxSignature bounds what is read of a signature: those of the largest keys, with
// certificates that nobody needs, stay below it.
const maxSignature = 64 << 10

// signatureOf gives the size of a module without its signature, and that; nil where there
// is none. The layout, from the end: magic, struct module_signature, the signature.
func signatureOf(c *contents) (int64, *Signature, error) {
	const trailer = int64(signatureInfoLen + len(signatureMagic))
	end, err := c.read(max(c.size-trailer, 0), min(c.size, trailer))
	if err != nil {
		return 0, nil, err
	}
	info, ok := bytes.CutSuffix(end, []byte(signatureMagic))
	if !ok {
		return c.size, nil, nil
	}
	body := c.size - int64(len(end))
	if len(info) < signatureInfoLen {
		return c.size - int64(len(signatureMagic)), &Signature{Problem: "cut short"}, nil
	}
	size := int64(binary.BigEndian.Uint32(info[8:]))
	if size > body {
		return body, &Signature{Problem: fmt.Sprintf("it says %d bytes, the file has %d", size, body)}, nil
	}
	signature := &Signature{Kind: "PKCS#7", Size: int(size)}
	switch kind := info[2]; {
	case kind != signaturePKCS7:
		signature.Kind = fmt.Sprintf("type %d", kind)
	case size > maxSignature:
		signature.Problem = fmt.Sprintf("it has more than %d bytes", maxSignature)
	default:
		der, err := c.read(body-size, size)
		if err != nil {
			return 0, nil, err
		}
		if err := signature.parsePKCS7(der); err != nil {
			signature.Problem = err.Error()
		}
	}
	return body - size, signature, nil
}

// The parts of a PKCS#7 SignedData that a module's signature has: one signer, no
// certificate, no content.
type (
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,tag:0"`
	}
	signedData struct {
		Version      int
		Digests      asn1.RawValue
		Content      asn1.RawValue
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		Revocations  asn1.RawValue `asn1:"optional,tag:1"`
		Signers      []signerInfo  `asn1:"set"`
	}
	signerInfo struct {
		Version   int
		Key       asn1.RawValue
		Digest    pkix.AlgorithmIdentifier
		Signed    asn1.RawValue `asn1:"optional,tag:0"`
		Algorithm pkix.AlgorithmIdentifier
		Value     []byte
		Unsigned  asn1.RawValue `asn1:"optional,tag:1"`
	}
	issuerAndSerial struct {
		Issuer asn1.RawValue
		Serial asn1.RawValue
	}
)

func (s *Signature) parsePKCS7(der []byte) error {
	var outer contentInfo
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return err
	}
	var data signedData
	if _, err := asn1.Unmarshal(outer.Content.Bytes, &data); err != nil {
		return err
	}
	if len(data.Signers) == 0 {
		return fmt.Errorf("it names no signer")
	}
	signer := data.Signers[0]
	s.Hash = hashName(signer.Digest.Algorithm)
	s.Value = signer.Value
	s.Signers = len(data.Signers)
	s.Algorithm = signer.Algorithm.Algorithm.String()
	s.Attributes = len(signer.Signed.FullBytes) > 0
	return s.parseKey(signer.Key)
}

// maxKeyName bounds what a signature calls its key: real serial numbers have 20 bytes,
// and common names 64.
const maxKeyName = 256

var errKeyName = fmt.Errorf("its name of the key has more than %d bytes", maxKeyName)

// parseKey reads how the signer is named: by issuer and serial number (version 1), or
// by the identifier of its key (version 3).
func (s *Signature) parseKey(key asn1.RawValue) error {
	if key.Class == asn1.ClassContextSpecific && key.Tag == 0 {
		if len(key.Bytes) > maxKeyName {
			return errKeyName
		}
		s.KeyID = colons(key.Bytes)
		s.KeyIdentifier = key.Bytes
		return nil
	}
	var id issuerAndSerial
	if _, err := asn1.Unmarshal(key.FullBytes, &id); err != nil {
		return err
	}
	var names pkix.RDNSequence
	if _, err := asn1.Unmarshal(id.Issuer.FullBytes, &names); err != nil {
		return err
	}
	var issuer pkix.Name
	issuer.FillFromRDNSequence(&names)
	if len(issuer.CommonName) > maxKeyName || len(id.Serial.Bytes) > maxKeyName {
		return errKeyName
	}
	s.Signer = issuer.CommonName
	s.KeyID = colons(id.Serial.Bytes)
	s.Issuer, s.Serial = id.Issuer.FullBytes, id.Serial.Bytes
	return nil
}

// colons writes bytes as modinfo does: 0F:A2:…
func colons(b []byte) string {
	var text strings.Builder
	for i := range b {
		if i > 0 {
			text.WriteByte(':')
		}
		text.WriteString(strings.ToUpper(hex.EncodeToString(b[i : i+1])))
	}
	return text.String()
}

// hashName names the digests that a kernel can be configured to sign with.
func hashName(id asn1.ObjectIdentifier) string {
	switch id.String() {
	case "1.2.840.113549.2.5":
		return "md5"
	case "1.3.14.3.2.26":
		return "sha1"
	case "2.16.840.1.101.3.4.2.4":
		return "sha224"
	case "2.16.840.1.101.3.4.2.1":
		return "sha256"
	case "2.16.840.1.101.3.4.2.2":
		return "sha384"
	case "2.16.840.1.101.3.4.2.3":
		return "sha512"
	case "2.16.840.1.101.3.4.2.8":
		return "sha3-256"
	case "2.16.840.1.101.3.4.2.9":
		return "sha3-384"
	case "2.16.840.1.101.3.4.2.10":
		return "sha3-512"
	case "2.16.840.1.101.3.4.2.12":
		return "shake256"
	}
	return id.String()
}
