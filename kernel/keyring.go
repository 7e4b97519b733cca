package kernel

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// trustedKey is a key of one of the kernel's keyrings, with what verifying needs.
type trustedKey struct {
	Key
	ids    [][]byte // how signatures name it: serial number and issuer, or key identifier
	public []byte   // as its certificate has it: RSA's two numbers in DER, or a point of a curve
	kind   string   // the kernel's word: rsa, ecdsa-nist-p384, …
}

// The keyrings whose keys count for modules. The kernel starts at the secondary one where it
// has that, which links to the others; a keyring without a name of its own is one that
// root linked in.
var trustedKeyrings = [...]struct{ symbol, name string }{
	{"blacklist_keyring", revokedKeyring}, // first: a key that is here counts nowhere
	{"builtin_trusted_keys", builtinKeyring},
	{"secondary_trusted_keys", ".secondary_trusted_keys"},
	{"machine_trusted_keys", ".machine"},
	{"platform_trusted_keys", platformKeyring},
}

// builtinKeyring has the keys of the certificates that are built in.
const builtinKeyring = ".builtin_trusted_keys"

// platformKeyring has the firmware's keys. The kernel proper does not trust them for
// modules, kernels of some distributions do.
const platformKeyring = ".platform"

// revokedKeyring has keys and hashes that are refused.
const revokedKeyring = ".blacklist"

const (
	maxKeys       = 4096
	maxKeyrings   = 64
	maxPublicKey  = 64 << 10
	maxKeyID      = 4096
	maxKeyText    = 4096
	fanOut        = 16 // ASSOC_ARRAY_FAN_OUT
	maxArrayNodes = 1 << 16
)

// keyReader reads keys in memory: struct key, and the assoc_array that a keyring is.
type keyReader struct {
	*memory
	key, array, node, shortcut, public, id map[string]uint64

	keys  []trustedKey
	seen  map[uint64]bool
	nodes int
}

// readKeys reads the trusted keyrings. Keys of the platform's and revoked ones are among
// them, marked by their keyring.
func readKeys(m *memory, symbols *kallsyms, types *layout) ([]trustedKey, error) {
	r := &keyReader{memory: m, seen: make(map[uint64]bool)}
	if err := r.readTypes(types); err != nil {
		return nil, unknown("%w", err)
	}
	if symbols.addresses["builtin_trusted_keys"] == 0 {
		return nil, unknown("the kernel lists no address of its keyrings")
	}
	for _, keyring := range trustedKeyrings {
		address := symbols.addresses[keyring.symbol]
		if address == 0 {
			continue
		}
		key, err := m.pointer(address)
		if err == nil && key != 0 {
			err = r.keyring(key, keyring.name, 0)
		}
		if err != nil {
			return nil, unknown("keyring %s: %w", keyring.name, err)
		}
	}
	return r.keys, nil
}

func (r *keyReader) readTypes(types *layout) error {
	for _, part := range []struct {
		into      *map[string]uint64
		structure string
		members   []string
	}{
		{&r.key, "key", []string{"type", "description", "keys", "payload"}},
		{&r.array, "assoc_array", []string{"root"}},
		{&r.node, "assoc_array_node", []string{"slots"}},
		{&r.shortcut, "assoc_array_shortcut", []string{"next_node"}},
		{&r.public, "public_key", []string{"key", "keylen", "pkey_algo"}},
		{&r.id, "asymmetric_key_id", []string{"len", "data"}},
	} {
		found, err := types.offsets(part.structure, part.members...)
		if err != nil {
			return err
		}
		*part.into = found
	}
	return nil
}

// keyring adds the keys of one keyring and of those linked into it.
func (r *keyReader) keyring(key uint64, name string, depth int) error {
	if r.seen[key] {
		return nil
	}
	if len(r.seen) > maxKeys || depth > maxKeyrings {
		return fmt.Errorf("%w: keyrings without end", errMemory)
	}
	r.seen[key] = true
	root, err := r.pointer(key + r.key["keys"] + r.array["root"])
	if err != nil {
		return err
	}
	return r.array16(root, func(key uint64) error { return r.member(key, name, depth) }, 0)
}

// array16 walks an assoc_array. The two lowest bits of a pointer tell what it points to: bit 0
// a node or (with bit 1) a shortcut, without it a key, where bit 1 is the keyring's own.
func (r *keyReader) array16(pointer uint64, leaf func(uint64) error, depth int) error {
	if r.nodes++; r.nodes > maxArrayNodes || depth > maxKeyrings {
		return fmt.Errorf("%w: a keyring without end", errMemory)
	}
	address := pointer &^ 3
	switch {
	case address == 0:
		return nil
	case pointer&1 == 0:
		return leaf(address)
	case pointer&2 != 0:
		next, err := r.pointer(address + r.shortcut["next_node"])
		if err != nil {
			return err
		}
		return r.array16(next, leaf, depth+1)
	}
	for i := range fanOut {
		next, err := r.pointer(address + r.node["slots"] + uint64(i*r.pointerSize()))
		if err != nil {
			return err
		}
		if err := r.array16(next, leaf, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// member takes a key of a keyring, which may be a keyring.
func (r *keyReader) member(key uint64, keyring string, depth int) error {
	kind, err := r.pointer(key + r.key["type"])
	if err != nil {
		return err
	}
	word, err := r.pointedText(kind) // key_type's first member is its name
	if err != nil {
		return err
	}
	description, err := r.pointedText(key + r.key["description"])
	if err != nil {
		return err
	}
	switch {
	case word == "keyring":
		return r.keyring(key, description, depth+1)
	case word != "asymmetric" || r.seen[key]:
		return nil
	}
	r.seen[key] = true
	if len(r.keys) == maxKeys {
		return fmt.Errorf("%w: more than %d keys", errMemory, maxKeys)
	}
	found := trustedKey{Key: Key{Description: description, ID: idOfDescription(description), Keyring: keyring}}
	if err := r.payload(key+r.key["payload"], &found); err != nil {
		return fmt.Errorf("key %s: %w", shorten(description), err)
	}
	r.keys = append(r.keys, found)
	return nil
}

// payload reads an asymmetric key's: the public key is the first pointer, its
// identifiers the third.
func (r *keyReader) payload(address uint64, into *trustedKey) error {
	public, err := r.pointer(address)
	if err != nil || public == 0 {
		return err
	}
	ids, err := r.pointer(address + 2*uint64(r.pointerSize()))
	if err != nil {
		return err
	}
	for i := 0; ids != 0 && i < 2; i++ { // a third, of newer kernels, has the name of the holder
		id, err := r.pointer(ids + uint64(i*r.pointerSize()))
		if err != nil {
			return err
		}
		if err := r.identifier(id, into); err != nil {
			return err
		}
	}
	if into.kind, err = r.pointedText(public + r.public["pkey_algo"]); err != nil {
		return err
	}
	size, err := r.number(public+r.public["keylen"], 4)
	if err != nil {
		return err
	}
	if size > maxPublicKey {
		return fmt.Errorf("%w: a public key of %d bytes", errMemory, size)
	}
	at, err := r.pointer(public + r.public["key"])
	if err != nil {
		return err
	}
	into.public, err = r.memory.read(at, int(size))
	return err
}

func (r *keyReader) identifier(address uint64, into *trustedKey) error {
	if address == 0 {
		return nil
	}
	size, err := r.number(address+r.id["len"], 2)
	if err != nil {
		return err
	}
	if size > maxKeyID {
		return fmt.Errorf("%w: an identifier of %d bytes", errMemory, size)
	}
	id, err := r.memory.read(address+r.id["data"], int(size))
	if err == nil {
		into.ids = append(into.ids, id)
	}
	return err
}

// pointedText reads the text that the pointer at an address points to.
func (r *keyReader) pointedText(address uint64) (string, error) {
	at, err := r.pointer(address)
	if err != nil {
		return "", err
	}
	return r.text(at, maxKeyText)
}

// idOfDescription takes the key's identifier from its description: the kernel writes
// "SUBJECT: HEX" for a certificate.
func idOfDescription(description string) string {
	i := strings.LastIndex(description, ": ")
	if i < 0 {
		return ""
	}
	id := description[i+2:]
	if _, err := hex.DecodeString(id); err != nil {
		return ""
	}
	return id
}
