// Package containers reads what the runtimes of containers, and the kubelet, write down about them.
package containers

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// The bounds of what is read. A file beyond them is left out.
const (
	maxFile = 8 << 20
	maxName = 512 // of an image
)

// state is a file in which a runtime writes down what a container was made from.
type state struct {
	// path is below the root; in it ID is the id, and * any name.
	path  string
	image func(text []byte, id string) string
}

// states are in the order in which they are asked.
var states = []state{
	{"var/lib/docker/containers/ID/config.v2.json", dockerImage},
	// containerd, for Kubernetes; also the one that comes with k3s.
	{"run/containerd/io.containerd.runtime.v2.task/*/ID/config.json", specImage},
	{"run/k3s/containerd/io.containerd.runtime.v2.task/*/ID/config.json", specImage},
	// CRI-O.
	{"run/containers/storage/overlay-containers/ID/userdata/config.json", specImage},
	{"var/lib/containers/storage/overlay-containers/ID/userdata/config.json", specImage},
	// podman; its second list has the containers that go when they end.
	{"var/lib/containers/storage/overlay-containers/containers.json", storageImage},
	{"var/lib/containers/storage/overlay-containers/volatile-containers.json", storageImage},
}

// Image gives the name of the image that a container was made from, as its runtime wrote it down in a file below the root that
// only root may write. It is empty where none does, or where the id is not one that a runtime makes up. It reads files that are
// on whatever file system the runtime was given: it may take as long as that.
func Image(root, id string) string {
	if !isContainerID(id) {
		return ""
	}
	for _, s := range states {
		found, err := filepath.Glob(filepath.Join(root, strings.ReplaceAll(s.path, "ID", id)))
		if err != nil {
			continue
		}
		slices.Sort(found)
		for _, file := range found {
			text, err := read(file)
			if err != nil {
				continue
			}
			if image := s.image(text, id); image != "" && len(image) <= maxName && cells.Printable(image) == image {
				return image
			}
		}
	}
	return ""
}

// isContainerID tells an id that a runtime makes up.
func isContainerID(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }

// ownDirectory tells a directory of root's that others cannot write.
func ownDirectory(path string) bool {
	var stat unix.Stat_t
	return unix.Lstat(path, &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR && ownedByRoot(&stat)
}

// ownedByRoot tells what is root's, or of who asks, and others cannot write.
func ownedByRoot(stat *unix.Stat_t) bool {
	return (stat.Uid == 0 || stat.Uid == uint32(os.Geteuid())) && stat.Mode&0o022 == 0
}

// read reads a file of root's that others cannot write.
func read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var stat unix.Stat_t
	switch err := unix.Fstat(int(f.Fd()), &stat); {
	case err != nil:
		return nil, err
	case stat.Mode&unix.S_IFMT != unix.S_IFREG, !ownedByRoot(&stat), stat.Size > maxFile:
		return nil, fmt.Errorf("%s is not a runtime's", path)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// dockerImage reads docker's own description of a container.
func dockerImage(text []byte, id string) string {
	var c struct {
		ID     string
		Config struct{ Image string }
	}
	if json.Unmarshal(text, &c) != nil || c.ID != id {
		return ""
	}
	return c.Config.Image
}

// imageAnnotations are what runtimes call the image in the configuration of a container (the runtime specification of OCI).
var imageAnnotations = []string{"io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"}

func specImage(text []byte, _ string) string {
	var spec struct {
		Annotations map[string]string `json:"annotations"`
	}
	if json.Unmarshal(text, &spec) != nil {
		return ""
	}
	for _, name := range imageAnnotations {
		if image := spec.Annotations[name]; image != "" {
			return image
		}
	}
	return ""
}

// storageImage reads the list of containers of containers/storage, whose metadata is JSON in JSON.
func storageImage(text []byte, id string) string {
	var all []struct {
		ID       string `json:"id"`
		Metadata string `json:"metadata"`
	}
	if json.Unmarshal(text, &all) != nil {
		return ""
	}
	for _, c := range all {
		var metadata struct {
			Image string `json:"image-name"`
		}
		if c.ID == id && json.Unmarshal([]byte(c.Metadata), &metadata) == nil {
			return metadata.Image
		}
	}
	return ""
}
