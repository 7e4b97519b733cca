package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cavaliergopher/cpio"
	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// base is what all machines of one snapshot have in common.
type base struct {
	machine Machine // with Memory
	q       qemu
	key     string
	have    map[string]fs.FileMode // what is in the guest
}

// newBase finds out what a machine's snapshot is made of.
func (m Machine) newBase(ctx context.Context, q qemu) (*base, error) {
	m.Files, m.Bring, m.Env, m.Console, m.Watch, m.Stdin, m.Terminal = nil, nil, nil, "", nil, nil, nil
	print := newFingerprint()
	im := newArchive(io.Discard)
	im.cpio = print
	if err := im.root(); err != nil {
		return nil, err
	}
	if err := im.fill(ctx, m, m.waiting()); err != nil {
		return nil, err
	}
	if m.Memory == 0 {
		// As much as the same files would leave to a machine that boots with them.
		m.Memory = 512 + int(2*print.bytes>>20) + payloadSize>>20
		m.Memory += memoryStep - 1
		m.Memory -= m.Memory % memoryStep
	}
	for _, host := range []string{m.Kernel.Image, q.path} {
		if err := print.add(host); err != nil {
			return nil, err
		}
	}
	h := hardware{kernel: 3, image: 4, console: 5, ram: 6, payload: 7, memory: m.Memory, cpus: m.CPUs, accel: m.Accel}
	fmt.Fprintln(print.hash, snapshotFormat, q.full, q.args(h))
	return &base{machine: m, q: q, key: hex.EncodeToString(print.hash.Sum(nil))[:16], have: im.have}, nil
}

// waiting is the task of a guest that is to be saved.
func (m Machine) waiting() guest.Task {
	return guest.Task{Wait: true, Port: resultsPort(m.Kernel.Arch), Hostname: hostname}
}

func (b *base) dir() string {
	k := b.machine.Kernel
	return filepath.Join(snapshotsDir(b.machine.Cache), k.Arch, fmt.Sprintf("%s-%dM-%s", k.Release, b.machine.Memory, b.key))
}

func snapshotsDir(cache string) string { return filepath.Join(cache, "snapshots") }

// fingerprint takes an archive's place, to find out whether two images would be the same.
// What is in a file it reads; of the kernel's thousands of modules it takes what changes
// with their content.
type fingerprint struct {
	hash  hash.Hash
	bytes int64 // of the image
}

func newFingerprint() *fingerprint { return &fingerprint{hash: sha256.New()} }

func (p *fingerprint) WriteHeader(h *cpio.Header) error {
	p.bytes += h.Size
	_, err := fmt.Fprintf(p.hash, "%q %o %d\n", h.Name, h.Mode, h.Size)
	return err
}

func (p *fingerprint) Write(b []byte) (int, error) { return p.hash.Write(b) }

func (p *fingerprint) Close() error { return nil }

// file stands for [image.file].
func (p *fingerprint) file(im *image, host, name string) error {
	info, err := os.Stat(host)
	if err != nil {
		return err
	}
	if err := im.header(name, info.Mode(), cpio.TypeReg, info.Size()); err != nil {
		return err
	}
	p.stat(info)
	return nil
}

// add takes a file that is not in the image.
func (p *fingerprint) add(host string) error {
	info, err := os.Stat(host)
	if err != nil {
		return err
	}
	p.stat(info)
	return nil
}

func (p *fingerprint) stat(info fs.FileInfo) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		fmt.Fprintln(p.hash, st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim)
	}
}
