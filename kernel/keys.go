package kernel

import "encoding/hex"

// Key is one that a kernel trusts for modules.
type Key struct {
	Description string // as the kernel has it: the holder's name and ID
	ID          string // of the key, hexadecimal (the certificate's subject key identifier); may be empty
	Keyring     string // .builtin_trusted_keys, .secondary_trusted_keys, .machine
	// Serial is the certificate's serial number in hexadecimal; empty where it is not known.
	Serial string
}

// Keys gives the keys that the kernel trusts for modules. Of a kernel that is not
// running only those built into its image are known. It errs with [ErrUnknown].
func (k *Kernel) Keys() ([]Key, error) {
	trusted, err := k.trusted()
	if err != nil {
		return nil, k.fail("trusted keys", "", err)
	}
	keys := []Key{}
	for _, key := range trusted {
		if key.Keyring != platformKeyring {
			keys = append(keys, key.Key)
		}
	}
	return keys, nil
}

// trusted gives all that is known, those of the platform's keyring too.
func (k *Kernel) trusted() ([]trustedKey, error) {
	live, err := k.live()
	if err == nil {
		err = live.keysErr
	}
	if err == nil {
		return live.keys, nil
	}
	return nil, err
}

// named tells whether a signature's way of naming its key fits one of the key's own
// identifiers: the serial number and then the issuer (without its DER header), or the
// key identifier.
func (k *trustedKey) named(name []byte) bool {
	for _, id := range k.ids {
		if len(id) > 0 && string(id) == string(name) {
			return true
		}
	}
	return hex.EncodeToString(name) == k.ID
}
