package kmod

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// Find gives the files of the modules that a name or an alias stands for, as the
// system's modprobe knows them, dependencies left out. An alias may stand for several.
//
// It errs with [ErrNotFound], [ErrBadName], and [ErrBuiltin] for what has no file.
func Find(ctx context.Context, name string, opts *LoadOptions) ([]string, error) {
	if opts == nil {
		opts = &LoadOptions{}
	}
	steps, err := planName(ctx, name, opts, "--ignore-install")
	if err != nil {
		return nil, &Error{Op: "find", Module: name, Err: err}
	}
	var files []string
	for _, step := range steps {
		if step.Target && step.Kind == StepLoad {
			files = append(files, step.Path)
		}
	}
	if len(files) == 0 {
		return nil, &Error{Op: "find", Module: name, Err: ErrBuiltin}
	}
	return files, nil
}

// FindOne gives the file that a target is, or for which it stands as a name or an alias: see [Find]. It
// errs where that stands for several.
func FindOne(ctx context.Context, target string) (string, error) {
	if IsFile(target) {
		return target, nil
	}
	files, err := Find(ctx, target, nil)
	if err != nil {
		return "", err
	}
	if len(files) > 1 {
		names := make([]string, len(files))
		for i, file := range files {
			names[i] = filepath.Base(file)
		}
		return "", fmt.Errorf("%s stands for %d modules (%s): name one", cells.Short(target), len(files), strings.Join(names, ", "))
	}
	return files[0], nil
}
