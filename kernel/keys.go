package kernel

import (
	"bytes"
	"errors"
)

// Key is one that a kernel trusts for modules.
type Key struct {
	Description string `json:"description"`  // as the kernel has it: the holder's name and ID
	ID          string `json:"id,omitempty"` // of the key, hexadecimal (the certificate's subject key identifier); may be empty
	Keyring     string `json:"keyring"`      // .builtin_trusted_keys, .secondary_trusted_keys, .machine
	// Serial is the certificate's serial number in hexadecimal; empty where only the kernel's memory was read.
	Serial string `json:"serial,omitempty"`
}

// Keys gives the keys that the kernel trusts for modules. Where not all can be known,
// it gives those that are built into the image together with an error that is [ErrUnknown].
func (k *Kernel) Keys() ([]Key, error) {
	trusted, missing := k.trusted()
	keys := []Key{}
	for _, key := range trusted {
		if key.Keyring != platformKeyring && key.Keyring != revokedKeyring {
			keys = append(keys, key.Key)
		}
	}
	if missing != nil {
		return keys, k.fail("trusted keys", "", missing)
	}
	return keys, nil
}

// trusted gives the keys that are known, those of the platform's keyring and revoked ones too, and why
// there may be more.
func (k *Kernel) trusted() (keys []trustedKey, missing error) {
	live, err := k.live()
	if err == nil {
		err = live.keysErr
	}
	if err == nil {
		return live.keys, nil
	}
	why := reasons{err}
	image, err := k.image()
	if err == nil {
		err = image.certificatesErr
	}
	if err != nil {
		return nil, unknown("%w", append(why, err))
	}
	for _, c := range image.certificates {
		keys = append(keys, trustedCertificate(c))
	}
	if !k.running && !k.exists("sys/firmware/efi") {
		return keys, nil // nothing but the firmware brings it others before root does
	}
	return keys, unknown("%w", append(why, errors.New("keys that are not built into the image (the machine owner's) are not seen")))
}

// named tells whether a signature's way of naming its key fits one of the key's own
// identifiers: the serial number and then the issuer (without its DER header), or the
// key identifier.
func (k *trustedKey) named(name []byte) bool {
	for _, id := range k.ids {
		if len(id) > 0 && bytes.Equal(id, name) {
			return true
		}
	}
	return false
}
