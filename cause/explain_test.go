package cause

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// explained is a row: what was seen of an attempt, and what must be said of it.
type explained struct {
	tracer.Action        // what is left out is as attempt.complete has it
	machine       files  // on ordinary; nil for that
	bare          bool   // machine is all that there is
	data          []byte // of the file; hello's if nil
	pending       bool   // it did not end
	code          Code
	says          string
	remaining     []Code // of Unknown
}

// complete adds what is the same for all, and writes the file.
func (e *explained) complete(t *testing.T) tracer.Action {
	t.Helper()
	a := e.Action
	a.Thread = tracer.Thread{TID: 41, PID: 41, Comm: "insmod", Start: a.Thread.Start}
	if a.Kind == 0 {
		a.Kind = tracer.Load
	}
	if a.Module == "" {
		a.Module, a.NameFrom = "hello", tracer.NameKernel
	}
	if !e.pending && a.Outcome == tracer.Pending {
		a.Outcome = tracer.Failed
	}
	if a.Errno != 0 {
		a.ErrnoName = tracer.ErrnoName(a.Errno)
	}
	switch a.Kind {
	case tracer.Autoload:
		if a.Request == nil {
			a.Request = &tracer.Request{Name: a.Module, Wait: true}
		}
		return a
	case tracer.Unload:
		if a.Call == nil {
			a.Call = &tracer.Enter{Call: tracer.DeleteModule, Capable: true}
		}
		return a
	}
	if a.Call == nil && !a.Partial {
		a.Call = &tracer.Enter{Call: tracer.FinitModule, Capable: true}
	}
	data := e.data
	if data == nil {
		data = hello().Bytes()
	}
	if a.File == nil && (a.Call == nil || a.Call.Call == tracer.FinitModule) {
		a.File = loaded(t, file(t, "hello.ko", data))
	}
	if a.Image == nil && a.Stage >= tracer.StageVerify {
		a.Image = elfImage(len(data))
	}
	return a
}

// loaded gives a file as the kernel's event has it.
func loaded(t *testing.T, path string) *tracer.File {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return &tracer.File{
		Path: path, Device: tracer.Device{Major: unix.Major(st.Dev), Minor: unix.Minor(st.Dev)}, Inode: st.Ino, Size: uint64(st.Size),
		Mode: st.Mode, ChangeTimeNS: st.Ctim.Nano(),
	}
}

func elfImage(size int) *tracer.Image {
	return &tracer.Image{Size: uint64(size), Format: tracer.FormatELF, Bits: 64, Type: 1, Machine: 62}
}

func said(lines ...string) []string { return lines }

func failing(stage tracer.Stage, errno unix.Errno, messages ...string) tracer.Action {
	return tracer.Action{Stage: stage, Errno: errno, Messages: messages}
}

// also changes an action.
func also(a tracer.Action, change func(*tracer.Action)) tracer.Action {
	change(&a)
	return a
}

// chained has the chain of module notifiers refuse: functions, each with the module that it is of; … for
// those that were not reported.
func chained(errno unix.Errno, functions ...string) func(*tracer.Action) {
	return func(a *tracer.Action) {
		for i, text := range functions {
			function, module, _ := strings.Cut(text, " ")
			if function == "…" {
				a.Callbacks[i-1].Cut = true
				continue
			}
			a.Callbacks = append(a.Callbacks, tracer.Callback{Errno: errno, Index: uint32(i), Address: 1, Function: function, Module: module})
		}
	}
}

// tenSecondsAfterStart has the process begin ten seconds before, at second 2 of the audit records' time.
func tenSecondsAfterStart(a *tracer.Action) {
	a.Time = time.Unix(1700000012, 0)
	a.Start, a.Thread.Start = 30*time.Second, 20*time.Second
}

const (
	audited    = "var/log/audit/audit.log"
	activeLSMs = "sys/kernel/security/lsm"
)

func apparmorDenied(second, capability int, what string) string {
	return fmt.Sprintf("type=AVC msg=audit(%d.500:7): apparmor=\"%s\" operation=\"capable\" profile=\"p\" pid=41 comm=\"insmod\" capability=%d  capname=\"c\"\n", 1700000000+second, what, capability)
}

func signedImage(a *tracer.Action) { a.Image = elfImage(1000); a.Image.Signed = true }

func inImage(format tracer.Format) func(*tracer.Action) {
	return func(a *tracer.Action) { a.Image = &tracer.Image{Size: 1000, Format: format} }
}

func flagged(a *tracer.Action) {
	a.Call = &tracer.Enter{Call: tracer.FinitModule, Capable: true, Flags: compressedFile}
}

func given(size uint64) func(*tracer.Action) {
	return func(a *tracer.Action) { a.Call = &tracer.Enter{Call: tracer.InitModule, Capable: true, Size: size} }
}

func result(n int64) *int64 { return &n }

// explainedLoads are attempts to load, in the kernel's order.
func explainedLoads() map[string]explained {
	const (
		read, verify, resolve = tracer.StageRead, tracer.StageVerify, tracer.StageResolve
		params, sysfs, init   = tracer.StageParams, tracer.StageSysfs, tracer.StageInit
	)
	leaving := files{"proc/modules": "dep 4096 -1 - Unloading 0x0\n", "sys/module/dep/initstate": "going\n"}
	proprietary := licensed("Proprietary", koimage.Symbol{Name: "gpl_only", CRC: 0x12}).Bytes()
	return map[string]explained{
		"no capability": {Action: also(failing(before, unix.EPERM), func(a *tracer.Action) { a.Call = &tracer.Enter{Call: tracer.FinitModule} }), code: NotPermitted, says: "insmod[41] lacks CAP_SYS_MODULE"},
		"disabled":      {Action: failing(before, unix.EPERM), machine: files{"proc/sys/kernel/modules_disabled": "1\n"}, code: ModulesDisabled, says: "until the next boot"},
		"neither":       {Action: failing(before, unix.EPERM), code: LSMDenied, says: "CAP_SYS_MODULE"},
		"confined": {Action: also(failing(before, unix.EPERM), tenSecondsAfterStart), machine: files{audited: apparmorDenied(3, 16, "DENIED") + apparmorDenied(12, 12, "DENIED")}, code: LSMDenied,
			says: `AppArmor refused insmod[41] the use of CAP_SYS_MODULE: apparmor="DENIED"`},
		"confined, of another use": {Action: also(failing(before, unix.EPERM), tenSecondsAfterStart), code: LSMDenied, says: "a security module refused insmod[41] the use of CAP_SYS_MODULE",
			machine: files{audited: apparmorDenied(3, 12, "DENIED") + apparmorDenied(3, 16, "ALLOWED") + apparmorDenied(0, 16, "DENIED"), activeLSMs: "capability,selinux,apparmor,bpf\n"}},
		"confined, one alone": {Action: failing(before, unix.EACCES), machine: files{activeLSMs: "lockdown,capability,yama,apparmor\n"}, code: LSMDenied, says: "AppArmor refused insmod[41] the use of CAP_SYS_MODULE"},
		"busy":                {Action: failing(before, unix.ETXTBSY), code: FileBusy, says: "hello.ko is open for writing"},
		"empty file":          {Action: failing(read, unix.EINVAL), data: []byte{}, code: NotELF, says: "hello.ko is empty"},
		"empty image":         {Action: also(failing(before, unix.ENOEXEC), given(0)), code: NotELF, says: "the image is empty"},
		"short image":         {Action: also(failing(before, unix.ENOEXEC), given(63)), code: NotELF, says: "fewer than an ELF header"},
		"no decompressor":     {Action: also(failing(read, unix.EOPNOTSUPP), flagged), code: CompressionUnsupported, says: "CONFIG_MODULE_DECOMPRESS"},
		"unknown flag":        {Action: also(failing(before, unix.EINVAL), flagged), code: CompressionUnsupported, says: "from 5.17 on"},
		"closed":              {Action: also(failing(before, unix.EBADF), func(a *tracer.Action) { a.File = &tracer.File{} }), code: FileUnreadable, says: "descriptor"},
		"directory":           {Action: also(failing(read, unix.EISDIR), func(a *tracer.Action) { a.File = &tracer.File{Path: "/", Size: 1} }), code: FileUnreadable, says: "EISDIR"},
		"pipe":                {Action: also(failing(read, unix.EINVAL), func(a *tracer.Action) { a.File = &tracer.File{Path: "/pipe:", FSMagic: 0x50495045, Size: 1} }), code: BadCall, says: "insmod[41] passed a descriptor of a pipe"},
		"socket":              {Action: also(failing(before, unix.EINVAL), func(a *tracer.Action) { a.File = &tracer.File{Path: "/", FSMagic: 0x534f434b, Mode: 0xc1ff} }), code: BadCall, says: "of a socket"},
		"eventfd":             {Action: also(failing(read, unix.EINVAL), func(a *tracer.Action) { a.File = &tracer.File{Path: "/", FSMagic: 0x09041934, Mode: 0o600} }), code: BadCall, says: "of an anonymous file"},
		"flags":               {Action: also(failing(before, unix.EINVAL), called(tracer.Enter{Call: tracer.FinitModule, Capable: true, Flags: 0x105})), code: BadCall, says: "passed the flags 0x105, of which finit_module does not have 0x100"},
		"image pointer":       {Action: also(failing(before, unix.EFAULT), called(tracer.Enter{Call: tracer.InitModule, Capable: true, Size: 70000})), code: BadCall, says: "could not read 70000 bytes"},
		"params pointer":      {Action: also(failing(tracer.StageFinalize, unix.EFAULT), called(tracer.Enter{Call: tracer.FinitModule, Capable: true, TextUnreadable: true})), code: BadCall, says: "pointer for the parameters"},
		"params, read":        {Action: also(failing(tracer.StageFinalize, unix.EFAULT), called(tracer.Enter{Call: tracer.FinitModule, Capable: true})), code: Unknown},

		"LSM at a door": {Action: also(failing(read, unix.EACCES), func(a *tracer.Action) { a.Denial = &tracer.Denial{Door: tracer.LoadData, Errno: unix.EACCES} }), code: LSMDenied, says: "kernel_load_data"},
		"LSM, any errno": {Action: also(failing(read, unix.ENOANO), func(a *tracer.Action) {
			a.Denial = &tracer.Denial{Door: tracer.PostReadFile, Errno: unix.ENOANO}
		}), code: LSMDenied, says: "kernel_post_read_file"},
		"LSM unseen":             {Action: failing(read, unix.EACCES), code: LSMDenied, says: "refused"},
		"decompression":          {Action: also(failing(read, unix.EINVAL, "decompression failed with status -3"), flagged), code: CompressionUnsupported, says: "(decompression failed with status -3)"},
		"decompression in xz":    {Action: also(failing(read, unix.EINVAL, "not an xz compressed module"), flagged), code: CompressionUnsupported, says: "(not an xz compressed module)"},
		"compressed as it is":    {Action: also(failing(verify, unix.ENOEXEC), inImage(tracer.FormatXz)), code: CompressionUnsupported, says: "compressed by xz"},
		"compressed, with words": {Action: also(failing(verify, unix.ENOEXEC, "Module has invalid ELF structures"), inImage(tracer.FormatGzip)), code: CompressionUnsupported, says: "compressed by gzip"},

		"unsigned":            {Action: failing(verify, unix.EKEYREJECTED, "Loading of unsigned module is rejected"), code: SignatureMissing, says: "no signature"},
		"unsigned, lower":     {Action: failing(verify, unix.EKEYREJECTED, "hello: loading of unsigned module is rejected"), code: SignatureMissing, says: "no signature"},
		"foreign key":         {Action: also(failing(verify, unix.EKEYREJECTED, "Loading of module with unavailable key is rejected"), signedImage), code: SignatureUnknownKey, says: "does not trust"},
		"foreign key, ENOKEY": {Action: also(failing(verify, unix.ENOKEY), signedImage), code: SignatureUnknownKey, says: "does not trust"},
		"foreign crypto":      {Action: also(failing(verify, unix.EKEYREJECTED, "Loading of module with unsupported crypto is rejected"), signedImage), code: SignatureUnsupported, says: "cannot check"},
		"signed attributes":   {Action: also(failing(verify, unix.EKEYREJECTED, "PKCS7: Invalid module sig (has authattrs)"), signedImage), code: SignatureForm, says: "does not accept for modules: has authattrs"},
		"signed otherwise":    {Action: also(failing(verify, unix.EKEYREJECTED, "PKCS7: Message signed outside of X.509 validity window"), signedImage), code: SignatureForm, says: "validity window"},
		"changed":             {Action: also(failing(verify, unix.EKEYREJECTED), signedImage), code: SignatureMismatch, says: "changed after signing"},
		"damaged signature":   {Action: also(failing(verify, unix.EBADMSG), signedImage), code: SignatureUnreadable, says: "is damaged"},
		"lockdown, in words":  {Action: failing(verify, unix.EPERM, "Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7"), code: Lockdown, says: "lockdown"},
		"lockdown, silent":    {Action: failing(verify, unix.EPERM), machine: files{"sys/kernel/security/lockdown": "none [integrity] confidentiality\n"}, code: Lockdown, says: "(mode integrity)"},

		"text file":         {Action: also(failing(verify, unix.ENOEXEC, `Invalid ELF header magic: != \x7fELF`), inImage(tracer.FormatUnknown)), code: NotELF, says: "not an ELF file"},
		"text file, 5.10":   {Action: also(failing(verify, unix.ENOEXEC, "Module has invalid ELF structures"), inImage(tracer.FormatUnknown)), code: NotELF, says: "not an ELF file"},
		"arm64":             {Action: also(failing(verify, unix.ENOEXEC, "Invalid architecture in ELF header: 183"), func(a *tracer.Action) { a.Image = elfImage(1000); a.Image.Machine = 183 }), code: WrongArchitecture, says: "built for aarch64, and this kernel runs on x86-64"},
		"arm64, 5.10":       {Action: also(failing(verify, unix.ENOEXEC), func(a *tracer.Action) { a.Image = elfImage(1000); a.Image.Machine = 183 }), code: WrongArchitecture, says: "aarch64"},
		"x32":               {Action: also(failing(verify, unix.ENOEXEC), func(a *tracer.Action) { a.Image = elfImage(1000); a.Image.Bits = 32 }), code: WrongArchitecture, says: "x86-64"},
		"blacklist":         {Action: failing(verify, unix.EPERM, "Module hello is blacklisted"), code: Blacklisted, says: "module_blacklist="},
		"blacklist, silent": {Action: failing(verify, unix.EPERM), machine: files{"proc/cmdline": "module_blacklist=a,hello\n"}, code: Blacklisted, says: "hello is in"},
		"layout":            {Action: failing(verify, unix.ENOEXEC, "hello: disagrees about version of symbol module_layout"), code: ModuleLayout, says: "struct module"},
		"struct": {Action: failing(verify, unix.ENOEXEC, "module hello: .gnu.linkonce.this_module section size must match the kernel's built struct module size at run time"), data: larger().Bytes(), code: ModuleLayout,
			says: `built for "` + strings.TrimSpace(vermagic) + `", a kernel with another struct module (128 bytes, where this kernel's has 64)`},
		"struct, file is gone": {Action: also(failing(verify, unix.ENOEXEC, "module hello: .gnu.linkonce.this_module section size must match the kernel's built struct module size at run time"), func(a *tracer.Action) { a.File = &tracer.File{Path: "/x", Deleted: true} }), code: ModuleLayout,
			says: "hello was built for a kernel with another struct module"},
		"struct, twice":             {Action: failing(verify, unix.ENOEXEC, "module hello: Only one .gnu.linkonce.this_module section must exist."), code: ELFDamaged, says: "must exist"},
		"vermagic":                  {Action: failing(verify, unix.ENOEXEC, "hello: version magic '6.1.0 SMP ' should be '6.12.0 SMP '"), code: Vermagic, says: `built for kernel "6.1.0 SMP "`},
		"vermagic, after a warning": {Action: failing(verify, unix.ENOEXEC, "hello: no symbol version for module_layout", "hello: version magic '6.1.0 SMP ' should be '6.12.0 SMP '"), code: Vermagic, says: "6.1.0"},
		"cut":                       {Action: failing(verify, unix.ENOEXEC, "hello.ko: Module len 7 truncated"), code: ELFDamaged, says: "Module len 7 truncated"},
		"cut, 5.10":                 {Action: failing(verify, unix.ENOEXEC, "Module has invalid ELF structures"), code: ELFDamaged, says: "invalid ELF structures"},
		"cut, section":              {Action: failing(verify, unix.ENOEXEC, "Invalid ELF section in module (section 3 type 1)"), code: ELFDamaged, says: "section 3"},
		"cut, silent":               {Action: failing(verify, unix.ENOEXEC), data: hello().Bytes()[:500], code: ELFDamaged, says: "cut short"},
		"relocation":                {Action: failing(tracer.StageRelocate, unix.ENOEXEC, "hello: Unknown rela relocation: 99"), code: ELFDamaged, says: "99"},
		"program":                   {Action: also(failing(verify, unix.ENOEXEC), func(a *tracer.Action) { a.Image = elfImage(1000); a.Image.Type = 2 }), code: ELFDamaged, says: "another kind"},
		"rival":                     {Action: also(failing(verify, unix.EEXIST), func(a *tracer.Action) { a.Rival = 7 }), code: LoadingElsewhere, says: "another load of hello"},
		"rival, EBUSY":              {Action: also(failing(before, unix.EBUSY), func(a *tracer.Action) { a.Rival = 7 }), code: LoadingElsewhere, says: "another load of hello"},
		"loaded": {Action: also(failing(verify, unix.EEXIST), func(a *tracer.Action) {
			a.Lookup = &tracer.Lookup{Name: "hello", Found: true, State: tracer.StateLive}
		}), code: AlreadyLoaded, says: "hello is loaded already"},

		"outdated":                  {Action: failing(resolve, unix.ENOENT, "hello: Unknown symbol dep_more (err -2)"), data: wanting(koimage.Symbol{Name: "dep_more", CRC: 0x22}).Bytes(), machine: replacedDep(), code: DependencyOutdated, says: "wants dep_more as the installed dep exports it, and another build of dep is loaded"},
		"outdated, version":         {Action: failing(resolve, unix.EINVAL, "hello: disagrees about version of symbol dep_gives"), data: mixture("dep_gives").Bytes(), machine: replacedDep(), code: DependencyOutdated, says: "wants dep_gives as"},
		"outdated, and no help":     {Action: failing(resolve, unix.EINVAL, "hello: disagrees about version of symbol dep_gives"), data: wanting(koimage.Symbol{Name: "dep_gives", CRC: 0x99}).Bytes(), machine: replacedDep(), code: SymbolVersion, says: "another version of dep_gives"},
		"the same build":            {Action: failing(resolve, unix.ENOENT, "hello: Unknown symbol dep_more (err -2)"), data: wanting(koimage.Symbol{Name: "dep_more", CRC: 0x22}).Bytes(), machine: replacedDep().with(files{"sys/module/dep/srcversion": "NEW\n"}), code: SymbolMissing, says: "wants dep_more"},
		"GPL only":                  {Action: failing(resolve, unix.ENOENT, "hello: Unknown symbol gpl_only (err -2)"), data: proprietary, code: SymbolGPLOnly, says: `wants gpl_only, which the kernel exports only to GPL-compatible modules; its licence is "Proprietary"`},
		"GPL only, file is gone":    {Action: also(failing(resolve, unix.ENOENT, "hello: module license 'Proprietary' taints kernel.", "hello: Unknown symbol gpl_only (err -2)"), func(a *tracer.Action) { a.File = &tracer.File{Path: "/x", Deleted: true} }), code: SymbolGPLOnly, says: `"Proprietary"`},
		"both":                      {Action: failing(resolve, unix.ENOENT, "hello: module using GPL-only symbols uses symbols dep_gives from proprietary module dep.", "hello: Unknown symbol dep_gives (err -2)"), data: mixture("gpl_only", "dep_gives").Bytes(), code: SymbolProprietary, says: "for GPL-compatible modules only (gpl_only), and dep_gives of dep, which is proprietary"},
		"both, 5.10":                {Action: failing(resolve, unix.ENOENT, "hello: module using GPL-only symbols uses symbols from proprietary module dep.", "hello: Unknown symbol dep_gives (err -2)"), data: mixture("gpl_only", "dep_gives").Bytes(), code: SymbolProprietary, says: "for GPL-compatible modules only (gpl_only), and dep_gives of dep, which is proprietary"},
		"both, 5.10, the other way": {Action: failing(resolve, unix.ENOENT, "hello: module uses symbols from proprietary module dep, inheriting taint.", "hello: Unknown symbol gpl_only (err -2)"), code: SymbolProprietary, says: "for GPL-compatible modules only (gpl_only), and dep, which is proprietary"},
		"both, the other way":       {Action: failing(resolve, unix.ENOENT, "hello: module uses symbols dep_gives from proprietary module dep, inheriting taint.", "hello: Unknown symbol gpl_only (err -2)"), code: SymbolProprietary, says: "for GPL-compatible modules only (gpl_only), and dep_gives of dep, which is proprietary"},
		"inherited, and missing":    {Action: failing(resolve, unix.ENOENT, "hello: module uses symbols dep_gives from proprietary module dep, inheriting taint.", "hello: Unknown symbol nothing (err -2)"), code: SymbolMissing, says: "wants nothing"},
		"owner leaves":              {Action: failing(resolve, unix.ENOENT, "hello: Unknown symbol dep_gives (err -2)"), machine: leaving, code: DependencyLeaving, says: "wants dep_gives, which dep exports: it is being unloaded"},
		"missing":                   {Action: failing(resolve, unix.ENOENT, "hello: Unknown symbol nothing (err -2)"), code: SymbolMissing, says: "wants nothing, which nothing in this kernel exports"},
		"missing, to be had":        {Action: failing(resolve, unix.ENOENT, "hello: Unknown symbol given (err -2)"), code: SymbolMissing, says: "exports; giver would"},
		"missing, proprietary":      {Action: failing(resolve, unix.ENOENT, "hello: Unknown symbol nothing (err -2)"), data: proprietary, code: SymbolMissing, says: "wants nothing"},
		"namespace":                 {Action: failing(resolve, unix.EINVAL, "hello: module uses symbol (spaced) from namespace SPACE, but does not import it.", "hello: Unknown symbol spaced (err -22)"), code: SymbolNamespace, says: "uses spaced of the namespace SPACE"},
		"namespace, bare":           {Action: failing(resolve, unix.EINVAL, "module hello uses symbol spaced from namespace SPACE, but does not import it."), code: SymbolNamespace, says: "uses spaced of the namespace SPACE"},
		"version":                   {Action: failing(resolve, unix.EINVAL, "hello: disagrees about version of symbol free", "hello: Unknown symbol free (err -22)"), data: changed(func(m *koimage.Module) { m.Imports[1].CRC = 0x99 }).Bytes(), code: SymbolVersion, says: "another version of free (0x00000099, where this kernel has 0x00000011)"},
		"namespace of some modules": {Action: failing(resolve, unix.EINVAL, "hello: module uses symbol strangers from namespace module:kvm-intel,helios, but does not import it."), code: SymbolNamespace, says: "namespace module:kvm-intel,helios"},
		"version, after a warning":  {Action: failing(resolve, unix.EINVAL, "hello: no symbol version for spaced", "hello: disagrees about version of symbol free"), code: SymbolVersion, says: "another version of free"},
		"wait":                      {Action: also(failing(resolve, unix.EBUSY, "hello: gave up waiting for init of module dep."), func(a *tracer.Action) { a.Took = 30 * time.Second }), code: DependencyNotReady, says: "needs dep, whose own init"},
		"wait, with a signal":       {Action: also(failing(resolve, unix.EBUSY, "hello: gave up waiting for init of module dep."), func(a *tracer.Action) { a.Took = time.Second }), code: Interrupted, says: "waited for the init of dep"},
		"duplicate":                 {Action: failing(tracer.StageFinalize, unix.ENOEXEC, "hello: exports duplicate symbol free (owned by kernel)"), code: SymbolDuplicate, says: "free, which kernel exports"},

		"parameter":                   {Action: failing(params, unix.EINVAL, "hello: `abc' invalid for parameter `times'"), code: ParameterInvalid, says: `take "abc" for its parameter times (int)`},
		"parameter, 5.x":              {Action: failing(params, unix.ERANGE, "hello: 'abc' invalid for parameter 'times'"), code: ParameterInvalid, says: `take "abc" for its parameter times (int)`},
		"parameter, empty":            {Action: failing(params, unix.EINVAL, "hello: `' invalid for parameter `times'"), code: ParameterInvalid, says: `take "" for its parameter times (int)`},
		"parameter, too large":        {Action: failing(params, unix.ENOSPC, "hello: `abc' too large for parameter `whom'"), code: ParameterInvalid, says: "whom (charp)"},
		"callback of a module":        {Action: also(failing(tracer.StageFinalize, unix.EPERM), chained(unix.EPERM, "bpf_event_notify", "btf_module_notify", "guard_notify guard", "trace_module_notify")), code: NotifierRefused, says: "guard_notify of guard refused hello when it was complete, with EPERM"},
		"callback without a name":     {Action: also(failing(tracer.StageFinalize, unix.EPERM), chained(unix.EPERM, "btf_module_notify", " guard")), code: NotifierRefused, says: "a callback of guard refused hello"},
		"callbacks of two modules":    {Action: also(failing(tracer.StageFinalize, unix.EPERM, "hello: seen"), chained(unix.EPERM, "guard_notify guard", "watch_notify watch")), code: NotifierRefused, says: "one of guard_notify of guard, watch_notify of watch refused hello"},
		"callback of an unknown part": {Action: also(failing(tracer.StageFinalize, unix.EACCES), chained(unix.EACCES, "vendor_notify", "jump_label_module_notify")), code: NotifierRefused, says: "vendor_notify of the kernel refused"},
		"callback, no memory":         {Action: also(failing(tracer.StageFinalize, unix.ENOMEM), chained(unix.ENOMEM, "jump_label_module_notify", "trace_module_notify")), code: NoMemory, says: "no memory"},
		"callback, ENOMEM":            {Action: also(failing(tracer.StageFinalize, unix.ENOMEM), chained(unix.ENOMEM, "jump_label_module_notify", "srcu_module_notify", "bpf_event_notify", "guard_notify guard")), code: NotifierRefused, says: "another part of the kernel refused hello"},
		"callbacks, cut":              {Action: also(failing(tracer.StageFinalize, unix.EPERM), chained(unix.EPERM, "guard_notify guard", "…")), code: NotifierRefused, says: "another part of the kernel refused hello"},
		"livepatch, kept out":         {Action: failing(tracer.StageFinalize, unix.EINVAL, "livepatch: symbol 'x' not found in symbol table", "livepatch: patch 'lp' failed for module 'hello', refusing to load module 'hello'"), code: LivepatchMismatch, says: "the livepatch lp does not fit hello, and keeps it out: symbol 'x' not found"},
		"livepatch":                   {Action: also(failing(init, unix.EINVAL, "livepatch: symbol 'x' not found in symbol table"), func(a *tracer.Action) { a.InitResult = result(-22) }), code: LivepatchMismatch, says: "does not fit this kernel: symbol 'x' not found"},
		"livepatch, no livepatches":   {Action: failing(verify, unix.ENOEXEC, "hello: module is marked as livepatch module, but livepatch support is disabled"), code: LivepatchUnsupported, says: "CONFIG_LIVEPATCH"},
		"types":                       {Action: failing(tracer.StageFinalize, unix.EINVAL, "failed to validate module [hello] BTF: -22"), code: BTFInvalid, says: "(BTF) of hello is not valid in this kernel (EINVAL)"},
		"refused, and cleaned up": {Action: also(failing(init, unix.EIO, "kernel: unknown", "hello: bad\n  because", "  and so", "hello: off"), func(a *tracer.Action) {
			a.InitResult = result(-5)
			a.Stages = []tracer.StageTime{{Stage: init, After: 10}}
			a.MessageTimes = []time.Duration{5, 11, 12, 13}
			a.MessageLevels = []tracer.Level{tracer.LevelCrit, tracer.LevelErr, tracer.LevelErr, tracer.LevelInfo}
		}), code: InitRefused, says: `returned EIO: "hello: bad because and so"`},
		"refused, some levels": {Action: also(failing(init, unix.EIO, "hello: first", "hello: second"), func(a *tracer.Action) {
			a.InitResult = result(-5)
			a.MessageLevels = []tracer.Level{tracer.LevelWarning}
		}), code: InitRefused, says: `"hello: first"`},
		"LSM, LoadPin": {Action: also(failing(read, unix.EPERM, "LoadPin: kernel-module old-api-denied obj=<unknown> pid=1 cmdline=\"x\""), func(a *tracer.Action) {
			a.Call = &tracer.Enter{Call: tracer.InitModule, Capable: true}
			a.Denial = &tracer.Denial{Door: tracer.LoadData, Errno: unix.EPERM}
		}), code: LSMDenied, says: "LoadPin refused bytes that came without a file (by init_module) at kernel_load_data: kernel-module old-api-denied"},
		"built in":                  {Action: failing(sysfs, unix.EINVAL, "hello: module is already loaded"), code: BuiltIn, says: "part of this kernel's image"},
		"refused":                   {Action: also(failing(init, unix.ENODEV, "hello: loading out-of-tree module taints kernel.", "hello: no such thing here"), func(a *tracer.Action) { a.InitResult = result(-19) }), code: InitRefused, says: `returned ENODEV: "hello: no such thing here"`},
		"refused, EEXIST":           {Action: also(failing(init, unix.EEXIST, "hello: there is one"), func(a *tracer.Action) { a.InitResult = result(-17) }), code: InitRefused, says: `returned EEXIST: "hello: there is one"`},
		"refused, EEXIST, 7.x":      {Action: also(failing(init, unix.EBUSY), func(a *tracer.Action) { a.InitResult = result(-17) }), code: InitRefused, says: "returned EEXIST"},
		"refused, silent":           {Action: also(failing(init, unix.ENOMEM), func(a *tracer.Action) { a.InitResult = result(-12) }), code: InitRefused, says: "returned ENOMEM"},
		"refused, with a warning":   {Action: also(failing(init, unix.ENOMEM, "hello: before", "------------[ cut here ]------------", "proc_dir_entry '/proc/hello' already registered", "WARNING: CPU: 0 PID: 1 at fs/proc/generic.c:399", "Call Trace:", "---[ end trace 0000000000000000 ]---"), func(a *tracer.Action) { a.InitResult = result(-12) }), code: InitRefused, says: "proc_dir_entry '/proc/hello' already registered"},
		"crashed":                   {Action: tracer.Action{Stage: init, Crashed: true, Messages: said("BUG: kernel NULL pointer dereference, address: 0000000000000000")}, code: InitCrashed, says: "NULL pointer"},
		"crashed, elsewhere":        {Action: tracer.Action{Stage: verify, Crashed: true, Messages: elsewhere}, code: KernelCrashed, says: "crashed in notify [other], and not in hello"},
		"crashed, setting":          {Action: tracer.Action{Stage: tracer.StageParams, Crashed: true, Messages: below}, code: InitCrashed, says: "NULL pointer"},
		"crashed, in its init":      {Action: tracer.Action{Stage: init, Crashed: true, Messages: elsewhere}, code: InitCrashed, says: "page fault"},
		"crashed, silent":           {Action: tracer.Action{Stage: init, Crashed: true}, code: InitCrashed, says: "its init crashed"},
		"memory":                    {Action: failing(tracer.StageResolve, unix.ENOMEM), code: NoMemory, says: "no memory for hello"},
		"memory, how much":          {Action: failing(verify, unix.ENOMEM, "vmap allocation for size 99999744 failed: use vmalloc=<size> to increase size"), code: NoModuleSpace, says: "bytes of memory, and the range of addresses"},
		"addresses, 6.12":           {Action: failing(verify, unix.ENOMEM, "vmalloc_node_range for size 99999744 failed: Address range restricted to 0xffffffffa0000000 - 0xffffffffff000000"), code: NoModuleSpace, says: "range of addresses"},
		"addresses, silent":         {Action: failing(verify, unix.ENOMEM), data: changed(func(m *koimage.Module) { m.Room = 2 << 30 }).Bytes(), code: NoModuleSpace, says: "hello takes 2147"},
		"per-CPU data":              {Action: failing(resolve, unix.ENOMEM, "hello: Could not allocate 12288 bytes percpu data"), code: NoModuleSpace, says: "hello has 12288 bytes of per-CPU data, and the reserve for all modules (8192 bytes)"},
		"per-CPU data, silent":      {Action: failing(resolve, unix.ENOMEM), data: changed(func(m *koimage.Module) { m.PerCPU = 8193 }).Bytes(), code: NoModuleSpace, says: "hello has 8193 bytes"},
		"per-CPU data, and less":    {Action: failing(resolve, unix.ENOMEM), data: changed(func(m *koimage.Module) { m.PerCPU = 8192 }).Bytes(), code: NoMemory, says: "no memory for hello"},
		"memory, lost":              {Action: also(failing(resolve, unix.ENOMEM), func(a *tracer.Action) { a.Lost = 1 }), code: NoMemory, says: "no memory"},
		"signal":                    {Action: failing(verify, unix.EINTR), code: Interrupted, says: "insmod[41] got a signal"},
		"signal, to be tried again": {Action: failing(read, tracer.ERESTARTSYS), code: Interrupted, says: "got a signal"},
	}
}

// What kernels print of an oops in an unload of hello: the lines that count, and some between.
var (
	// 6.12, of a module whose refcount is negative.
	inKernel = said("kernel BUG at kernel/module/main.c:692!", "Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI",
		"RIP: 0010:__do_sys_delete_module+0x304/0x330", "Call Trace:", " <TASK>", " trace_clock_x86_tsc+0x20/0x20", " ? handle_mm_fault+0x1c0/0x2c0",
		" entry_SYSCALL_64_after_hwframe+0x76/0x7e", "RIP: 0033:0x4cefc9", " </TASK>", "Modules linked in: hello(OE) other(OE)", "---[ end trace 0000000000000000 ]---")
	inExit = said("kernel BUG at hello.c:1!", "RIP: 0010:hello_exit+0x5/0x10 [hello 0011223344556677]", "Call Trace:", " __do_sys_delete_module+0x1bb/0x330", "---[ end trace 0 ]---")
	below  = said("BUG: kernel NULL pointer dereference, address: 0000000000000000", "RIP: 0010:mutex_lock+0x1d/0x30", "Call Trace:", " hello_exit+0x9/0x10 [hello]",
		" __do_sys_delete_module+0x1bb/0x330", "---[ end trace 0 ]---")
	onArm = said("Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000", "pc : mutex_lock+0x1c/0x60", "lr : hello_exit+0x14/0x1000 [hello]",
		"Call trace:", " mutex_lock+0x1c/0x60", " hello_exit+0x14/0x1000 [hello]", "---[ end trace 0 ]---")
	elsewhere = said("BUG: unable to handle page fault for address: 00000000deadbeef", "RIP: 0010:notify+0x1/0x10 [other]", "Call Trace:", " notifier_call_chain+0x59/0xc0",
		" __do_sys_delete_module+0x1bb/0x330", "---[ end trace 0 ]---")
	guessed = said("BUG: unable to handle page fault for address: 00000000deadbeef", "RIP: 0010:mutex_lock+0x1d/0x30", "Call Trace:", " ? hello_exit+0x9/0x10 [hello]",
		" __do_sys_delete_module+0x1bb/0x330", "Modules linked in: hello(OE)", "---[ end trace 0 ]---",
		"RIP: 0010:hello_exit+0x5/0x10 [hello]") // of another oops
)

// explainedUnloads are attempts to unload.
func explainedUnloads() map[string]explained {
	unload := func(errno unix.Errno, l *tracer.Lookup) tracer.Action {
		return tracer.Action{Kind: tracer.Unload, Errno: errno, Lookup: l}
	}
	refs := func(n int32) *int32 { return &n }
	found := func(state tracer.State, count int32, holders ...string) *tracer.Lookup {
		return &tracer.Lookup{Name: "hello", Found: true, State: state, HasInit: true, HasExit: true, Refs: refs(count), Holders: holders}
	}
	permanent := found(tracer.StateLive, 0)
	permanent.HasExit = false
	died := func(l *tracer.Lookup, messages ...string) tracer.Action {
		return tracer.Action{Kind: tracer.Unload, Crashed: true, Lookup: l, Messages: messages}
	}
	many := found(tracer.StateLive, 9, "a", "b")
	many.HoldersCut = true
	return map[string]explained{
		"name pointer":   {Action: tracer.Action{Kind: tracer.Unload, Errno: unix.EFAULT, Call: &tracer.Enter{Call: tracer.DeleteModule, Capable: true, TextUnreadable: true}}, code: BadCall, says: "pointer for the module's name"},
		"no capability":  {Action: also(unload(unix.EPERM, nil), func(a *tracer.Action) { a.Call = &tracer.Enter{Call: tracer.DeleteModule} }), code: NotPermitted, says: "lacks CAP_SYS_MODULE"},
		"disabled":       {Action: unload(unix.EPERM, nil), machine: files{"proc/sys/kernel/modules_disabled": "1\n"}, code: ModulesDisabled, says: "unloaded"},
		"LSM":            {Action: unload(unix.EPERM, nil), code: LSMDenied, says: "security module"},
		"not loaded":     {Action: unload(unix.ENOENT, &tracer.Lookup{Name: "hello"}), code: NotLoaded, says: "no module hello"},
		"built in":       {Action: also(unload(unix.ENOENT, nil), func(a *tracer.Action) { a.Module = "inside" }), code: BuiltIn, says: "inside is part of the kernel image"},
		"one holder":     {Action: unload(unix.EAGAIN, found(tracer.StateLive, 1, "other")), code: HeldByModules, says: "other uses hello"},
		"holders":        {Action: unload(unix.EAGAIN, many), code: HeldByModules, says: "a, b, … use hello"},
		"one reference":  {Action: unload(unix.EAGAIN, found(tracer.StateLive, 1)), code: HeldByReferences, says: "1 reference holds hello"},
		"references":     {Action: unload(unix.EAGAIN, found(tracer.StateLive, 3)), code: HeldByReferences, says: "3 references hold hello"},
		"by the file":    {Action: tracer.Action{Kind: tracer.Unload, Module: "file_name", Errno: unix.ENOENT}, machine: files{modules + "modules.dep": "kernel/file-name.ko:\n", modules + "kernel/file-name.ko": string(hello().Bytes())}, code: NotLoaded, says: "the file that is installed as file_name has the module hello"},
		"starting":       {Action: unload(unix.EBUSY, found(tracer.StateComing, 0)), code: NotLive, says: "its load is still under way"},
		"leaving":        {Action: unload(unix.EBUSY, found(tracer.StateGoing, 0)), code: NotLive, says: "an unload of it"},
		"no exit":        {Action: unload(unix.EBUSY, permanent), code: NoExit, says: "no exit function"},
		"stuck":          {Action: unload(0, found(tracer.StateLive, 0)), pending: true, code: ExitStuck, says: "has not come back for"},
		"crashed":        {Action: died(found(tracer.StateLive, 0), inExit...), code: ExitCrashed, says: "kernel BUG at hello.c:1!"},
		"crashed, below": {Action: died(found(tracer.StateLive, 0), below...), code: ExitCrashed, says: "NULL pointer"},
		"crashed, arm64": {Action: died(found(tracer.StateLive, 0), onArm...), code: ExitCrashed, says: "NULL pointer"},
		"elsewhere":      {Action: died(found(tracer.StateLive, 0), elsewhere...), code: KernelCrashed, says: "crashed in notify [other], and not in hello"},
		"guessed":        {Action: died(found(tracer.StateLive, 0), guessed...), code: KernelCrashed, says: "crashed in mutex_lock"},
		"crashed, cut":   {Action: also(died(found(tracer.StateLive, 0), inKernel[:4]...), func(a *tracer.Action) { a.MessagesDropped = 9 }), code: Unknown, remaining: []Code{ExitCrashed, KernelCrashed}},
		"crashed, mute":  {Action: died(found(tracer.StateLive, 0)), code: Unknown, remaining: []Code{ExitCrashed, KernelCrashed}},
		"below zero":     {Action: died(found(tracer.StateLive, -1), inKernel...), code: RefcountNegative, says: "counts -1 references to hello, and crashed over that: kernel BUG at kernel/module/main.c:692!"},
		"without a BUG":  {Action: unload(unix.EAGAIN, found(tracer.StateLive, -1)), code: RefcountNegative, says: "counts -1 references to hello"},
		"held, below":    {Action: unload(unix.EAGAIN, found(tracer.StateLive, -1, "other")), code: HeldByModules, says: "other uses hello"},
		"leaving, at -1": {Action: unload(unix.EBUSY, found(tracer.StateGoing, -1)), code: NotLive, says: "an unload of it"},
		"signal":         {Action: unload(unix.EINTR, nil), code: Interrupted, says: "got a signal"},
		"nothing counts": {Action: unload(unix.EAGAIN, &tracer.Lookup{Name: "hello", Found: true}), code: Unknown, remaining: []Code{HeldByModules, HeldByReferences}},
		"lookup unseen":  {Action: unload(unix.EBUSY, nil), code: Unknown, remaining: []Code{NotLive, NoExit}},
	}
}

// called gives an attempt that call.
func called(call tracer.Enter) func(*tracer.Action) {
	return func(a *tracer.Action) { a.Call = &call }
}

// explainedRequests are the kernel's own requests.
func explainedRequests() map[string]explained {
	request := func(name string, errno unix.Errno, change func(*tracer.Action)) tracer.Action {
		a := tracer.Action{Kind: tracer.Autoload, Module: name, Errno: errno, Request: &tracer.Request{Name: name, Wait: true}}
		if change != nil {
			change(&a)
		}
		return a
	}
	exited := func(a *tracer.Action) { a.HelperStatus = result(256) }
	ended := func(status int64) func(*tracer.Action) {
		return func(a *tracer.Action) { a.HelperStatus = result(status) }
	}
	otherHelper := files{"proc/sys/kernel/modprobe": "/opt/load\n", "opt/load": "#!/bin/sh\nexit 1\n"}
	refused := func(a *tracer.Action) { a.Request.Refused = true }
	denied := func(a *tracer.Action) { a.Request.Denied = true }
	blocked := files{"etc/modprobe.d/x.conf": "# why\nblacklist hello\n"}
	return map[string]explained{
		"denied":                    {Action: request("net-pf-1", unix.EACCES, denied), code: RequestDenied, says: "SELinux refused the request for net-pf-1"},
		"denied, by one of several": {Action: request("net-pf-1", unix.EACCES, denied), machine: files{activeLSMs: "selinux,bpf\n"}, code: RequestDenied, says: "a security module refused the request for net-pf-1"},
		"busy":                      {Action: request("net-pf-1", unix.ETIME, refused), code: HelperBusy, says: "waited in vain"},
		"signal":                    {Action: request("net-pf-1", unix.EINTR, nil), code: Interrupted, says: "waited for net-pf-1"},
		"no helper":                 {Action: request("net-pf-1", unix.ENOENT, refused), machine: files{"proc/sys/kernel/modprobe": "\n"}, code: HelperMissing, says: "kernel.modprobe is empty"},
		"wrong helper":              {Action: request("net-pf-1", unix.ENOENT, nil), code: HelperMissing, says: "/sbin/modprobe, cannot be run (ENOENT)"},
		"nothing":                   {Action: request("net-pf-99", 0, exited), code: NothingProvides, says: "no installed module answers to net-pf-99"},
		"no directory": {Action: request("net-pf-99", 0, exited), machine: files{
			"boot/config-" + release: "", "modprobe": modprobeScript("no"), modules + "build/Module.symvers": gone, modules + "modules.builtin": gone, modules + "modules.dep": gone,
			modules + "modules.symbols": gone, modules + "kernel/own.ko": gone, modules + "kernel/dep.ko": gone, modules + "kernel/giver.ko": gone, modules + "modules.dep.bin": gone, modules + "modules.symbols.bin": gone, modules + "modules.builtin.bin": gone,
		}, code: NothingProvides, says: "is not there"},
		"blacklisted":            {Action: request("net-pf-1", 0, exited), machine: blocked, code: BlockedByConfig, says: "x.conf:2"},
		"one of two blacklisted": {Action: request("pair", 0, exited), machine: blocked, code: Unknown},
		"install command, of what it needs": {Action: request("net-pf-1", 0, func(a *tracer.Action) { a.HelperStatus = result(1 << 8); a.Outcome = tracer.Answered }),
			machine: files{"etc/modprobe.d/x.conf": "install giver /bin/false\n", modules + "modules.dep": "kernel/hello.ko: kernel/dep.ko kernel/giver.ko\nkernel/dep.ko:\nkernel/giver.ko:\n"}, code: BlockedByConfig, says: "blocks giver, which hello needs (for net-pf-1): "},
		"install command of what it needs, and loaded": {Action: request("net-pf-1", 0, func(a *tracer.Action) { a.HelperStatus = result(1 << 8); a.Outcome = tracer.Answered }),
			machine: files{"etc/modprobe.d/x.conf": "install dep /bin/false\n", modules + "modules.dep": "kernel/hello.ko: kernel/dep.ko\nkernel/dep.ko:\n", modules + "kernel/hello.ko": "x"}, code: HelperFailed, says: "exited with status 1"},
		"blacklisted, of what it needs": {Action: request("net-pf-1", 0, func(a *tracer.Action) { a.HelperStatus = result(1 << 8); a.Outcome = tracer.Answered }),
			machine: files{"etc/modprobe.d/x.conf": "blacklist giver\n", modules + "modules.dep": "kernel/hello.ko: kernel/giver.ko\nkernel/giver.ko:\n", modules + "kernel/hello.ko": "x"}, code: HelperFailed, says: "exited with status 1"},
		"install command":        {Action: request("hello", 0, func(a *tracer.Action) { a.HelperStatus = result(0); a.Outcome = tracer.Answered }), machine: files{"etc/modprobe.d/x.conf": "install hello /bin/true\n"}, code: BlockedByConfig, says: "x.conf:1"},
		"command that refuses":   {Action: request("hello", 0, exited), machine: files{"etc/modprobe.d/x.conf": "install hello /bin/sh -c 'exit 1'\n"}, code: BlockedByConfig, says: "x.conf:1"},
		"helper killed":          {Action: request("net-pf-1", 0, ended(9)), code: HelperFailed, says: "kernel, /sbin/modprobe, was killed by SIGKILL"},
		"helper dumped core":     {Action: request("net-pf-99", 0, ended(0x80|11)), code: HelperFailed, says: "was killed by SIGSEGV"},
		"helper of real time":    {Action: request("net-pf-1", 0, ended(40)), code: HelperFailed, says: "was killed by signal 40"},
		"helper killed, no name": {Action: request("net-pf-1", 0, ended(9)), machine: files{"proc/sys/kernel/modprobe": gone}, code: HelperFailed, says: "for the kernel was killed"},
		"another program":        {Action: request("net-pf-1", 0, ended(256)), machine: otherHelper, code: HelperFailed, says: "/opt/load, exited with status 1; it is not the system's modprobe, /"},
		"another, odd status":    {Action: request("net-pf-99", 0, ended(7<<8)), machine: otherHelper, code: HelperFailed, says: "/opt/load, exited with status 7; it is not the system's"},
		"another, which says 0":  {Action: request("net-pf-1", 0, func(a *tracer.Action) { ended(0)(a); a.Outcome = tracer.Answered }), machine: otherHelper, code: HelperFailed, says: "exited with status 0; it is not"},
		"another, nothing there": {Action: request("net-pf-99", 0, ended(256)), machine: otherHelper, code: NothingProvides, says: "net-pf-99"},
		"modprobe by itself":     {Action: request("net-pf-1", 0, ended(256)), machine: files{"proc/sys/kernel/modprobe": "/modprobe\n"}, code: HelperFailed, says: "/modprobe, exited with status 1"},
		"modprobe, 127":          {Action: request("net-pf-1", 0, ended(127<<8)), code: HelperFailed, says: "exited with status 127"},
		"modprobe, events lost":  {Action: request("net-pf-1", 0, func(a *tracer.Action) { ended(256)(a); a.Lost = 1 }), code: Unknown},
		"modprobe, empty file":   {Action: request("own", 0, ended(256)), machine: files{"modprobe": modprobeScript("echo own"), modules + "kernel/own.ko": ""}, code: FileUnreadable, says: "kernel/own.ko, which modprobe takes for own, is empty"},
		"alias of nothing":       {Action: request("net-pf-8", 0, ended(256)), machine: files{"modprobe": modprobeScript("echo nosuch"), "etc/modprobe.d/x.conf": "alias net-pf-8 nosuch\n"}, code: NothingProvides, says: "net-pf-8: it stands for nosuch, by "},
		"alias off":              {Action: request("net-pf-8", 0, ended(256)), machine: files{"modprobe": modprobeScript("echo off"), "etc/modprobe.d/x.conf": "alias net-pf-8 off\n"}, code: BlockedByConfig, says: "x.conf:1"},
		"modprobe, no index":     {Action: request("own", 0, ended(256)), machine: files{modules + "modules.dep.bin": gone}, code: DepmodStale, says: "modules.dep.bin is not there"},
		"modprobe, alias index":  {Action: request("net-pf-8", 0, ended(256)), machine: files{modules + "modules.alias": "alias net-pf-8 own\n", modules + "modules.alias.bin": goodIndex[:4]}, code: DepmodStale, says: "modules.alias.bin is cut short"},
		"modprobe, its index":    {Action: request("net-pf-1", 0, ended(256)), machine: files{modules + "modules.dep": "kernel/hello.ko:\n", modules + "kernel/hello.ko": "x", modules + "modules.dep.bin": ""}, code: DepmodStale, says: "modules.dep lists hello, and modprobe does not find it"},
		"modprobe, no file":      {Action: request("own", 0, ended(256)), machine: files{"modprobe": modprobeScript("echo own"), modules + "kernel/own.ko": gone}, code: DepmodStale, says: "modules.dep names"},
		"modprobe is silent":     {Action: request("net-pf-1", 0, exited), machine: files{"modprobe": modprobeScript("exit 3")}, code: Unknown, remaining: []Code{BlockedByConfig, NothingProvides, HelperFailed}},
	}
}

func TestExplain(t *testing.T) {
	for kind, rows := range map[string]map[string]explained{
		"load": explainedLoads(), "unload": explainedUnloads(), "request": explainedRequests(), "honest": honest(),
	} {
		for name, e := range rows {
			t.Run(kind+"/"+name, func(t *testing.T) {
				machine := ordinary().with(e.machine)
				if e.bare {
					machine = e.machine
				}
				x := NewExplainer(machine.open(t), &Options{Recorded: e.Kind == tracer.Unload && !e.pending})
				got := x.Explain(t.Context(), e.complete(t))
				checkCause(t, got.Cause, e.code, e.says)
				if diff := cmp.Diff(e.remaining, got.Cause.Remaining); diff != "" {
					t.Errorf("remaining: %s\n%s", diff, got.Cause)
				}
			})
		}
	}
}

// honest are attempts of which something that decides was not seen: no cause may be
// claimed for them.
func honest() map[string]explained {
	const verify, resolve = tracer.StageVerify, tracer.StageResolve
	lost := func(a *tracer.Action) { a.Lost = 1 }
	dropped := func(a *tracer.Action) { a.MessagesDropped = 1 }
	shared := func(a *tracer.Action) { a.SharedWith = 99 }
	partial := func(a *tracer.Action) { a.Partial = true; a.Call = nil }
	deleted := func(a *tracer.Action) { a.File = &tracer.File{Path: "/x/hello.ko", Deleted: true, Size: 1} }
	smaller := func(a *tracer.Action) { a.File = &tracer.File{Path: "/dev/null", Size: 1} }
	signatures := []Code{SignatureMissing, SignatureUnknownKey, SignatureUnsupported, SignatureForm, SignatureMismatch}
	symbols := []Code{SymbolGPLOnly, DependencyLeaving, SymbolMissing}
	unheard := append([]Code{SymbolProprietary}, symbols...)
	unknownSymbol := failing(resolve, unix.ENOENT, "hello: Unknown symbol elsewhere (err -2)")
	return map[string]explained{
		"EKEYREJECTED, messages lost":    {Action: also(also(failing(verify, unix.EKEYREJECTED), signedImage), lost), code: Unknown, remaining: signatures},
		"EKEYREJECTED, messages dropped": {Action: also(also(failing(verify, unix.EKEYREJECTED), signedImage), dropped), code: Unknown, remaining: signatures},
		"ENOENT, messages lost":          {Action: also(failing(resolve, unix.ENOENT), lost), code: Unknown, remaining: append([]Code{SymbolProprietary, DependencyOutdated}, symbols...)},
		"ENOENT, no words":               {Action: failing(resolve, unix.ENOENT), code: Unknown, remaining: unheard},
		"ENOENT, no privilege":           {Action: unknownSymbol, machine: unprivileged(), bare: true, data: licensed("Proprietary", koimage.Symbol{Name: "elsewhere"}).Bytes(), code: Unknown, remaining: symbols},
		"ENOENT, file gone":              {Action: also(unknownSymbol, deleted), machine: unprivileged(), bare: true, code: Unknown, remaining: symbols},
		"ENOENT, file changed":           {Action: also(unknownSymbol, smaller), machine: unprivileged(), bare: true, code: Unknown, remaining: symbols},
		"EINVAL, messages lost":          {Action: also(failing(resolve, unix.EINVAL), lost), code: Unknown, remaining: []Code{ELFDamaged, DependencyOutdated, SymbolNamespace, SymbolVersion}},
		"ENOEXEC, messages lost":         {Action: also(failing(verify, unix.ENOEXEC), lost), code: Unknown, remaining: []Code{ModuleLayout, Vermagic, ELFDamaged}},
		"ENOEXEC, nothing seen before":   {Action: also(failing(verify, unix.ENOEXEC), partial), code: Unknown, remaining: []Code{ModuleLayout, Vermagic, ELFDamaged}},
		"EPERM, nothing seen before":     {Action: also(failing(before, unix.EPERM), partial), machine: unprivileged(), bare: true, code: Unknown, remaining: []Code{NotPermitted, ModulesDisabled, LSMDenied}},
		"ENOEXEC, no vermagic":           {Action: failing(verify, unix.ENOEXEC), data: changed(func(m *koimage.Module) { m.Info = m.Info[:2] }).Bytes(), code: Unknown},
		"ENOEXEC, no versions":           {Action: failing(verify, unix.ENOEXEC), data: changed(func(m *koimage.Module) { m.Imports = nil }).Bytes(), code: Unknown},
		"EINVAL, no words":               {Action: failing(resolve, unix.EINVAL), code: Unknown},
		"EEXIST, lookup lost":            {Action: also(failing(verify, unix.EEXIST), lost), code: Unknown, remaining: []Code{LoadingElsewhere, AlreadyLoaded}},
		"EBUSY, messages lost":           {Action: also(also(failing(resolve, unix.EBUSY), lost), func(a *tracer.Action) { a.Took = time.Second }), code: Unknown, remaining: []Code{Interrupted, DependencyNotReady}},
		"ENOMEM, init lost":              {Action: also(failing(tracer.StageInit, unix.ENOMEM), lost), code: Unknown, remaining: []Code{InitRefused, NoMemory}},
		"shared with one unseen, EPERM":  {Action: also(failing(before, unix.EPERM), shared), code: Unknown},
		"shared with one unseen, EINVAL": {Action: also(failing(before, unix.EINVAL), shared), code: Unknown},
		"an errno of no rule":            {Action: failing(resolve, unix.ENOTNAM), code: Unknown},
		"unload, an errno of no rule":    {Action: tracer.Action{Kind: tracer.Unload, Errno: unix.ENOTNAM}, code: Unknown},
	}
}

// TestNoCauseWithoutFailure: what did not fail has none.
func TestNoCauseWithoutFailure(t *testing.T) {
	x := NewExplainer(ordinary().open(t), nil)
	for name, a := range map[string]tracer.Action{
		"live":          {Kind: tracer.Load, Module: "hello", Outcome: tracer.Live},
		"under way":     {Kind: tracer.Load, Module: "hello"},
		"unloaded":      {Kind: tracer.Unload, Module: "hello", Outcome: tracer.Unloaded},
		"end lost":      {Kind: tracer.Unload, Module: "hello", EndLost: true},
		"answered":      {Kind: tracer.Autoload, Module: "net-pf-1", Outcome: tracer.Answered, Loads: []tracer.ID{1}, Request: &tracer.Request{}},
		"answered, why": {Kind: tracer.Autoload, Module: "net-pf-1", Outcome: tracer.Answered, Request: &tracer.Request{Wait: true}, HelperStatus: result(0)},
	} {
		if got := x.Explain(t.Context(), a).Cause; got != nil {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestWarnings(t *testing.T) {
	x := NewExplainer(ordinary().open(t), nil)
	e := x.Explain(t.Context(), tracer.Action{
		Kind: tracer.Load, Module: "hello", Outcome: tracer.Live,
		Messages: said("hello: unknown parameter 'colour' ignored", "hello: Hello!", "hello: unknown parameter 'size' ignored"),
	})
	if e.Cause != nil || len(e.Warnings) != 2 {
		t.Fatalf("%v, %v", e.Cause, e.Warnings)
	}
	for i, parameter := range []string{"colour", "size"} {
		checkCause(t, &e.Warnings[i], ParameterUnknown, "no parameter "+parameter)
		if e.Warnings[i].Names["parameter"] != parameter {
			t.Errorf("%v", e.Warnings[i].Names)
		}
	}
}

// TestConfigIgnored: a module that the configuration is against was loaded all the same.
func TestConfigIgnored(t *testing.T) {
	live := tracer.Action{Kind: tracer.Load, Module: "hello", Outcome: tracer.Live, Thread: tracer.Thread{Comm: "modprobe"}}
	for name, c := range map[string]struct {
		line, comm, file, says string
	}{
		"blacklist":         {"blacklist hello", "modprobe", "", "says \"blacklist hello\", and hello was loaded all the same: a blacklist counts for aliases only"},
		"insmod":            {"blacklist hello", "insmod", "", "insmod does not read"},
		"install":           {"install hello /bin/false", "modprobe", "", "soft dependencies"},
		"by the file":       {"blacklist greeter", "modprobe", "/x/greeter.ko.xz", "blacklist greeter"},
		"another's":         {"blacklist other", "modprobe", "", ""},
		"command that may":  {"install hello /sbin/modprobe --ignore-install hello", "modprobe", "", ""},
		"not by the module": {"blacklist hello", "modprobe", "/x/greeter.ko", ""},
	} {
		k := ordinary().with(files{"etc/modprobe.d/x.conf": c.line + "\n"}).open(t)
		a := live
		a.Thread.Comm = c.comm
		if c.file != "" {
			a.File = &tracer.File{Path: c.file}
		}
		got := NewExplainer(k, nil).Explain(t.Context(), a)
		if (c.says != "") != (len(got.Warnings) == 1) {
			t.Errorf("%s: %+v", name, got.Warnings)
			continue
		}
		if c.says != "" {
			checkCause(t, &got.Warnings[0], ConfigIgnored, c.says)
		}
		if got := NewExplainer(k, &Options{Recorded: true}).Explain(t.Context(), a); len(got.Warnings) != 0 {
			t.Errorf("%s, of the past: %+v", name, got.Warnings)
		}
	}
}

// TestInheritedTaint: a load that went well has made its module proprietary.
func TestInheritedTaint(t *testing.T) {
	x := NewExplainer(ordinary().open(t), nil)
	e := x.Explain(t.Context(), tracer.Action{
		Kind: tracer.Load, Module: "hello", Outcome: tracer.Live,
		Messages: said("hello: module uses symbols owned_answer from proprietary module owned, inheriting taint."),
	})
	if e.Cause != nil || len(e.Warnings) != 1 {
		t.Fatalf("%v, %v", e.Cause, e.Warnings)
	}
	checkCause(t, &e.Warnings[0], SymbolProprietary, "uses owned_answer of owned, which is proprietary, and counts as proprietary now")
}

// TestLoadOfRequest: the cause of a load is told to the request that it was made for,
// and to the loads that shared its result.
func TestLoadOfRequest(t *testing.T) {
	x := NewExplainer(ordinary().open(t), nil)
	load := explained{Action: failing(tracer.StageResolve, unix.ENOENT, "hello: Unknown symbol nothing (err -2)")}
	a := load.complete(t)
	a.ID = 7
	cause := x.Explain(t.Context(), a).Cause
	checkCause(t, cause, SymbolMissing, "nothing")

	request := tracer.Action{
		ID: 5, Kind: tracer.Autoload, Module: "net-pf-1", Outcome: tracer.Failed, Loads: []tracer.ID{6, 7},
		Request: &tracer.Request{Name: "net-pf-1", Wait: true}, HelperStatus: result(256),
	}
	got := x.Explain(t.Context(), request).Cause
	checkCause(t, got, LoadFailed, "hello was tried for net-pf-1 and failed: symbol-missing: hello wants nothing")
	if diff := cmp.Diff(cause, got.Inner); diff != "" {
		t.Error(diff)
	}

	a.ID, a.SharedWith = 8, 7
	shared := x.Explain(t.Context(), a).Cause
	checkCause(t, shared, SymbolMissing, "nothing")
	if want := append(append([]string{}, cause.Evidence...), "the kernel gave it the result of another load of the same file"); cmp.Diff(want, shared.Evidence) != "" {
		t.Errorf("%q", shared.Evidence)
	}
}

// TestMemoryIsBounded: the oldest causes are forgotten, and not made up.
func TestMemoryIsBounded(t *testing.T) {
	x := NewExplainer(ordinary().open(t), nil)
	for id := range tracer.ID(remembered + 50) {
		x.Explain(t.Context(), tracer.Action{ID: id + 1, Kind: tracer.Load, Module: "hello", Outcome: tracer.Failed, Errno: unix.ETXTBSY, ErrnoName: "ETXTBSY"})
	}
	if len(x.causes) != remembered || len(x.order) != remembered {
		t.Errorf("%d causes, %d in order", len(x.causes), len(x.order))
	}
	for id, want := range map[tracer.ID]Code{1: Unknown, 50: Unknown, 51: LoadFailed, remembered + 50: LoadFailed} {
		request := tracer.Action{
			ID: 9999, Kind: tracer.Autoload, Module: "net-pf-1", Outcome: tracer.Failed, Loads: []tracer.ID{id},
			Request: &tracer.Request{}, HelperStatus: result(256),
		}
		if got := x.Explain(t.Context(), request).Cause; got.Code != want {
			t.Errorf("load %d: %s", id, got)
		}
	}
}

// TestFirstTry: what is said is about the last try.
func TestFirstTry(t *testing.T) {
	e := explained{Action: failing(tracer.StageResolve, unix.ENOENT, "hello: Unknown symbol nothing (err -2)")}
	a := e.complete(t)
	a.Call = &tracer.Enter{Call: tracer.InitModule, Capable: true, Size: 1000}
	a.FirstTry = &tracer.FirstTry{ID: 1, Format: tracer.FormatXz, Errno: unix.ENOEXEC, ErrnoName: "ENOEXEC"}
	checkCause(t, NewExplainer(ordinary().open(t), nil).Explain(t.Context(), a).Cause, SymbolMissing, "nothing")
}

// TestFIFO: no question about a file hangs on one that never ends.
func TestFIFO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo.ko")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	k := ordinary().open(t)
	e := explained{Action: also(failing(tracer.StageRead, unix.EINVAL), func(a *tracer.Action) { a.File = loaded(t, path) })}
	checkCause(t, NewExplainer(k, nil).Explain(t.Context(), e.complete(t)).Cause, FileUnreadable, "a pipe")
	v, err := Check(t.Context(), path, k, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkCause(t, v.Cause, FileUnreadable, "fifo.ko")
}
