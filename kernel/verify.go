package kernel

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha1" // of kernels that were built to sign with it
	_ "crypto/sha256"
	_ "crypto/sha3"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// Verify checks the signature of a module's decompressed image as the kernel would: nil
// when a trusted key made it. It errs with [ErrUnsigned], [ErrSignatureDamaged], [ErrSignatureUnsupported], [ErrSignatureForm], [ErrNoKey],
// [ErrSignature], and [ErrUnknown] where the keys cannot be known here or the algorithm is not
// known to this package. Hashes of single files that the kernel has on its list of revoked ones are not looked at.
func (k *Kernel) Verify(image []byte) error {
	if err := k.verify(image); err != nil {
		return k.fail("signature", "", err)
	}
	return nil
}

// mlDSA begins the object identifiers of ML-DSA, whose signatures some kernels from 7.0 on take with
// signed attributes too.
const mlDSA = "2.16.840.1.101.3.4.3."

func (k *Kernel) verify(image []byte) error {
	content, signature := kmod.CutSignature(image)
	switch {
	case signature == nil:
		return ErrUnsigned
	case signature.Problem == "" && signature.Kind != "PKCS#7":
		return fmt.Errorf("%w: %s", ErrSignatureUnsupported, signature.Kind)
	case signature.Problem != "":
		return fmt.Errorf("%w: %s %s", ErrSignatureDamaged, signature.Kind, signature.Problem)
	case signature.Attributes && !strings.HasPrefix(signature.Algorithm, mlDSA):
		return ErrSignatureForm
	case signature.Attributes || signature.Signers != 1:
		return unknown("the signature has attributes or several signers")
	}
	keys, missing := k.trusted()
	name, err := signerName(signature)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if !key.named(name) {
			continue
		}
		switch key.Keyring {
		case revokedKeyring:
			return fmt.Errorf("%w: %s is revoked", ErrNoKey, shorten(key.Description))
		case platformKeyring:
			return unknown("made by a key of the firmware (%s), which kernels of some distributions trust for modules", shorten(key.Description))
		}
		return key.verify(content, signature)
	}
	if missing != nil {
		return missing
	}
	return fmt.Errorf("%w: %s %s", ErrNoKey, signature.Signer, signature.KeyID)
}

// signerName gives how the kernel names the signature's key.
func signerName(s *kmod.Signature) ([]byte, error) {
	if len(s.KeyIdentifier) > 0 {
		return s.KeyIdentifier, nil
	}
	var issuer asn1.RawValue
	if _, err := asn1.Unmarshal(s.Issuer, &issuer); err != nil || len(s.Serial) == 0 {
		return nil, fmt.Errorf("%w: it does not name its key", ErrSignatureDamaged)
	}
	return append(append([]byte(nil), s.Serial...), issuer.Bytes...), nil
}

// verify checks a signature that names this key.
func (k *trustedKey) verify(content []byte, s *kmod.Signature) error {
	hash, ok := hashes[s.Hash]
	if !ok || !hash.Available() {
		return unknown("digest %s", shorten(s.Hash))
	}
	h := hash.New()
	h.Write(content)
	digest := h.Sum(nil)
	valid := false
	switch {
	case k.kind == "rsa":
		public, err := x509.ParsePKCS1PublicKey(k.public)
		if err != nil {
			return unknown("the key %s: %w", shorten(k.Description), err)
		}
		valid = rsa.VerifyPKCS1v15(public, hash, digest, s.Value) == nil
	case strings.HasPrefix(k.kind, "ecdsa-"):
		public, err := k.ecdsa()
		if err != nil {
			return unknown("the key %s: %w", shorten(k.Description), err)
		}
		valid = ecdsa.VerifyASN1(public, digest, s.Value)
	default:
		return unknown("signatures of kind %s", shorten(k.kind))
	}
	if !valid {
		return fmt.Errorf("%w (key %s)", ErrSignature, shorten(k.Description))
	}
	return nil
}

var hashes = map[string]crypto.Hash{
	"sha1": crypto.SHA1, "sha224": crypto.SHA224, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512,
	"sha3-256": crypto.SHA3_256, "sha3-384": crypto.SHA3_384, "sha3-512": crypto.SHA3_512,
}

func (k *trustedKey) ecdsa() (*ecdsa.PublicKey, error) {
	switch k.kind {
	case "ecdsa-nist-p256":
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.public)
	case "ecdsa-nist-p384":
		return ecdsa.ParseUncompressedPublicKey(elliptic.P384(), k.public)
	case "ecdsa-nist-p521":
		return ecdsa.ParseUncompressedPublicKey(elliptic.P521(), k.public)
	}
	return nil, errors.New("curve " + shorten(k.kind))
}
