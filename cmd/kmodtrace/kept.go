package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// keptDir has a copy of each file that this program loaded by its path, as long as the
// module is in the kernel: a rebuild overwrites the file, and the kernel gives no content
// back. Like the modules, it does not outlive the boot.
const keptDir = "/run/kmodtrace-loaded"

func keptPath(module string) string { return filepath.Join(keptDir, module+".ko") }

// keepCopy keeps content, decompressed, as that of a module which is loaded now. Where that
// cannot be, there is no way back to it, and no harm else.
func keepCopy(module string, content []byte, params kmod.Params) error {
	if err := os.MkdirAll(keptDir, 0o700); err != nil {
		return err
	}
	text, err := params.Quote()
	if err != nil {
		return err
	}
	if err := replaceFile(keptPath(module)+".params", []byte(text)); err != nil {
		return err
	}
	return replaceFile(keptPath(module), content)
}

// keepFile does so for a file that was just loaded.
func keepFile(path string, params kmod.Params) {
	content, err := kmod.ReadImage(path)
	if err != nil {
		return
	}
	if f, err := kmod.Parse(content); err == nil && keepCopy(f.Name, content, params) != nil {
		forget(f.Name)
	}
}

// replaceFile writes all of a file or nothing of it.
func replaceFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already, if all went well
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func forget(module string) {
	for _, suffix := range []string{"", ".params"} {
		_ = os.Remove(keptPath(module) + suffix)
	}
}

// contentOf finds the content that a loaded module came from: among the copies, at the
// path that is to replace it, or among this kernel's modules. It is the one with the
// module's build id, or the checksum of its sources where it has none.
func contentOf(m *kmod.Module, paths ...string) (content []byte, params kmod.Params, from string) {
	paths = append([]string{keptPath(m.Name)}, paths...)
	for _, path := range paths {
		data, err := kmod.ReadImage(path)
		if err != nil {
			continue
		}
		f, err := kmod.Parse(data)
		if err != nil || !isFrom(m, f) {
			continue
		}
		if path == keptPath(m.Name) {
			text, _ := os.ReadFile(path + ".params")
			params, _ = kmod.ParseParams(string(text)) // which this program wrote
		}
		return bytes.Clone(data), params, path
	}
	return nil, nil, ""
}

// isFrom tells whether a loaded module is of that file.
func isFrom(m *kmod.Module, f *kmod.File) bool {
	if m.BuildID != "" || f.BuildID != "" {
		return m.BuildID == f.BuildID
	}
	return m.SrcVersion != "" && m.SrcVersion == f.Value("srcversion")
}

// shownParams are a loaded module's parameters as the kernel shows them, of those that the
// file knows. What it does not show is in hidden, and what the file does not know in gone.
func shownParams(module string, f *kmod.File, before kmod.Params) (params kmod.Params, hidden, gone []string) {
	dir := filepath.Join("/sys/module", module, "parameters")
	known := make(map[string]bool)
	for _, p := range f.Parameters {
		known[p.Name] = true
		switch text, err := os.ReadFile(filepath.Join(dir, p.Name)); {
		case err == nil:
			value := strings.TrimSuffix(string(text), "\n")
			if unset := value == "(null)" || value == "" && strings.HasPrefix(p.Type, "array"); !unset {
				params = append(params, p.Name+"="+value)
			}
		case valueOf(before, p.Name) != "":
			params = append(params, valueOf(before, p.Name))
		default:
			hidden = append(hidden, p.Name)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return params, append(hidden, fmt.Sprintf("(%v)", err)), nil
	}
	for _, e := range entries {
		if !known[e.Name()] {
			gone = append(gone, e.Name())
		}
	}
	return params, hidden, gone
}

// valueOf gives the last NAME=VALUE of that name.
func valueOf(params kmod.Params, name string) (found string) {
	for _, p := range params {
		if n, _, _ := strings.Cut(p, "="); n == name {
			found = p
		}
	}
	return found
}
