package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lookPath finds a command as a shell would, in the PATH of the command's own
// environment.
func lookPath(name string, env []string, dir string) (string, error) {
	if strings.Contains(name, "/") {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if err := unix.Access(path, unix.X_OK); err != nil {
			return "", fmt.Errorf("%.80s: %w", name, err)
		}
		return path, nil
	}
	for _, directory := range filepath.SplitList(pathOf(env)) {
		path := filepath.Join(directory, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() && unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%.80s: not in the guest's PATH: %w", name, unix.ENOENT)
}

func pathOf(env []string) string {
	path := ""
	for _, pair := range env {
		if value, ok := strings.CutPrefix(pair, "PATH="); ok {
			path = value // the last one counts
		}
	}
	return path
}
