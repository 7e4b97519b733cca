package kmod

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// moduleInitCompressedFile is MODULE_INIT_COMPRESSED_FILE, of kernels from 5.17 on.
const moduleInitCompressedFile = 4

// Load loads a file, or a name with its dependencies in order: [Plan], then each
// step. It gives the steps that it came to, the failed one last.
//
// A dependency that someone else loads meanwhile is not an error, nor is a soft dependency
// that fails (Step.Err tells); a target that is loaded already is one ([ErrLoaded],
// EEXIST). Whatever was loaded before a failure stays.
func Load(ctx context.Context, target string, opts *LoadOptions) ([]Step, error) {
	steps, err := Plan(ctx, target, opts)
	if err != nil {
		return nil, err
	}
	for i := range steps {
		if err := ctx.Err(); err != nil {
			return steps[:i], &Error{Op: "load", Module: steps[i].Module, Err: err}
		}
		err := steps[i].Do()
		if err != nil && !steps[i].Soft {
			return steps[:i+1], err
		}
		steps[i].Err = err
	}
	return steps, nil
}

// Do takes the step. For StepLoad it makes one system call that loads, in the calling
// thread: a caller who ties it to kernel events by thread id locks the goroutine to its
// thread (runtime.LockOSThread) first. The call is finit_module on the file as it is,
// where the kernel can take it so; init_module on a decompressed copy otherwise.
//
// It blocks until the module's init has returned; nothing can interrupt that.
//
// Errors have the kernel's errno: [ErrLoaded] with EEXIST where a module of that name is there, [ErrNotModule] with ENOEXEC
// where the file is none, ENOEXEC alone for another kernel's module, ENOENT for a missing symbol, EINVAL,
// EPERM without CAP_SYS_MODULE, EKEYREJECTED for a missing signature where one is
// required, or whatever the module's own init returned.
func (s *Step) Do() error {
	switch s.Kind {
	case StepLoad:
	case StepInstall:
		return &Error{Op: "load", Module: s.Module, Err: &InstallError{Command: s.Command, Dependency: !s.Target}}
	case StepBuiltin:
		if s.Target {
			return &Error{Op: "load", Module: s.Module, Err: ErrBuiltin}
		}
		return nil
	default:
		return nil
	}
	err := s.load()
	if errors.Is(err, unix.EEXIST) && !s.Target && s.inKernel() {
		s.Kind = StepLoaded // someone was faster
		return nil
	}
	if err != nil {
		return &Error{Op: "load", Module: s.Module, Err: s.explain(err)}
	}
	return nil
}

// explain adds to the errno what is known about the file.
func (s *Step) explain(err error) error {
	switch {
	case errors.Is(err, unix.EEXIST) && isBuiltin(s.root, s.Module):
		return because(ErrBuiltin, err)
	case errors.Is(err, unix.EEXIST) && s.inKernel():
		return because(ErrLoaded, err)
	case s.suspect != nil && errors.Is(err, unix.ENOEXEC):
		return because(s.suspect, err)
	}
	return refusal(s.root, err)
}

// inKernel tells whether a module of the file's name is in the kernel. EEXIST alone does not: an
// init may return it too, and then nothing is there.
func (s *Step) inKernel() bool {
	name := s.Module
	if f, err := Inspect(s.Path); err == nil && f.Name != "" {
		name = f.Name
	}
	return initState(s.root, name) != ""
}

func (s *Step) load() error {
	f, size, err := openModuleFile(s.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	var flags int
	if s.force&ForceModversions != 0 {
		flags |= unix.MODULE_INIT_IGNORE_MODVERSIONS
	}
	if s.force&ForceVermagic != 0 {
		flags |= unix.MODULE_INIT_IGNORE_VERMAGIC
	}
	head := make([]byte, xzHeaderLen)
	n, err := f.ReadAt(head, 0)
	if n == 0 {
		return err
	}
	compression := compressionOf(head[:n])
	switch {
	case compression == Plain:
		return undisturbed(func() error { return unix.FinitModule(int(f.Fd()), s.Params, flags) })
	case kernelUnpacks(s.root, compression, head[:n]):
		return undisturbed(func() error { return unix.FinitModule(int(f.Fd()), s.Params, flags|moduleInitCompressedFile) })
	case flags != 0:
		return fmt.Errorf("this kernel cannot decompress %v and forcing needs the plain file; decompress it first: %w", compression, errors.ErrUnsupported)
	}
	return s.loadUnpacked(f, size)
}

// kernelUnpacks tells whether the kernel takes this file as it is. Its xz knows no
// checksum but CRC32, while the xz command's default is CRC64.
func kernelUnpacks(root string, c Compression, head []byte) bool {
	have, err := haveDecompression(root)
	if err != nil || have != c {
		return false
	}
	return c != Xz || xzCheck(head) <= 1
}

// loadUnpacked decompresses here. init_module has no flags and shows the kernel no file.
func (s *Step) loadUnpacked(f *os.File, size int64) error {
	image, err := readImage(f, size)
	if err != nil {
		return err
	}
	if len(image) == 0 {
		return fmt.Errorf("%w: it is empty", ErrNotModule)
	}
	return undisturbed(func() error { return unix.InitModule(image, s.Params) })
}
