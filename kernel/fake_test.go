package kernel

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"
	"github.com/kmodtrace/kmodtrace/internal/koimage"
)

const release = "6.12.0-test"

// files are what a fake root has, by path.
type files map[string]string

// running is the least that a running kernel shows.
func running(more files) files {
	all := files{"proc/sys/kernel/osrelease": release + "\n", "proc/modules": ""}
	for path, text := range more {
		all[path] = text
	}
	return all
}

// write makes a root of them.
func (f files) write(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range f {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// open opens the kernel that runs in a root of them.
func (f files) open(t testing.TB) *Kernel { return f.openRelease(t, "") }

func (f files) openRelease(t testing.TB, release string) *Kernel {
	t.Helper()
	k, err := Open(&Options{Root: f.write(t), Release: release})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// fakeCore is memory that a test fills, from one address on.
type fakeCore struct {
	data []byte
	list string // in the form of /proc/kallsyms
}

const coreBase uint64 = 0xffffffff81000000

// put adds bytes at the next multiple of eight.
func (c *fakeCore) put(data []byte) uint64 {
	for len(c.data)%8 != 0 {
		c.data = append(c.data, 0)
	}
	address := coreBase + uint64(len(c.data))
	c.data = append(c.data, data...)
	return address
}

func (c *fakeCore) text(s string) uint64 { return c.put([]byte(s + "\x00")) }

// words adds pointers.
func (c *fakeCore) words(words ...uint64) uint64 {
	var data []byte
	for _, w := range words {
		data = binary.LittleEndian.AppendUint64(data, w)
	}
	return c.put(data)
}

// set changes a pointer that is there.
func (c *fakeCore) set(address, value uint64) {
	binary.LittleEndian.PutUint64(c.data[address-coreBase:], value)
}

// symbol gives an address a name.
func (c *fakeCore) symbol(name string, address uint64) {
	c.list += fmt.Sprintf("%016x D %s\n", address, name)
}

// fakeExport is an export to be put into a table.
type fakeExport struct {
	name, namespace string
	crc             uint32
	flag            byte
}

// table adds a table of exports, its versions and its flags.
func (c *fakeCore) table(exports []fakeExport) (entries, crcs, flags uint64) {
	var names, namespaces []uint64
	var versions, bits []byte
	for _, e := range exports {
		names = append(names, c.text(e.name))
		namespaces = append(namespaces, c.text(e.namespace))
		versions = binary.LittleEndian.AppendUint32(versions, e.crc)
		bits = append(bits, e.flag)
	}
	entries = c.put(make([]byte, entrySize*len(exports)))
	for i := range exports {
		at := entries + uint64(i*entrySize)
		entry := c.data[at-coreBase:]
		binary.LittleEndian.PutUint32(entry[4:], uint32(names[i]-(at+4)))
		if exports[i].namespace != "" {
			binary.LittleEndian.PutUint32(entry[8:], uint32(namespaces[i]-(at+8)))
		}
	}
	return entries, c.put(versions), c.put(bits)
}

// imageTables adds the kernel's own two tables, as kernels before 7.1 have them.
func (c *fakeCore) imageTables(plain, gpl []fakeExport) {
	for i, suffix := range []string{"", "_gpl"} {
		list := [][]fakeExport{plain, gpl}[i]
		entries, crcs, _ := c.table(list)
		c.symbol("__start___ksymtab"+suffix, entries)
		c.symbol("__stop___ksymtab"+suffix, entries+uint64(entrySize*len(list)))
		c.symbol("__start___kcrctab"+suffix, crcs)
		c.symbol("__stop___kcrctab"+suffix, crcs+uint64(4*len(list)))
	}
}

// file gives it as an ELF core file.
func (c *fakeCore) file() []byte {
	le := binary.LittleEndian
	file := make([]byte, 64+56)
	copy(file, "\x7fELF\x02\x01\x01")
	le.PutUint16(file[16:], 4) // ET_CORE
	le.PutUint64(file[32:], 64)
	le.PutUint16(file[54:], 56)
	le.PutUint16(file[56:], 1)
	h := file[64:]
	le.PutUint32(h, 1)
	le.PutUint64(h[8:], uint64(len(file)))
	le.PutUint64(h[16:], coreBase)
	le.PutUint64(h[32:], uint64(len(c.data)))
	return append(file, c.data...)
}

// files gives what a running kernel with this memory shows to root.
func (c *fakeCore) files(t testing.TB) files {
	return running(files{"proc/kcore": string(c.file()), "proc/kallsyms": c.list, "sys/kernel/btf/vmlinux": string(fakeTypes(t))})
}

// Where fakeTypes puts members.
const (
	moduleSize = 160
	keySize    = 64
)

// fakeTypes makes BTF with the structures that are read, in sizes of the test's own.
func fakeTypes(t testing.TB) []byte {
	t.Helper()
	word := &btf.Int{Name: "unsigned long", Size: 8}
	b, err := btf.NewBuilder(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string, size uint32, members map[string]uint32) {
		s := &btf.Struct{Name: name, Size: size}
		for member, offset := range members {
			s.Members = append(s.Members, btf.Member{Name: member, Type: word, Offset: btf.Bits(8 * offset)})
		}
		if _, err := b.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	add("module", moduleSize, map[string]uint32{
		"list": 0, "name": 16, "syms": 80, "num_syms": 88, "crcs": 96, "gpl_syms": 104, "num_gpl_syms": 112, "gpl_crcs": 120,
	})
	add("assoc_array", 16, map[string]uint32{"root": 0})
	add("assoc_array_node", 152, map[string]uint32{"slots": 16})
	add("assoc_array_shortcut", 24, map[string]uint32{"next_node": 16})
	add("public_key", 24, map[string]uint32{"key": 0, "keylen": 8, "pkey_algo": 16})
	add("asymmetric_key_id", 32, map[string]uint32{"len": 0, "data": 2})
	// In the kernel these are in unnamed unions.
	inner := &btf.Union{Size: 32, Members: []btf.Member{{Name: "keys", Type: word, Offset: 0}, {Name: "payload", Type: word, Offset: 0}}}
	if _, err := b.Add(&btf.Struct{Name: "key", Size: keySize, Members: []btf.Member{
		{Name: "type", Type: word, Offset: 0}, {Name: "description", Type: word, Offset: 64}, {Type: inner, Offset: 128},
	}}); err != nil {
		t.Fatal(err)
	}
	data, err := b.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// module adds a loaded module; link ties them together.
func (c *fakeCore) module(name string, plain, gpl []fakeExport) uint64 {
	a, aCRC, _ := c.table(plain)
	b, bCRC, _ := c.table(gpl)
	at := c.put(make([]byte, moduleSize))
	copy(c.data[at-coreBase+16:], name)
	for offset, value := range map[uint64]uint64{80: a, 88: uint64(len(plain)), 96: aCRC, 104: b, 112: uint64(len(gpl)), 120: bCRC} {
		c.set(at+offset, value)
	}
	return at
}

// link makes the kernel's list of modules.
func (c *fakeCore) link(modules ...uint64) {
	head := c.words(0, 0)
	c.symbol("modules", head)
	last := head
	for _, m := range modules {
		c.set(last, m)
		last = m
	}
	c.set(last, head)
}

// key adds an asymmetric key, as trustedKey has it.
func (c *fakeCore) key(k trustedKey) uint64 {
	var ids [3]uint64
	for i, id := range k.ids {
		ids[i] = c.put(append(binary.LittleEndian.AppendUint16(nil, uint16(len(id))), id...))
	}
	public := c.words(c.put(k.public), uint64(len(k.public)), c.text(k.kind))
	return c.words(c.words(c.text("asymmetric")), c.text(k.Description), public, 0, c.words(ids[:]...), 0)
}

// keyring adds a keyring with up to 16 members.
func (c *fakeCore) keyring(name string, members ...uint64) uint64 {
	node := make([]uint64, 19)
	for i, m := range members {
		node[2+i] = m
		if name == ".secondary_trusted_keys" {
			node[2+i] |= 2 // marks a keyring among the keys
		}
	}
	shortcut := c.words(0, 0, c.words(node...)|1)
	return c.words(c.words(c.text("keyring")), c.text(name), shortcut|3, 0)
}

// pointer adds a variable that points somewhere.
func (c *fakeCore) pointer(name string, to uint64) { c.symbol(name, c.words(to)) }

// certificate makes a self-signed one.
func certificate(t testing.TB, name string, key crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0xf00d0000 + int64(len(name))), Subject: pkix.Name{CommonName: name}, SubjectKeyId: []byte("key of " + name),
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newKey(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if kind == "rsa" {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign appends a signature as the kernel's build makes it.
func sign(t testing.TB, image []byte, c *x509.Certificate, key crypto.Signer, byKey bool) []byte {
	t.Helper()
	digest := sha256.Sum256(image)
	value, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	name := asn1.RawValue{FullBytes: marshal(t, struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}{asn1.RawValue{FullBytes: c.RawIssuer}, c.SerialNumber})}
	if byKey {
		name = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: c.SubjectKeyId}
	}
	type signer struct {
		Version           int
		Key               asn1.RawValue
		Digest, Algorithm pkix.AlgorithmIdentifier
		Value             []byte
	}
	algorithm := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}}
	empty := asn1.RawValue{FullBytes: marshal(t, []int{})}
	data := marshal(t, struct {
		Version         int
		Digests, Inside asn1.RawValue
		Signers         []signer `asn1:"set"`
	}{1, empty, empty, []signer{{1, name, algorithm, algorithm, value}}})
	return koimage.Sign(image, marshal(t, struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: data}}))
}

func marshal(t testing.TB, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
