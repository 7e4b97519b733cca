// Image packs directories into a container image for several architectures, and writes it as an OCI layout in a tar archive, which
// podman load, docker load, skopeo and crane read. It needs no daemon and no registry, and the same input gives the same bytes:
//
//	image --version 1.2.0 --revision COMMIT --epoch SECONDS --out FILE.tar amd64=DIRECTORY arm64=DIRECTORY
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// release is what an image is of.
type release struct {
	version, revision string
	made              time.Time
}

func run(args []string) error {
	var r release
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&r.version, "version", "", "of the image")
	flags.StringVar(&r.revision, "revision", "", "the commit")
	epoch := flags.Int64("epoch", 0, "the time of all files, and of the image")
	out := flags.String("out", "", "the archive to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if r.version == "" || r.revision == "" || *epoch == 0 || *out == "" || flags.NArg() == 0 {
		return errors.New("want --version, --revision, --epoch, --out and ARCH=DIRECTORY")
	}
	r.made = time.Unix(*epoch, 0).UTC()
	index, err := r.index(flags.Args())
	if err != nil {
		return err
	}
	return write(index, r, *out)
}

// index makes an image of each ARCH=DIRECTORY, and the index of all.
func (r release) index(trees []string) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, tree := range trees {
		arch, dir, ok := strings.Cut(tree, "=")
		if !ok {
			return nil, fmt.Errorf("%q: want ARCH=DIRECTORY", tree)
		}
		image, err := r.image(arch, dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", arch, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return mutate.Annotations(index, r.labels()).(v1.ImageIndex), nil
}

func (r release) image(arch, dir string) (v1.Image, error) {
	data, err := pack(dir, r.made)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: r.made}, CreatedBy: "kmodtrace " + r.version}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", arch, v1.Time{Time: r.made}
	config.Config = v1.Config{
		Entrypoint: []string{"/usr/bin/kmodtrace"}, Cmd: []string{"serve"},
		Env: []string{"PATH=/usr/bin"}, User: "0:0", WorkingDir: "/", Labels: r.labels(),
	}
	return mutate.ConfigFile(image, config)
}

// labels are those that the OCI defines.
func (r release) labels() map[string]string {
	const page = "https://github.com/kmodtrace/kmodtrace"
	labels := make(map[string]string)
	for name, value := range map[string]string{
		"title": "kmodtrace", "description": "watches who loads kernel modules, and why they fail", "licenses": "Apache-2.0",
		"source": page, "url": page, "version": r.version, "revision": r.revision, "created": r.made.Format(time.RFC3339),
	} {
		labels["org.opencontainers.image."+name] = value
	}
	return labels
}

// pack makes an archive of a directory: in the order of names, all root's, and of one time.
func pack(dir string, when time.Time) ([]byte, error) {
	var packed bytes.Buffer
	out := tar.NewWriter(&packed)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		return add(out, dir, path, entry, when)
	})
	if err := errors.Join(err, out.Close()); err != nil { // the end of the archive is written here
		return nil, err
	}
	return packed.Bytes(), nil
}

func add(out *tar.Writer, dir, path string, entry fs.DirEntry, when time.Time) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	h := &tar.Header{Name: name, Mode: int64(info.Mode().Perm()), ModTime: when, Typeflag: tar.TypeReg, Size: info.Size(), Format: tar.FormatUSTAR}
	switch {
	case info.IsDir():
		h.Name, h.Typeflag, h.Size = name+"/", tar.TypeDir, 0
		return out.WriteHeader(h)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a file nor a directory", path)
	}
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(out, in)
	return err
}

// write writes the layout into an archive.
func write(index v1.ImageIndex, r release, to string) error {
	dir, err := os.MkdirTemp(filepath.Dir(to), ".image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	all, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	name := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": r.version})
	if err := all.AppendIndex(index, name); err != nil {
		return err
	}
	data, err := packLayout(dir, r.made)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// packLayout packs what was written with modes that do not depend on the umask.
func packLayout(dir string, when time.Time) ([]byte, error) {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return os.Chmod(path, 0o755)
		}
		return os.Chmod(path, 0o644)
	})
	if err != nil {
		return nil, err
	}
	return pack(dir, when)
}
