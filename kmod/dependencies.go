package kmod

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// nameInstalls says of which modules the install commands are: a target that has a line of its own
// has none, and what it needs by modules.dep and has no line, has one. What then is left is of what is
// only wished for. Where that cannot be told apart, they keep no name.
func nameInstalls(steps []Step) {
	lines := make(map[string]bool)
	var nameless []*Step
	for i := range steps {
		lines[steps[i].Path] = true
		if s := &steps[i]; s.Kind == StepInstall && s.Module == "" {
			nameless = append(nameless, s)
		}
	}
	var missing []string // as modprobe takes them: those that need nothing first
	for _, step := range steps {
		if !step.Target {
			continue
		}
		files, ok := hardDependencies(step.Path)
		if !ok { // nor of a target that has no line of its own
			return
		}
		for _, file := range slices.Backward(files) {
			if !lines[file] {
				lines[file] = true
				missing = append(missing, NameOfFile(file))
			}
		}
	}
	alike := !slices.ContainsFunc(nameless, func(s *Step) bool { return s.Command != nameless[0].Command })
	if len(missing) > len(nameless) || len(missing) > 0 && len(missing) < len(nameless) && !alike {
		return
	}
	for i, s := range nameless {
		if s.Soft = i >= len(missing); !s.Soft {
			s.Module = missing[i]
		}
	}
}

// markSoft marks the steps that no target needs to be loaded: those that modprobe.d or
// a module's own softdep line only wish for. modprobe prints both kinds alike; which
// are needed stands in depmod's modules.dep. Without that file all count as needed.
func markSoft(steps []Step) {
	needed := make(map[string]bool)
	for _, step := range steps {
		if !step.Target || step.Kind != StepLoad {
			continue
		}
		files, ok := hardDependencies(step.Path)
		if !ok {
			return
		}
		for _, file := range files {
			needed[file] = true
		}
	}
	for i := range steps {
		s := &steps[i]
		s.Soft = s.Soft || !s.Target && s.Kind == StepLoad && len(needed) > 0 && !needed[s.Path]
	}
}

// hardDependencies gives the files that a module's file needs loaded first, itself
// included. Lines of modules.dep name all of them, not only the next:
//
//	kernel/fs/xfs/xfs.ko: kernel/lib/libcrc32c.ko
func hardDependencies(path string) (files []string, ok bool) {
	top := filepath.Dir(path)
	for {
		if _, err := os.Stat(filepath.Join(top, "modules.dep")); err == nil {
			break
		}
		if top == filepath.Dir(top) {
			return nil, false
		}
		top = filepath.Dir(top)
	}
	f, err := os.Open(filepath.Join(top, "modules.dep"))
	if err != nil {
		return nil, false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20) // a module may need dozens, each with a long path
	for lines.Scan() {
		file, rest, found := strings.Cut(lines.Text(), ":")
		if !found || under(top, file) != path {
			continue
		}
		files = append(files, path)
		for _, dependency := range strings.Fields(rest) {
			files = append(files, under(top, dependency))
		}
		return files, true
	}
	return nil, false
}

// under gives the path of a file that modules.dep names, below its directory unless it
// is absolute.
func under(top, file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(top, file)
}
