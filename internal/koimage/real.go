package koimage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// errEnough ends a walk.
var errEnough = errors.New("enough")

// Real gives the bytes of a few small module files of each kernel in the lab's cache:
// none where there is no such kernel. They are seeds of fuzzing.
func Real() [][]byte {
	cache := os.Getenv("KMODTRACE_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil
		}
		cache = filepath.Join(user, "kmodtrace")
	}
	trees, _ := filepath.Glob(filepath.Join(cache, "kernels", "*", "*"))
	var files [][]byte
	for _, tree := range trees {
		files = append(files, someOf(tree)...)
	}
	return files
}

func someOf(tree string) [][]byte {
	const most, largest = 3, 16 << 10
	var files [][]byte
	filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !strings.Contains(entry.Name(), ".ko") {
			return nil // what cannot be read is not a seed
		}
		info, err := entry.Info()
		if err != nil || info.Size() > largest {
			return nil
		}
		if data, err := os.ReadFile(path); err == nil {
			files = append(files, data)
		}
		if len(files) == most {
			return errEnough
		}
		return nil
	})
	return files
}
