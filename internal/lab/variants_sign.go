package lab

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"math/big"
)

// A signed module is the module, the signature, struct module_signature, the mark.
const (
	signatureMark     = "~Module signature appended~\n"
	signatureInfoSize = 12
	signatureKind     = 2 // where the info has the kind of signature
	signatureSize     = 8 // where it has the signature's size, big-endian
	signaturePKCS7    = 2 // the one kind that the kernel knows
)

// signByStranger signs a module with a key that is made for it and forgotten.
func signByStranger(module []byte) ([]byte, error) { return signByNobody(module, false) }

// signWithAttributes does so as openssl and others do when nobody tells them otherwise: the
// signature is of a list of attributes, in which the digest of the module is one.
func signWithAttributes(module []byte) ([]byte, error) { return signByNobody(module, true) }

func signByNobody(module []byte, attributes bool) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	name, err := asn1.Marshal(pkix.Name{CommonName: "A key of the specimens' own"}.ToRDNSequence())
	if err != nil {
		return nil, err
	}
	signature, err := signDetached(module, key, name, big.NewInt(0x5bec), attributes)
	if err != nil {
		return nil, err
	}
	return appendSignature(module, signature), nil
}

var (
	oidData       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidRSA        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidContent    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidDigest     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSHA256     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
)

// The parts of PKCS#7 (RFC 2315) that a module's signature has.
type (
	pkcs7 struct {
		Type    asn1.ObjectIdentifier
		Content pkcs7SignedData `asn1:"explicit,tag:0"`
	}
	pkcs7SignedData struct {
		Version int
		Digests []pkix.AlgorithmIdentifier `asn1:"set"`
		Content struct{ Type asn1.ObjectIdentifier }
		Signers []pkcs7Signer `asn1:"set"`
	}
	pkcs7Signer struct {
		Version    int
		Key        pkcs7Key
		Digest     pkix.AlgorithmIdentifier
		Attributes asn1.RawValue `asn1:"optional"`
		Algorithm  pkix.AlgorithmIdentifier
		Signature  []byte
	}
	pkcs7Attribute struct {
		Type   asn1.ObjectIdentifier
		Values []any `asn1:"set"`
	}
	pkcs7Key struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
)

// signDetached signs in the form that the kernel's build uses: the content stays
// outside, no certificate comes along, and no attributes are signed with it, unless asked for.
func signDetached(content []byte, key *rsa.PrivateKey, issuer []byte, serial *big.Int, attributes bool) ([]byte, error) {
	digest := sha256.Sum256(content)
	var signed asn1.RawValue
	if attributes {
		list, err := asn1.MarshalWithParams([]pkcs7Attribute{{oidContent, []any{oidData}}, {oidDigest, []any{digest[:]}}}, "set")
		if err != nil {
			return nil, err
		}
		digest = sha256.Sum256(list)
		signed.FullBytes = append([]byte{0xa0}, list[1:]...) // the tag that it has in its place
	}
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	sha := pkix.AlgorithmIdentifier{Algorithm: oidSHA256}
	data := pkcs7SignedData{Version: 1, Digests: []pkix.AlgorithmIdentifier{sha}, Signers: []pkcs7Signer{{
		Version:    1,
		Key:        pkcs7Key{asn1.RawValue{FullBytes: issuer}, serial},
		Digest:     sha,
		Attributes: signed,
		Algorithm:  pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue},
		Signature:  signature,
	}}}
	data.Content.Type = oidData
	return asn1.Marshal(pkcs7{oidSignedData, data})
}

// appendSignature puts a signature behind a module as the kernel's build does.
func appendSignature(module, signature []byte) []byte {
	info := make([]byte, signatureInfoSize)
	info[signatureKind] = signaturePKCS7
	binary.BigEndian.PutUint32(info[signatureSize:], uint32(len(signature)))
	return bytes.Join([][]byte{module, signature, info, []byte(signatureMark)}, nil)
}

// splitSigned takes a signed module apart. The parts share its memory.
func splitSigned(file []byte) (module, signature, info []byte, err error) {
	rest, ok := bytes.CutSuffix(file, []byte(signatureMark))
	if !ok || len(rest) < signatureInfoSize {
		return nil, nil, nil, errors.New("not signed")
	}
	rest, info = rest[:len(rest)-signatureInfoSize], rest[len(rest)-signatureInfoSize:]
	size := binary.BigEndian.Uint32(info[signatureSize:])
	if uint64(size) > uint64(len(rest)) {
		return nil, nil, nil, errors.New("its signature is cut short")
	}
	at := len(rest) - int(size)
	return rest[:at], rest[at:], info, nil
}

// cutSignature keeps the first part of the signature. The size agrees with what is
// left, so that it is the content of the signature that cannot be read.
func cutSignature(file []byte) ([]byte, error) {
	module, signature, _, err := splitSigned(file)
	if err != nil {
		return nil, err
	}
	return appendSignature(module, signature[:len(signature)*60/100]), nil
}

// lengthenSignature makes the signature claim to be longer than the file.
func lengthenSignature(file []byte) ([]byte, error) {
	_, _, info, err := splitSigned(file)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(info[signatureSize:], uint32(len(file)))
	return file, nil
}

// setSignatureKind makes it a signature of a kind that modules do not have.
func setSignatureKind(kind byte) func([]byte) ([]byte, error) {
	return func(file []byte) ([]byte, error) {
		_, _, info, err := splitSigned(file)
		if err != nil {
			return nil, err
		}
		info[signatureKind] = kind
		return file, nil
	}
}
