package cause

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// attempted is a row: what was asked for, and what became of it.
type attempted struct {
	target   string
	err      error
	failures []Failure
	machine  files
	code     Code
	says     string
}

// attempts are what a command asked for and did not get.
func attempts() map[string]attempted {
	failed := func(kind tracer.ActionKind, module string, c *Cause) Failure {
		return Failure{Kind: kind, Module: module, Cause: c}
	}
	missing := &Cause{Code: SymbolMissing, Text: "dep wants x", Evidence: []string{"seen"}, Next: "Do."}
	broken := &Cause{Code: ELFDamaged, Text: "no", Evidence: []string{}, Next: "Do."}
	about := func(err error) error { return &kmod.Error{Op: "load", Module: "x", Err: err} }
	gone := files{modules + "build/Module.symvers": gone, modules + "modules.builtin": gone, modules + "modules.dep": gone, modules + "modules.symbols": gone,
		modules + "kernel/own.ko": gone, modules + "kernel/dep.ko": gone, modules + "kernel/giver.ko": gone, modules + "modules.dep.bin": gone, modules + "modules.symbols.bin": gone, modules + "modules.builtin.bin": gone}
	otherwise := files{modules + "modules.dep": "kernel/file-name.ko:\n", modules + "kernel/file-name.ko": string(hello().Bytes())}
	return map[string]attempted{
		"its own cause":         {target: "hello", err: unix.ENOENT, failures: []Failure{failed(tracer.Load, "hello", missing)}, code: SymbolMissing, says: "dep wants x"},
		"file":                  {target: "./x.ko", err: unix.ENOENT, failures: []Failure{failed(tracer.Load, "hello", missing)}, code: SymbolMissing, says: "dep wants x"},
		"dashes":                {target: "snd-seq", err: unix.ENOENT, failures: []Failure{failed(tracer.Load, "snd_seq", missing)}, code: SymbolMissing, says: "dep wants x"},
		"alias":                 {target: "net-pf-1", err: unix.ENOENT, failures: []Failure{failed(tracer.Load, "hello", missing)}, code: SymbolMissing, says: "dep wants x"},
		"last of two":           {target: "hello", err: unix.ENOENT, failures: []Failure{failed(tracer.Load, "hello", broken), failed(tracer.Load, "hello", missing), failed(tracer.Autoload, "x", broken)}, code: SymbolMissing, says: "dep wants x"},
		"dependency":            {target: "net-pf-1", err: unix.ENOENT, failures: []Failure{{Kind: tracer.Load, Module: "dep", Cause: missing, Dependency: true}}, code: DependencyFailed, says: "net-pf-1 needs dep, which could not be loaded: symbol-missing: dep wants x"},
		"nothing of it":         {target: "nothing", err: about(kmod.ErrNotFound), code: NotFound, says: "no installed module is called nothing"},
		"no directory":          {target: "nothing", err: about(kmod.ErrNotFound), machine: gone, code: NotFound, says: "after an upgrade"},
		"modules.dep, gone":     {target: "lost", err: about(kmod.ErrNotFound), machine: files{modules + "modules.dep": "kernel/lost.ko:\n"}, code: DepmodStale, says: "kernel/lost.ko for lost, and there is no such file"},
		"modules.dep, unlisted": {target: "fresh", err: about(kmod.ErrNotFound), machine: files{modules + "extra/fresh.ko": "x"}, code: DepmodStale, says: "extra/fresh.ko is there, and modules.dep does not have it"},
		"alias of nothing":      {target: "odd", err: about(kmod.ErrNotFound), machine: files{"modprobe": modprobeScript("echo nosuch"), "etc/modprobe.d/x.conf": "alias o?d no-such\n"}, code: NotFound, says: "no installed module is called no_such, for which odd stands: "},
		"installed, empty":      {target: "own", err: &kmod.Error{Op: "load", Module: "own", Err: fmt.Errorf("%w: the file is empty", kmod.ErrNotModule)}, code: NotELF, says: "kernel/own.ko is empty"},
		"installed, directory":  {target: "own", err: &kmod.Error{Op: "load", Module: "own", Err: fmt.Errorf("%w: %w", kmod.ErrNotModule, unix.EISDIR)}, code: FileUnreadable, says: "kernel/own.ko cannot be read"},
		"installed, loop":       {target: "own", err: &kmod.Error{Op: "load", Module: "own", Err: unix.ELOOP}, code: FileUnreadable, says: "kernel/own.ko cannot be read"},
		"of a dependency":       {target: "other", err: &kmod.Error{Op: "load", Module: "giver", Err: unix.EIO}, code: FileUnreadable, says: "kernel/giver.ko cannot be read"},
		"index, empty":          {target: "own", err: about(kmod.ErrNotFound), machine: files{modules + "modules.dep.bin": ""}, code: DepmodStale, says: "modules.dep lists own, and modprobe does not find it, because its index "},
		"index, of an alias":    {target: "net-pf-8", err: about(kmod.ErrNotFound), machine: files{modules + "modules.alias": "alias net-pf-8 own\n"}, code: DepmodStale, says: "modules.alias.bin is not there"},
		"index, of its module":  {target: "net-pf-8", err: about(kmod.ErrNotFound), machine: files{modules + "modules.alias": "alias net-pf-8 own\n", modules + "modules.alias.bin": goodIndex, modules + "modules.dep.bin": "text of 12 bytes"}, code: DepmodStale, says: "modules.dep.bin is not an index"},
		"index of others":       {target: "own", err: about(kmod.ErrNotFound), machine: files{modules + "modules.symbols.bin": ""}, code: NotFound, says: "no installed module is called own"},
		"index, and not listed": {target: "nothing", err: about(kmod.ErrNotFound), machine: files{modules + "modules.dep.bin": ""}, code: NotFound, says: "no installed module is called nothing"},
		"modules.dep, of a dependency": {target: "own", err: &kmod.Error{Op: "load", Module: "lost", Err: kmod.ErrNotFound}, machine: files{modules + "modules.dep": "kernel/own.ko: kernel/lost.ko\nkernel/lost.ko:\n"}, code: DepmodStale,
			says: "kernel/lost.ko for lost"},
		"called otherwise":  {target: "file-name", err: unix.ENODEV, failures: []Failure{failed(tracer.Load, "hello", missing)}, machine: otherwise, code: SymbolMissing, says: "dep wants x"},
		"no file":           {target: "./x.ko", err: about(fmt.Errorf("%w: %w", kmod.ErrNotFound, fs.ErrNotExist)), code: NotFound, says: "there is no file ./x.ko"},
		"empty file":        {target: "./x.ko", err: about(fmt.Errorf("%w: the file is empty", kmod.ErrNotModule)), code: NotELF, says: "./x.ko is empty"},
		"damaged":           {target: "./x.ko.xz", err: about(fmt.Errorf("%w: x", kmod.ErrCompression)), code: CompressionUnsupported, says: "the compression is damaged"},
		"directory":         {target: "./x.ko", err: about(fmt.Errorf("%w: %w", kmod.ErrNotModule, unix.EISDIR)), code: FileUnreadable, says: "cannot be read"},
		"built in":          {target: "inside", err: about(kmod.ErrBuiltin), code: BuiltIn, says: "inside is part of the kernel image"},
		"install command":   {target: "hello", err: about(kmod.ErrInstallCommand), machine: files{"etc/modprobe.d/x.conf": "install hello /bin/false\n"}, code: BlockedByConfig, says: `x.conf:1 says "install hello /bin/false"`},
		"install, of alias": {target: "net-pf-1", err: about(kmod.ErrInstallCommand), machine: files{"etc/modprobe.d/x.conf": "\ninstall hello /bin/false\n"}, code: BlockedByConfig, says: "x.conf:2"},
		"install, that loads": {target: "hello", err: about(kmod.ErrInstallCommand), machine: files{"etc/modprobe.d/x.conf": "install hello modprobe -i hello\ninstall hello /bin/false\n"}, code: InstallCommand,
			says: `x.conf:1 says "install hello modprobe -i hello"`},
		"install, the first counts": {target: "hello", err: about(kmod.ErrInstallCommand), machine: files{"etc/modprobe.d/x.conf": "install hello /bin/false\ninstall hello modprobe -i hello\n"}, code: BlockedByConfig, says: "x.conf:1"},
		"install, of a dependency": {target: "hello", err: &kmod.Error{Op: "load", Module: "dep", Err: &kmod.InstallError{Command: "/bin/false", Dependency: true}},
			machine: files{"etc/modprobe.d/x.conf": "\ninstall dep /bin/false\n"}, code: DependencyFailed, says: `hello needs dep, which could not be loaded: blocked-by-config: the configuration of modprobe keeps dep out: `},
		"install, of a dependency, that loads": {target: "hello", err: &kmod.Error{Op: "load", Module: "dep", Err: &kmod.InstallError{Command: "modprobe -i dep", Dependency: true}},
			machine: files{"etc/modprobe.d/x.conf": "install dep modprobe -i dep\n"}, code: DependencyFailed, says: "install-command: modprobe runs a command instead of loading dep"},
		"install, of something it needs": {target: "hello", err: &kmod.Error{Op: "load", Err: &kmod.InstallError{Command: "/bin/x", Dependency: true}}, code: InstallCommand, says: "a module that hello needs, and does not say which: /bin/x"},
		"blacklisted, alias":             {target: "net-pf-1", err: about(kmod.ErrNotFound), machine: files{"etc/modprobe.d/x.conf": "blacklist hello\n"}, code: BlockedByConfig, says: "keeps net-pf-1 out"},
		"negative refcount":              {target: "hello", err: about(&kmod.RefcountError{Count: -1}), code: RefcountNegative, says: "the kernel counts -1 references to hello"},
		"negative, later": {target: "hello", err: about(&kmod.RefcountError{Count: -1}), failures: []Failure{failed(tracer.Unload, "hello", broken)},
			code: RefcountNegative, says: "-1 references"},
		"unread refcount": {target: "hello", err: about(fmt.Errorf("%w: no such file", kmod.ErrUnreadRefcount)), code: RefcountUnread, says: "could not be counted"},
		"something else":  {target: "hello", err: errors.New("exec: no modprobe"), code: Unknown, says: "does not say why"},
	}
}

func TestOfAttempt(t *testing.T) {
	for name, c := range attempts() {
		t.Run(name, func(t *testing.T) {
			got := OfAttempt(t.Context(), ordinary().with(c.machine).open(t), c.target, c.err, c.failures)
			checkCause(t, got, c.code, c.says)
			if (got.Inner != nil) != (c.code == DependencyFailed) {
				t.Errorf("inner: %v", got.Inner)
			}
		})
	}
}
