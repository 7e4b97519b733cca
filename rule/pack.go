package rule

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"sync"
)

//go:embed pack/*.yaml
var packFiles embed.FS

// Builtin gives the rules that are built in.
func Builtin() (*Set, error) { return builtin() }

var builtin = sync.OnceValues(func() (*Set, error) {
	files, err := fs.Glob(packFiles, "pack/*.yaml")
	if err != nil {
		return nil, err
	}
	s := new(Set)
	for _, name := range files {
		text, err := packFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if err := s.add(path.Base(name), text, true); err != nil {
			return nil, fmt.Errorf("built in: %w", err)
		}
	}
	return s, nil
})
