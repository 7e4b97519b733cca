// Package examples holds the files of this directory that programs and tests need where the
// directory is not: the sources of small real kernel modules, which the lab builds for its kernels,
// and rules.
package examples

import "embed"

// Hello is the directory hello: a module that says hello and goodbye.
//
//go:embed hello/hello.c hello/Makefile
var Hello embed.FS

// PublicRules are public detection rules about kernel modules, as rules of kmodtrace.
//
//go:embed rules/public.yaml
var PublicRules []byte
