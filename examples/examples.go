// Package examples holds the sources of small real kernel modules, so that the
// lab can build them for its kernels wherever the command is installed.
package examples

import "embed"

// Hello is the directory hello: a module that says hello and goodbye.
//
//go:embed hello/hello.c hello/Makefile
var Hello embed.FS
