package kbuild

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// Options say what to build for, and where to. Nil and the zero value are the running
// kernel, into the directory of the sources.
type Options struct {
	// Kernel is the release of an installed kernel, or a directory with a kernel's headers or
	// its built source: what has a slash is a directory.
	Kernel string
	// Out is the directory for the modules, made if need be. Nothing is written to the
	// directory of the sources then.
	Out string
	// Symbols are Module.symvers files, or the directories that hold one, of modules whose
	// symbols these use.
	Symbols []string
	// Variables are NAME=VALUE for make's command line, as in V=1 or KCFLAGS=-DDEBUG.
	Variables []string
	// Output takes what make and the compiler say. Nil drops it.
	Output io.Writer
	// Cache is a directory for what makes the next build quick. Empty is kmodtrace/kbuild in
	// the user's cache directory.
	Cache string
	// Root is where the system's own files are looked up; empty is "/".
	Root string
}

// Result is what a build made.
type Result struct {
	Source  string   `json:"source"` // what was built, as given
	Kernel  Headers  `json:"kernel"`
	Modules []Module `json:"modules"`
	// Symvers is the Module.symvers for those who use these modules' symbols; empty when
	// they export none.
	Symvers string `json:"symvers,omitempty"`
	// Compiler is the program that compiled.
	Compiler string `json:"compiler,omitempty"`
	// Notes say what may keep the modules out of the running kernel.
	Notes []string `json:"notes,omitempty"`
	// Diagnostics are the compiler's complaints, in their order. A failed build has some
	// too.
	Diagnostics []Diagnostic  `json:"diagnostics"`
	Took        time.Duration `json:"took_ns"`
}

// Module is one that was built.
type Module struct {
	Name     string `json:"name"` // as the kernel will call it
	Path     string `json:"path"`
	Size     int64  `json:"size"`     // bytes of the file
	Vermagic string `json:"vermagic"` // what it was built for
	// Changed tells whether the file is another than the one that was there before.
	Changed bool `json:"changed"`
}

// Build builds the modules of one directory, or of C files of one directory that become a
// module each. No path is the current directory. A result comes with an error too: it says how
// far the build came. When ctx ends the build is stopped, with every process of it.
func Build(ctx context.Context, paths []string, opts *Options) (*Result, error) {
	if opts == nil {
		opts = new(Options)
	}
	start := time.Now()
	b := &build{Options: *opts, result: &Result{Modules: []Module{}, Diagnostics: []Diagnostic{}}}
	err := b.run(ctx, paths)
	b.result.Took = time.Since(start)
	return b.result, err
}

// build is one build under way.
type build struct {
	Options
	result  *Result
	sources *sources
	tools   *tools
	mirror  *mirror
}

func (b *build) run(ctx context.Context, paths []string) (err error) {
	if b.sources, err = readSources(paths); err != nil {
		return err
	}
	b.result.Source = b.sources.target
	if err := b.prepare(); err != nil {
		return b.failed(ctx, err)
	}
	b.mirror, err = openMirror(ctx, b.cacheDir(), b.sources, b.result.Kernel.Directory, b.Output)
	if err != nil {
		return b.failed(ctx, err)
	}
	defer b.mirror.close()
	if err := b.mirror.update(b.sources, b.Symbols); err != nil {
		return b.failed(ctx, err)
	}
	if !b.unchanged() {
		start := time.Now()
		err := b.make(ctx)
		if late := b.mirror.renew(start); err == nil && !late {
			b.remember(start)
		}
		if err != nil {
			return b.failed(ctx, err)
		}
	}
	products, err := b.mirror.products()
	if err == nil {
		err = b.deliver(products)
	}
	return b.failed(ctx, err)
}

// prepare finds all that the build needs, before anything is written.
func (b *build) prepare() error {
	if err := b.checkOut(); err != nil {
		return err
	}
	if err := checkVariables(b.Variables); err != nil {
		return err
	}
	system := system{root: b.Root}
	var missing MissingError
	headers, err := system.headers(b.Kernel)
	if !missing.take(err) {
		return err
	}
	if headers != nil {
		b.result.Kernel = *headers
	}
	b.tools, err = system.tools(headers, b.Variables)
	if !missing.take(err) {
		return err
	}
	if len(missing.things) > 0 {
		missing.Kernel = headers.releaseOr(b.Kernel)
		missing.Distribution = system.distribution()
		return &missing
	}
	b.result.Compiler = b.tools.compiler
	b.result.Notes = system.mismatch(headers, b.Kernel)
	return nil
}

// failed gives an error the name of what was built. That the context ended comes before
// what came of that.
func (b *build) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("stopped: %w", context.Cause(ctx))
	}
	return &Error{Op: "build", Path: b.sources.target, Err: err}
}

func (b *build) cacheDir() string {
	if b.Cache != "" {
		return b.Cache
	}
	return filepath.Join(userCache(), "kbuild")
}

// Error is a build that came to nothing.
type Error struct {
	Op   string
	Path string // as given
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err) }
func (e *Error) Unwrap() error { return e.Err }
