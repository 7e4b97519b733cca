package kernel

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
)

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o600) }

// ringed makes a kernel with a built-in key, one of the machine's owner, one of the platform and one that is revoked.
func ringed(builtin, machine, platform, revoked trustedKey) *fakeCore {
	c := fakeKernel()
	in := c.keyring(builtinKeyring, c.key(builtin))
	own := c.keyring(".machine", c.key(machine))
	second := c.keyring(".secondary_trusted_keys", in, own)
	c.pointer("builtin_trusted_keys", in)
	c.pointer("secondary_trusted_keys", second)
	c.pointer("machine_trusted_keys", own)
	c.pointer("blacklist_keyring", c.keyring(revokedKeyring, c.key(revoked)))
	c.pointer("platform_trusted_keys", c.keyring(platformKeyring, c.key(platform)))
	return c
}

func TestVerify(t *testing.T) {
	image := koimage.Hello().Bytes()
	for _, kind := range []string{"rsa", "ecdsa"} {
		for _, byKey := range []bool{false, true} {
			ours, owners, firmware, foreign := newKey(t, kind), newKey(t, "ecdsa"), newKey(t, "ecdsa"), newKey(t, kind)
			our, owner, firm, other := certificate(t, "kernel's", ours), certificate(t, "the owner's", owners), certificate(t, "firmware's own", firmware), certificate(t, "a foreign key's", foreign)
			revokeds := newKey(t, "ecdsa")
			revoked := certificate(t, "no longer good", revokeds)
			k := ringed(trustedCertificate(our), trustedCertificate(owner), trustedCertificate(firm), trustedCertificate(revoked)).files(t).open(t)
			signed := sign(t, image, our, ours, byKey)
			changed := bytes.Clone(signed)
			changed[100] ^= 1
			for name, c := range map[string]struct {
				image []byte
				want  error
			}{
				"good":           {signed, nil},
				"owner's":        {sign(t, image, owner, owners, byKey), nil},
				"firmware's":     {sign(t, image, firm, firmware, byKey), ErrUnknown},
				"changed":        {changed, ErrSignature},
				"revoked":        {sign(t, image, revoked, revokeds, byKey), ErrNoKey},
				"foreign":        {sign(t, image, other, foreign, byKey), ErrNoKey},
				"claims our key": {sign(t, image, our, foreign, byKey), ErrSignature},
				"unsigned":       {image, ErrUnsigned},
				"empty":          {nil, ErrUnsigned},
				"damaged":        {koimage.Sign(image, []byte("junk")), ErrSignatureDamaged},
				"no signature":   {koimage.Sign(image, nil), ErrSignatureDamaged},
			} {
				err := k.Verify(c.image)
				if !errors.Is(err, c.want) || err != nil && c.want == nil {
					t.Errorf("%s, by key %v, %s: %v", kind, byKey, name, err)
				}
			}
			keys, err := k.Keys()
			rings := []string{}
			for _, key := range keys {
				rings = append(rings, key.Keyring)
			}
			if err != nil || !slices.Equal(rings, []string{builtinKeyring, ".machine"}) {
				t.Errorf("%+v, %v", keys, err)
			}
		}
	}
}

// TestKeyringsDamaged: keyrings that lead in circles or nowhere are unknown.
func TestKeyringsDamaged(t *testing.T) {
	key := trustedKey{Key: Key{Description: "a: 00ff"}, ids: [][]byte{{1}}, public: []byte{2}, kind: "rsa"}
	for name, build := range map[string]func(c *fakeCore) uint64{
		"a node in itself": func(c *fakeCore) uint64 {
			node := c.words(make([]uint64, 19)...)
			c.set(node+16, node|1)
			return c.words(c.words(c.text("keyring")), c.text("x"), node|1, 0)
		},
		"a shortcut to itself": func(c *fakeCore) uint64 {
			shortcut := c.words(0, 0, 0)
			c.set(shortcut+16, shortcut|3)
			return c.words(c.words(c.text("keyring")), c.text("x"), shortcut|3, 0)
		},
		"nowhere": func(c *fakeCore) uint64 { return 0x1000 },
		"wide circle": func(c *fakeCore) uint64 {
			node := c.words(make([]uint64, 19)...)
			for i := range uint64(16) {
				c.set(node+16+8*i, node|1)
			}
			return c.words(c.words(c.text("keyring")), c.text("x"), node|1, 0)
		},
		"a long key": func(c *fakeCore) uint64 {
			public := c.words(c.put([]byte{1}), 1<<30, c.text("rsa"))
			k := c.words(c.words(c.text("asymmetric")), c.text("x"), public, 0, 0, 0)
			return c.keyring("x", k)
		},
	} {
		c := fakeKernel()
		c.pointer("builtin_trusted_keys", build(c))
		all := c.files(t)
		if keys, err := all.open(t).Keys(); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %+v, %v", name, keys, err)
		}
		if err := all.open(t).Verify(koimage.Sign([]byte("x"), nil)); !errors.Is(err, ErrSignatureDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Keyrings that are linked into each other end where they were seen.
	c := fakeKernel()
	a := c.keyring("a", c.key(key), 0)
	b := c.keyring("b", a)
	shortcut := binary.LittleEndian.Uint64(c.data[a+16-coreBase:]) &^ 3
	node := binary.LittleEndian.Uint64(c.data[shortcut+16-coreBase:]) &^ 3
	c.set(node+16+8, b|2)
	c.pointer("builtin_trusted_keys", b)
	if keys, err := c.files(t).open(t).Keys(); err != nil || len(keys) != 1 || keys[0].ID != "00ff" {
		t.Errorf("%+v, %v", keys, err)
	}
}

// TestNoKeys: without a source, no verdict.
func TestNoKeys(t *testing.T) {
	key := newKey(t, "ecdsa")
	signed := sign(t, koimage.Hello().Bytes(), certificate(t, "x", key), key, false)
	if err := running(nil).open(t).Verify(signed); !errors.Is(err, ErrUnknown) || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}

// fakeList is the certificates of a boot image, with the length of all after them.
func fakeList(certificates ...*x509.Certificate) []byte {
	list := []byte("\x00\x00\x00")
	size := 0
	for _, c := range certificates {
		list = append(list, c.Raw...)
		size += len(c.Raw)
	}
	for len(list)%8 != 0 {
		list = append(list, 0)
	}
	return binary.LittleEndian.AppendUint64(list, uint64(size))
}

// TestBuiltinCertificates: those of an image are known without privilege; whether there are
// others is known of a kernel that is not running on a machine without EFI.
func TestBuiltinCertificates(t *testing.T) {
	ours, foreign := newKey(t, "rsa"), newKey(t, "rsa")
	our, other, decoy := certificate(t, "ours", ours), certificate(t, "other", foreign), certificate(t, "for radio rules", newKey(t, "rsa"))
	image := append([]byte("Linux version 9.9 (x) #1\n\x00"), decoy.Raw...)
	image = append(image, fakeList(our, certificate(t, "second", newKey(t, "ecdsa")))...)
	all := running(files{"boot/vmlinuz-9.9": string(image), "boot/vmlinuz-" + release: strings.ReplaceAll(string(image), "9.9", release), "proc/version": "Linux version " + release + " (x) #1\n"})
	module := koimage.Hello().Bytes()
	good, bad := sign(t, module, our, ours, false), sign(t, module, other, foreign, false)
	asleep := all.openRelease(t, "9.9")
	if keys, err := asleep.Keys(); err != nil || len(keys) != 2 || keys[0].Serial == "" {
		t.Errorf("%+v, %v", keys, err)
	}
	if err := asleep.Verify(good); err != nil {
		t.Error(err)
	}
	if err := asleep.Verify(bad); !errors.Is(err, ErrNoKey) {
		t.Error(err)
	}
	awake := all.open(t)
	if keys, err := awake.Keys(); !errors.Is(err, ErrUnknown) || len(keys) != 2 {
		t.Errorf("%+v, %v", keys, err)
	}
	if err := awake.Verify(good); err != nil {
		t.Error(err)
	}
	if err := awake.Verify(bad); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	all["proc/version"] = "Linux version " + release + " (x) #2\n" // upgraded since
	if err := all.open(t).Verify(good); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	all["sys/firmware/efi/x"] = ""
	if err := all.openRelease(t, "9.9").Verify(bad); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}
