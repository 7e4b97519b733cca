package guest

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// bring sends files and folders as one gzip'd tar stream: the port moves less
// than a megabyte a second, the emulated CPU compresses several. Entries are named
// INDEX/BASE…, by the position of what was asked for. The error is the port's;
// what cannot be read becomes trouble, and the others still come.
func bring(paths []string, frames *Writer) error {
	port := bufio.NewWriterSize(frames.Stream(Files), MaxPayload)
	packed := gzip.NewWriter(port)
	archive := tar.NewWriter(packed)
	var troubles []error
	for i, path := range paths {
		if err := pack(archive, path, strconv.Itoa(i)); err != nil {
			troubles = append(troubles, fmt.Errorf("bring back %w", err))
		}
	}
	if err := errors.Join(archive.Close(), packed.Close(), port.Flush()); err != nil {
		return err
	}
	for _, err := range troubles {
		if err := frames.trouble(err); err != nil {
			return err
		}
	}
	return nil
}

func pack(archive *tar.Writer, root, prefix string) error {
	base := filepath.Dir(filepath.Clean(root))
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(base, path)
		if err != nil {
			return err
		}
		return packOne(archive, path, filepath.Join(prefix, name), info)
	})
}

// packOne adds one file. Regular files are read whole first: files of proc,
// sysfs and tracefs say that they are empty, or of a size that they do not have.
func packOne(archive *tar.Writer, path, name string, info fs.FileInfo) error {
	link := ""
	var data []byte
	var err error
	switch {
	case info.Mode().IsRegular():
		data, err = os.ReadFile(path)
	case info.Mode()&fs.ModeSymlink != 0:
		link, err = os.Readlink(path)
	case !info.IsDir():
		return nil // sockets, pipes, devices: nothing to bring
	}
	if err != nil {
		return err
	}
	header, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	header.Name, header.Size = name, int64(len(data))
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	if _, err := archive.Write(data); err != nil && !errors.Is(err, io.ErrShortWrite) {
		return err
	}
	return nil
}
