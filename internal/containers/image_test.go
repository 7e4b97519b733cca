package containers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	one   = "1111111111111111111111111111111111111111111111111111111111111111"
	other = "2222222222222222222222222222222222222222222222222222222222222222"
)

// write makes a file below a root, with the directories above it.
func write(t *testing.T, root, path, text string) string {
	t.Helper()
	file := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestImage: each runtime's own files, of the form that it gives them.
func TestImage(t *testing.T) {
	for name, c := range map[string]struct{ path, text, want string }{
		"docker": {"var/lib/docker/containers/" + one + "/config.v2.json",
			`{"StreamConfig":{},"State":{"Running":true},"ID":"` + one + `","Image":"sha256:0","Config":{"Hostname":"a","Env":["A=b"],"Image":"nginx:1.27"},"Name":"/web"}`, "nginx:1.27"},
		"docker, of another": {"var/lib/docker/containers/" + one + "/config.v2.json", `{"ID":"` + other + `","Config":{"Image":"nginx:1.27"}}`, ""},
		"containerd": {"run/containerd/io.containerd.runtime.v2.task/k8s.io/" + one + "/config.json",
			`{"ociVersion":"1.1.0","annotations":{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.image-name":"registry.k8s.io/kube-proxy:v1.34.0"}}`,
			"registry.k8s.io/kube-proxy:v1.34.0"},
		"k3s": {"run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/" + one + "/config.json",
			`{"annotations":{"io.kubernetes.cri.image-name":"docker.io/rancher/klipper-lb:v0.4"}}`, "docker.io/rancher/klipper-lb:v0.4"},
		"CRI-O": {"run/containers/storage/overlay-containers/" + one + "/userdata/config.json",
			`{"annotations":{"io.kubernetes.cri-o.ImageName":"quay.io/a/b:1"}}`, "quay.io/a/b:1"},
		"podman": {"var/lib/containers/storage/overlay-containers/containers.json",
			`[{"id":"` + other + `","metadata":"{}"},{"id":"` + one + `","names":["a"],"image":"0","metadata":"{\"image-name\":\"docker.io/library/alpine:latest\",\"name\":\"a\"}"}]`,
			"docker.io/library/alpine:latest"},
		"no annotation":   {"run/containerd/io.containerd.runtime.v2.task/moby/" + one + "/config.json", `{"annotations":{}}`, ""},
		"no JSON":         {"var/lib/docker/containers/" + one + "/config.v2.json", `{"ID":`, ""},
		"half a metadata": {"var/lib/containers/storage/overlay-containers/containers.json", `[{"id":"` + one + `","metadata":"{"}]`, ""},
		"a terminal's":    {"var/lib/docker/containers/" + one + "/config.v2.json", `{"ID":"` + one + `","Config":{"Image":"a\u001b[2Jb"}}`, ""},
		"long":            {"var/lib/docker/containers/" + one + "/config.v2.json", `{"ID":"` + one + `","Config":{"Image":"` + strings.Repeat("a", maxName+1) + `"}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, c.path, c.text)
			if got := Image(root, one); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if got := Image(root, strings.Repeat("3", 64)); got != "" {
				t.Errorf("of a container that there is not: %q", got)
			}
		})
	}
}

// TestImageOfNobody: ids that lead elsewhere, and files that anybody may have written.
func TestImageOfNobody(t *testing.T) {
	root := t.TempDir()
	file := write(t, root, "var/lib/docker/containers/"+one+"/config.v2.json", `{"ID":"`+one+`","Config":{"Image":"x"}}`)
	for _, id := range []string{"", "a", "..", "../" + one[3:], strings.Repeat("*", 64), strings.Repeat("%", 64), strings.ToUpper(strings.Repeat("a", 64))} {
		if got := Image(root, id); got != "" {
			t.Errorf("%q: %q", id, got)
		}
	}
	for name, spoil := range map[string]func() error{
		"others may write": func() error { return os.Chmod(file, 0o666) },
		"a link":           func() error { return link(file) },
		"a pipe":           func() error { return pipe(file) },
		"a directory":      func() error { return directory(file) },
		"large":            func() error { return large(file) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(name, err)
		}
		if got := Image(root, one); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func link(file string) error {
	if err := os.RemoveAll(file); err != nil {
		return err
	}
	return os.Symlink("/etc/passwd", file)
}

func pipe(file string) error {
	if err := os.RemoveAll(file); err != nil {
		return err
	}
	return unix.Mkfifo(file, 0o600)
}

func directory(file string) error {
	if err := os.RemoveAll(file); err != nil {
		return err
	}
	return os.Mkdir(file, 0o700)
}

func large(file string) error {
	if err := os.RemoveAll(file); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(`{"ID":"`+one+`","Config":{"Image":"x"}}`), 0o600); err != nil {
		return err
	}
	return os.Truncate(file, maxFile+1)
}
