package kmod

import "context"

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
