package kmod

import (
	"os"
	"path/filepath"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

func rooted(root string) string {
	if root == "" {
		return "/"
	}
	return root
}

// initState gives sysfs's word for a loaded module (live, coming, going), or nothing.
// Modules built into the kernel have a directory in /sys/module too, without this file.
func initState(root, module string) string {
	return procfs.FirstLine(filepath.Join(rooted(root), "sys/module", module, "initstate"))
}

// isBuiltin tells whether /sys/module shows the module as a part of the kernel. One
// without parameters or version has no directory there, and is not recognised.
func isBuiltin(root, module string) bool {
	_, err := os.Stat(filepath.Join(rooted(root), "sys/module", module))
	return err == nil && initState(root, module) == ""
}
