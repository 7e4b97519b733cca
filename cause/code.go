package cause

// The causes why a load fails.
const (
	NotPermitted           Code = "not-permitted"
	ModulesDisabled        Code = "modules-disabled"
	Lockdown               Code = "lockdown"
	Blacklisted            Code = "blacklisted"
	LSMDenied              Code = "lsm-denied"
	SignatureMissing       Code = "signature-missing"
	SignatureUnknownKey    Code = "signature-unknown-key"
	SignatureMismatch      Code = "signature-mismatch"
	SignatureUnreadable    Code = "signature-unreadable"
	SignatureUnsupported   Code = "signature-unsupported"
	SignatureForm          Code = "signature-form"
	NotELF                 Code = "not-elf"
	ELFDamaged             Code = "elf-damaged"
	WrongArchitecture      Code = "wrong-architecture"
	Vermagic               Code = "vermagic"
	ModuleLayout           Code = "module-layout"
	SymbolMissing          Code = "symbol-missing"
	SymbolGPLOnly          Code = "symbol-gpl-only"
	SymbolProprietary      Code = "symbol-proprietary"
	SymbolVersion          Code = "symbol-version"
	SymbolNamespace        Code = "symbol-namespace"
	SymbolDuplicate        Code = "symbol-duplicate"
	NotifierRefused        Code = "notifier-refused"
	LivepatchMismatch      Code = "livepatch-mismatch"
	LivepatchUnsupported   Code = "livepatch-unsupported"
	BTFInvalid             Code = "btf-invalid"
	DependencyNotReady     Code = "dependency-not-ready"
	DependencyLeaving      Code = "dependency-leaving"
	DependencyOutdated     Code = "dependency-outdated"
	DependencyFailed       Code = "dependency-failed"
	AlreadyLoaded          Code = "already-loaded"
	LoadingElsewhere       Code = "loading-elsewhere"
	ParameterInvalid       Code = "parameter-invalid"
	ParameterUnknown       Code = "parameter-unknown"
	InitRefused            Code = "init-refused"
	InitCrashed            Code = "init-crashed"
	NoMemory               Code = "no-memory"
	NoModuleSpace          Code = "no-module-space"
	BadCall                Code = "bad-call"
	FileBusy               Code = "file-busy"
	FileUnreadable         Code = "file-unreadable"
	CompressionUnsupported Code = "compression-unsupported"
	Interrupted            Code = "interrupted"
	NotFound               Code = "not-found"
	DepmodStale            Code = "depmod-stale"
	BlockedByConfig        Code = "blocked-by-config"
	InstallCommand         Code = "install-command"
	ConfigIgnored          Code = "config-ignored"
	OptionsIgnored         Code = "options-ignored"
	FileHidden             Code = "file-hidden"
	KernelReported         Code = "kernel-reported"
)

// The causes why an unload fails, beside some of the above.
const (
	NotLoaded        Code = "not-loaded"
	BuiltIn          Code = "built-in"
	HeldByModules    Code = "held-by-modules"
	HeldByReferences Code = "held-by-references"
	NotLive          Code = "not-live"
	NoExit           Code = "no-exit"
	ExitStuck        Code = "exit-stuck"
	ExitCrashed      Code = "exit-crashed"
	RefcountNegative Code = "refcount-negative"
	RefcountUnread   Code = "refcount-unread"
	KernelCrashed    Code = "kernel-crashed"
)

// The causes why a request of the kernel for a module fails, beside some of the
// above.
const (
	NothingProvides Code = "nothing-provides"
	HelperMissing   Code = "helper-missing"
	HelperBusy      Code = "helper-busy"
	HelperFailed    Code = "helper-failed"
	RequestDenied   Code = "request-denied"
	LoadFailed      Code = "load-failed"
)

// The causes why an action does not end, beside ExitStuck: what it waits for.
const (
	InitRunning        Code = "init-running"
	WaitsForRequest    Code = "waits-for-request"
	WaitsForDependency Code = "waits-for-dependency"
	WaitsForLoad       Code = "waits-for-load"
	HelperRunning      Code = "helper-running"
	UnderWay           Code = "under-way"
)

// Unknown: the evidence does not decide. [Cause.Remaining] has what it leaves.
const Unknown Code = "unknown"

// Meaning is what a code means, whatever it is about.
type Meaning struct {
	Code Code `json:"code"`
	// Of says what can fail so: load, unload, request.
	Of string `json:"of"`
	// Means is a sentence.
	Means string `json:"means"`
	// Because is what the kernel does, and on what evidence it is recognised.
	Because string `json:"because"`
	// Next is what to do.
	Next string `json:"next"`
}

// Codes gives the meaning of every code, in the order in which a load, an unload
// and a request can meet them.
func Codes() []Meaning {
	return []Meaning{
		{NotPermitted, "load, unload", "The caller may not load or unload modules.",
			"The three system calls first ask for CAP_SYS_MODULE, in the first user namespace and no other: EPERM before any stage, nothing printed. Seen: the caller's credentials, as the kernel had them at the call.",
			"Run it as root, for instance by sudo. In a container, the capability must be one of the host's."},
		{ModulesDisabled, "load, unload", "Loading and unloading are turned off until the next boot.",
			"kernel.modules_disabled is 1, and cannot be set back: EPERM before any stage, nothing printed, though the caller has the capability.",
			"Reboot. What sets the switch is usually a file in /etc/sysctl.d or a hardening service."},
		{Lockdown, "load", "Lockdown refuses a module without a signature that the kernel trusts.",
			"In the lockdown modes integrity and confidentiality (often because of Secure Boot) the kernel takes signed modules only: EPERM at stage verify, and a rate-limited message \"Lockdown: … unsigned module loading is restricted\".",
			"Sign the module with a key that this kernel trusts (mokutil --import enrols one), or turn lockdown off (Secure Boot, or lockdown= on the kernel's command line)."},
		{Blacklisted, "load", "The kernel's own command line forbids this module.",
			"module_blacklist=NAME on the kernel's command line: EPERM at stage verify, and \"Module NAME is blacklisted\".",
			"Boot without the name in module_blacklist=."},
		{LSMDenied, "load", "A security module (LSM) refused the bytes, or the use of CAP_SYS_MODULE.",
			"SELinux, LoadPin, IMA, IPE or a BPF program is asked when the kernel reads a module's bytes and may answer with any errno; AppArmor, SELinux or a BPF program is asked before that whether the caller may use its capability (EPERM or EACCES). The module code prints nothing. Seen: the answer of the hook itself, or that the caller has the capability and was refused all the same. Which one it was is known from its message, from its audit record (in the kernel's log, or /var/log/audit/audit.log), or because no other that is active is asked there.",
			"Where it is not named, look at the security module's own log; /sys/kernel/security/lsm lists those that are active. A program that hands over bytes by init_module has no file to be judged by: have it use finit_module, as modprobe and insmod do."},
		{SignatureMissing, "load", "The module has no signature, and this kernel wants one.",
			"With module.sig_enforce=1 or CONFIG_MODULE_SIG_FORCE: EKEYREJECTED at stage verify, and \"Loading of unsigned module is rejected\". The message does not name the module.",
			"Sign the module with a key that this kernel trusts, or take the module that the distribution signed. strip takes a signature away."},
		{SignatureUnknownKey, "load", "The module is signed, by a key that this kernel does not trust.",
			"Signatures are enforced and the signer's key is in none of the keyrings that count for modules: EKEYREJECTED (older kernels: ENOKEY) at stage verify, and \"Loading of module with unavailable key is rejected\".",
			"Enrol the key (mokutil --import), or sign with one that is trusted. Keys in the firmware's own list (.platform) do not count for modules."},
		{SignatureMismatch, "load", "The module was changed after it was signed.",
			"The key is trusted and the signature does not fit the bytes: EKEYREJECTED at stage verify with nothing printed, even where signatures are not enforced.",
			"Copy or build the module anew; compare it with its package (dpkg --verify, rpm --verify). If nobody should have changed it, treat it as an attack."},
		{SignatureUnreadable, "load", "The module's signature block is damaged.",
			"The file ends with the mark of a signature, and what stands before it is not one: EBADMSG at stage verify, usually with nothing printed, even where signatures are not enforced.",
			"Copy or build the module anew. strip and other tools that rewrite object files damage the end of a signed file."},
		{SignatureUnsupported, "load", "The signature is of a kind that this kernel cannot check.",
			"The kernel lacks the algorithm of the signature or of its digest: \"Loading of module with unsupported crypto is rejected\".",
			"Sign the module with the algorithms that this kernel was built with (CONFIG_MODULE_SIG_HASH)."},
		{SignatureForm, "load", "The signature is in a form that the kernel does not accept for modules.",
			"The kernel wants a signature of the file's bytes alone, without signed attributes, as openssl makes them by default: EKEYREJECTED at stage verify, whatever the key, even where signatures are not enforced, and \"Invalid module sig (has authattrs)\" or another complaint that begins with \"PKCS7:\".",
			"Sign it with the kernel's own scripts/sign-file or with kmodsign; by openssl, with cms -sign -binary -noattr -nocerts -outform DER."},
		{NotELF, "load", "The file is not a kernel module at all.",
			"It does not begin as an ELF file: text, random bytes, nothing. ENOEXEC (an empty file: EINVAL on some kernels).",
			"Give the .ko file. Downloads that saved an error page are text."},
		{ELFDamaged, "load", "The file begins as a module and is damaged, or is an object file of another kind.",
			"The kernel checks headers and sections before anything else and finds them pointing outside the file or missing: ENOEXEC at stage verify.",
			"Copy or build it anew, and compare sizes: truncated copies are the usual reason."},
		{WrongArchitecture, "load", "The module is for another processor.",
			"The machine in the ELF header is not this kernel's: ENOEXEC at stage verify.",
			"Build or install the module for this machine's architecture."},
		{Vermagic, "load", "The module was built for another kernel.",
			"The text of the kernel's release and main options in the module is not this kernel's: ENOEXEC at stage verify, and \"version magic 'A' should be 'B'\".",
			"Build it against this kernel's headers, or boot the kernel that it was built for. DKMS rebuilds out-of-tree modules at upgrades."},
		{ModuleLayout, "load", "The module was built for a kernel whose struct module has another layout.",
			"The version (CRC) of module_layout differs: ENOEXEC at stage verify, and \"disagrees about version of symbol module_layout\". From 6.4 on the kernel first compares sizes, before the vermagic: \".gnu.linkonce.this_module section size must match the kernel's built struct module size\". The vermagic may be the same.",
			"Build it against exactly this kernel's headers and configuration."},
		{SymbolMissing, "load", "The module needs a symbol that nothing in the kernel exports now.",
			"ENOENT at stage resolve, and \"Unknown symbol S (err -2)\".",
			"Load the module that exports it first; modprobe and kmodtrace load NAME do so by themselves. If no installed module does, this kernel does not offer the symbol to modules."},
		{SymbolGPLOnly, "load", "The symbol exists, and is for modules under a GPL-compatible licence only.",
			"ENOENT at stage resolve and the very message of a symbol that does not exist: the kernel hides EXPORT_SYMBOL_GPL symbols from other modules.",
			"Use a symbol without that limit, or a GPL-compatible licence: the kernel looks at MODULE_LICENSE."},
		{SymbolProprietary, "load", "The module uses a symbol for GPL-compatible modules only, and one that a proprietary module exports: the kernel does not allow a module to use both.",
			"A module that uses a symbol of a proprietary module counts as proprietary itself (from 5.9 on). ENOENT at stage resolve, and \"module using GPL-only symbols uses symbols S from proprietary module Y\"; where the proprietary module's symbol comes first, \"uses symbols S from proprietary module Y, inheriting taint\" and \"Unknown symbol\" for the other. As a warning: the load went on, and the module counts as proprietary now.",
			"Do without one of the two symbols. What the proprietary module offers is for modules that use no GPL-only symbol."},
		{SymbolVersion, "load", "A symbol that the module uses has changed since it was built.",
			"With CONFIG_MODVERSIONS each symbol's type has a checksum; the module's differs from this kernel's: EINVAL at stage resolve, and \"disagrees about version of symbol S\".",
			"Build it against this kernel's headers (and against the Module.symvers of the module that exports the symbol)."},
		{SymbolNamespace, "load", "A symbol that the module uses is in a namespace which the module does not import.",
			"EINVAL at stage resolve, and \"uses symbol S from namespace N, but does not import it\".",
			"Add MODULE_IMPORT_NS for the namespace to the module's source and build it again."},
		{SymbolDuplicate, "load", "The module exports a symbol that something else exports already.",
			"ENOEXEC after relocation, and \"exports duplicate symbol S (owned by Y)\".",
			"Unload the owner first, if this module is to replace it; an out-of-tree copy of a driver often meets the one that is built in."},
		{DependencyNotReady, "load", "A module that this one needs has not finished its own init.",
			"The kernel waits 30 seconds for the init of the module that owns a needed symbol: EBUSY at stage resolve, and \"gave up waiting for init of module Y\".",
			"Find out why the other's init takes so long (kmodtrace watch names what it waits for), and load this one again."},
		{DependencyLeaving, "load", "A module that this one needs is being unloaded.",
			"The module that exports a needed symbol is in the kernel, and its exit runs: the kernel gives no references to it. ENOENT at stage resolve and the very message of a symbol that does not exist. Seen: the owner's state.",
			"Wait until it has left (kmodtrace list NAME), and try again: modprobe and kmodtrace load NAME load it anew."},
		{DependencyOutdated, "load", "A module that this one needs is loaded in another build than the installed one, which would fit.",
			"A package or make modules_install replaced the file of a module that is in memory. The kernel resolves symbols by the copy in memory: ENOENT or EINVAL at stage resolve, by the message of a symbol that does not exist or has another version. Seen: both build IDs (or srcversions), and what the installed file exports.",
			"Reload the module that is named: unload it and what uses it (kmodtrace refs NAME), load it again, then load this one."},
		{DependencyFailed, "load", "A module that this one needs could not be loaded.",
			"The module asked for was never tried: its dependencies come first, and one of them failed for its own cause.",
			"Fix what keeps the dependency from loading."},
		{AlreadyLoaded, "load", "A module of that name is in the kernel already.",
			"EEXIST at stage verify, nothing printed. Seen: what the kernel found when it looked for the name.",
			"Unload it first, if this one is to replace it."},
		{LoadingElsewhere, "load", "Another load of a module of that name was under way.",
			"The kernel lets the second wait and then refuses it: EEXIST when the first succeeded, EBUSY when it failed. Nothing printed. Seen: the other attempt.",
			"Nothing, if the other load went well; else load it again."},
		{ParameterInvalid, "load", "A parameter has a value that the module does not take.",
			"EINVAL, ERANGE or the like at stage params, and \"`V' invalid for parameter `P'\".",
			"kmodtrace info lists the parameters with their types. Options also come from modprobe.d and the kernel's command line."},
		{ParameterUnknown, "load", "The module has no such parameter: a warning only, because the load went on.",
			"The kernel prints \"unknown parameter 'P' ignored\".",
			"kmodtrace info lists the module's parameters."},
		{LivepatchUnsupported, "load", "The module is a livepatch, and this kernel has no livepatches.",
			"A module with livepatch=Y in its .modinfo, on a kernel without CONFIG_LIVEPATCH: ENOEXEC at stage verify, and \"module is marked as livepatch module, but livepatch support is disabled\".",
			"Load it on the kernel that it was made for; kmodtrace info shows the vermagic."},
		{LivepatchMismatch, "load", "A livepatch does not fit what it is to patch.",
			"An active livepatch is applied to each module whose functions it replaces, when the module is complete; where that fails, the module is refused at stage finalize, and the kernel prints \"patch 'P' failed for module 'M', refusing to load module 'M'\". A livepatch that does not fit the kernel or a loaded module is refused in its own init, with a message that begins with \"livepatch:\".",
			"Use the livepatch that was built for exactly this kernel and this build of the module. To load the module meanwhile, disable the livepatch: echo 0 > /sys/kernel/livepatch/P/enabled."},
		{BTFInvalid, "load", "The type information (BTF) in the module does not fit this kernel.",
			"Kernels with CONFIG_DEBUG_INFO_BTF_MODULES take the section .BTF of a module, which refers to the kernel's own types, when the module is complete. Without CONFIG_MODULE_ALLOW_BTF_MISMATCH they refuse the module where it is damaged or refers to another build's types: \"failed to validate module [M] BTF: ERRNO\".",
			"Build the module against this kernel's vmlinux, or without BTF (objcopy --remove-section .BTF FILE; a signature must be made again)."},
		{NotifierRefused, "load", "Another part of the kernel refused the complete module.",
			"The kernel calls a chain of callbacks when a module is complete (module notifiers), at stage finalize; the first that gives an errno ends the load, and nothing need be printed. Seen: the chain's answer, and which callbacks are on it. The kernel does not tell which of them refused. kmodtrace names those that can have: the kernel's own callbacks do not give such an errno without a message.",
			"Ask the vendor of the module that owns the callback, usually a security product, or unload that module."},
		{InitRefused, "load", "The module's own init refused.",
			"Everything went well up to the module's own code, which returned an errno of its choice. Where that is EEXIST, kernels from 7.2 on answer EBUSY, because EEXIST means that the module is loaded already.",
			"What the module printed is the reason, if it gave one: no such device, no resources, a parameter that makes no sense together with others."},
		{InitCrashed, "load", "The module's own init crashed.",
			"The kernel killed the thread that ran it for a fault (an oops); the system call never returns.",
			"Fix the module. The kernel keeps its remains, and later loads may hang: reboot soon."},
		{NoMemory, "load", "There was no memory for the module.",
			"ENOMEM from the kernel itself, and nothing says that it was the space for modules that was too small (no-module-space).",
			"Look at the module's size (kmodtrace info) and at what memory is free."},
		{NoModuleSpace, "load", "The module is too large for the space that the kernel keeps for modules, however much memory is free.",
			"All modules share a reserve for per-CPU data (8 KiB; 64 KiB from 6.10 on with CONFIG_MEM_ALLOC_PROFILING) and a range of addresses (1 to 1.5 GiB on x86-64): ENOMEM before the init, and \"Could not allocate N bytes percpu data\", \"vmap allocation for size N failed\" or \"vmalloc_node_range for size N failed\". Seen: the sizes in the file.",
			"Make the module smaller: allocate what is large in its init (alloc_percpu, vmalloc). Where the loaded modules take the space, unload some."},
		{BadCall, "load, unload", "The calling program passed what the kernel cannot use: a bad pointer, unknown flags, or a descriptor that is not a file's.",
			"EFAULT where the kernel cannot read the parameters, the image or the name from the caller's memory; EINVAL for flags that finit_module does not have, and for a descriptor of a pipe, a socket or the like. Nothing printed. Seen: the arguments of the call, and the kernel's own inode of the descriptor.",
			"Fix the program that made the call: the module and its file were not looked at, or are in order. insmod and kmodtrace load pass what the kernel takes."},
		{FileBusy, "load", "The file is open for writing.",
			"The kernel does not load a file that somebody can change meanwhile: ETXTBSY before the file is read, nothing printed.",
			"Wait until what writes it has closed it (fuser FILE or lsof FILE names it)."},
		{FileUnreadable, "load, request", "The file cannot be read as a module's.",
			"A directory, a pipe, a descriptor that is not open for reading, an error of the file system: the errno says which. Nothing printed.",
			"Give a regular file that can be read."},
		{CompressionUnsupported, "load", "The file is compressed in a way that this kernel cannot undo, or its compression is damaged.",
			"The kernel decompresses only by CONFIG_MODULE_DECOMPRESS (from 5.17), one method, and only when told so by a flag; otherwise it sees the compressed bytes: ENOEXEC, EOPNOTSUPP or EINVAL.",
			"Use modprobe, insmod of kmod, or kmodtrace load, which decompress it themselves; test the file with xz -t, gzip -t or zstd -t."},
		{Interrupted, "load, unload, request", "A signal ended the waiting.",
			"The caller was waiting, for another load of that name or for a lock, and got a fatal signal: EINTR.",
			"Do it again; find what sends the signal (a timeout, a service manager)."},
		{NotFound, "load", "There is no such file, and no installed module of that name.",
			"The kernel was not asked: there is no file to give it.",
			"Check the name (kmodtrace info NAME). After an upgrade of the running kernel its modules may be gone: reboot."},
		{DepmodStale, "load, request", "The list of installed modules that modprobe goes by (modules.dep) does not fit the files.",
			"modprobe finds files by modules.dep, which depmod makes. It names a file that is gone, or lacks one that is there; or an index that depmod makes beside it (modules.dep.bin, modules.alias.bin), which is all that modprobe reads, is missing or cut short. The kernel was not asked to load anything.",
			"Run depmod -a as root (depmod -a RELEASE for a kernel that does not run), then try again. Packages do it when they install modules."},
		{BlockedByConfig, "load, request", "The configuration of modprobe keeps this module from being loaded.",
			"A blacklist line (which counts for aliases, not for the name itself) or an install line whose command loads nothing, in modprobe.d or on the kernel's command line.",
			"Change the line that is named. insmod and kmodtrace load FILE do not read this configuration."},
		{InstallCommand, "load", "The configuration of modprobe runs a command instead of loading this module.",
			"An install line in modprobe.d gives a shell command, which may well load the module in the end; modprobe runs it. kmodtrace load runs no commands, and asked the kernel nothing.",
			"kmodtrace load --ignore-install NAME loads the module without the command; modprobe NAME runs the command."},
		{ConfigIgnored, "load", "A line of modprobe's configuration is against this module, and did not keep it out: a warning only, because the load went on.",
			"A blacklist line counts for aliases only: not for the module's name, for what depends on it, for a softdep, and not for insmod. An install line counts for modprobe only, and kmod 34 ignores it where the module has soft dependencies.",
			"To keep the module out however it is asked for, put module_blacklist=NAME on the kernel's command line."},
		{OptionsIgnored, "load", "A line of modprobe's configuration has parameters for this module that were not passed: a warning only, because the load went on.",
			"modprobe passes the options lines of files that end in .conf, that no file of the same name in an earlier directory hides, and that are about the name of the module's file. insmod and kmodtrace load FILE pass none.",
			"Change the line that is named, and load the module again by modprobe. kmodtrace info NAME lists the lines that apply."},
		{FileHidden, "load", "Several files are installed for one module's name, and modprobe takes one of them: a warning only.",
			"modprobe goes by modules.dep, in which depmod lists one file of a name: by the search order in depmod.d (usually updates before the kernel's own directories), and as it was when depmod ran. Seen: the files below /lib/modules.",
			"Remove the file that is not wanted, or change the order in depmod.d; then run depmod -a as root. kmodtrace load FILE takes exactly that file."},
		{KernelReported, "load, unload", "The kernel reported a fault of its own code or of a module's meanwhile, such as a WARN: a warning only, because it went on.",
			"The thread of the load or unload printed the report, so it was running when that happened: a warning, a BUG, a checker's finding (UBSAN, KASAN, lockdep), a sleep in atomic context. Most of them taint the kernel (W) until the next boot. Seen: the kernel's lines, which are among the messages; kernel_reports in JSON has the place, the task and the callers.",
			"Report it to those who maintain what is named, with the messages. kmodtrace try FILE shows in a virtual machine whether it comes again."},

		{NotLoaded, "unload", "No module of that name is in the kernel.",
			"ENOENT, nothing printed. Seen: the kernel looked for the name and found none.",
			"kmodtrace list shows what is loaded."},
		{BuiltIn, "unload, load", "It is part of the kernel image, not a module.",
			"ENOENT for an unload, nothing printed; modules.builtin lists its name.",
			"It cannot be unloaded. Its parameters are set on the kernel's command line."},
		{HeldByModules, "unload", "Other modules use it.",
			"EAGAIN, nothing printed. Seen: the kernel's own list of modules that depend on it.",
			"Unload those first."},
		{HeldByReferences, "unload", "Something holds references to it: an open device, a mount, a socket, a setting or rule of the kernel, a BPF program, or other code in the kernel.",
			"EAGAIN, nothing printed, with a count of references above zero.",
			"Close what is named. kmodtrace refs NAME shows who takes and drops references while it watches."},
		{NotLive, "unload", "It is still starting, or already leaving.",
			"EBUSY, nothing printed. Seen: the module's state when the kernel looked.",
			"Wait and try again. After a crash in its init or exit it stays so until the next boot."},
		{NoExit, "unload", "It has no exit function: it is meant to stay.",
			"EBUSY, nothing printed: a module with an init and without an exit is permanent.",
			"Only a reboot takes it out (rmmod --force where the kernel was built with it, at your own risk)."},
		{ExitStuck, "unload", "Its exit function does not return.",
			"The kernel had agreed, and neither the free of the module nor the answer has come.",
			"cat /proc/PID/stack shows where it waits. The module can neither be used nor loaded again meanwhile."},
		{ExitCrashed, "unload", "Its exit function crashed.",
			"The kernel killed the thread that ran it for a fault (an oops); the system call never returns. Seen: the instruction that failed, or one of its callers, is the module's.",
			"Fix the module, and reboot: it stays in the kernel, leaving for ever."},
		{RefcountNegative, "unload", "The kernel counts fewer references to it than none: the module dropped one that it did not have.",
			"delete_module takes the kernel's own reference from the count and has a BUG for a result below zero (try_release_module_ref), also when it is forced. The thread that calls it dies with the kernel's lock for modules, and nothing loads or unloads until reboot. Seen: the count in /sys/module/NAME/refcnt, of a module that is live. kmodtrace and rmmod then do not ask the kernel; a caller who does is seen to die.",
			"Do not unload it by any tool; rmmod --force and busybox rmmod would ask the kernel. Reboot to be rid of it, and look in the module for a module_put without its try_module_get."},
		{RefcountUnread, "unload", "Whether it can be unloaded is not known: its count of references cannot be read.",
			"Neither /sys/module/NAME/refcnt nor /proc/modules gives a count, and a negative one would be a BUG in the kernel (refcount-negative): the kernel is not asked.",
			"Mount /proc and /sys, or make them readable; then try again."},
		{KernelCrashed, "load, unload", "The kernel crashed over it, outside the module's own code.",
			"The kernel killed the thread for a fault (an oops or a BUG); the system call never returns. Seen: the instruction that failed is in the kernel or in another module, and no function of this one is among its callers.",
			"Reboot: the kernel may hold its lock for modules for ever, so that nothing loads or unloads. Report the oops to those who maintain what is named."},

		{NothingProvides, "request", "No installed module answers to that name or alias.",
			"The kernel asked, modprobe found nothing and tried nothing; the kernel runs it with -q, so nothing was printed.",
			"Usually nothing: programs often ask for what a kernel does not have. Otherwise install the package that has the module."},
		{HelperMissing, "request", "The program that is to load modules for the kernel is not there.",
			"kernel.modprobe (/proc/sys/kernel/modprobe) is empty or names a program that cannot be run.",
			"Set it to the path of modprobe, usually /sbin/modprobe, or install kmod."},
		{HelperBusy, "request", "Too many requests for modules were under way.",
			"The kernel runs at most 50 helpers at once, and this request waited 5 seconds in vain.",
			"Find what asks so often: kmodtrace watch --action request."},
		{HelperFailed, "request", "The program that is to load modules for the kernel failed itself: it was killed, is not modprobe, or ended before it tried a load.",
			"The kernel starts the program in kernel.modprobe (/proc/sys/kernel/modprobe) and waits for it. Seen: the signal or the exit status by which it ended, and that no load that it made failed. modprobe exits with status 0 or 1 only. The program's name is the one that kernel.modprobe has when the cause is looked for.",
			"If it is not the system's modprobe, find out who set kernel.modprobe, because the kernel runs that program as root; sysctl kernel.modprobe=/sbin/modprobe is usual. Otherwise run modprobe -v NAME as root, which prints what the kernel's helper does not; for a signal, look for what sends it (the OOM killer, a security agent)."},
		{RequestDenied, "request", "A security module (LSM) refused the request.",
			"SELinux or a BPF program is asked before any helper is started. Seen: the answer of the hook itself.",
			"Look at the security module's own log."},
		{LoadFailed, "request", "A module was found for it, and could not be loaded.",
			"The helper made a load that failed for its own cause.",
			"See the cause of the load."},

		{InitRunning, "load", "The module's own init has not returned: the load is still under way.",
			"The kernel calls the init and waits for it, however long it takes. Seen: the load has been at stage init for seconds, and its thread has no request for a module under way. Where its thread sleeps is in /proc/PID/stack.",
			"Wait, or look at what the named function waits for: a device, a timer, a lock. Other loads of that name and of what needs it wait too."},
		{WaitsForRequest, "load", "The init of the module asked the kernel for another module, and that request has not been answered: the load is still under way.",
			"request_module in an init starts modprobe and waits until that has ended. Seen: the request of the same thread.",
			"Look at what the requested module waits for, which is named where it was seen."},
		{WaitsForDependency, "load", "A module that this one needs has not finished its init: the load is still under way.",
			"The kernel waits up to 30 seconds at stage resolve for the init of the module that exports a needed symbol, and then refuses the load (dependency-not-ready). Seen: the load of a module that the file names as needed, not ended.",
			"Find out why the init of the named module takes so long; if the kernel gives up, load this one again when that has ended."},
		{WaitsForLoad, "load", "Another load of the same file, or of a module of that name, has not ended, and this one waits for it.",
			"From 6.5 on the kernel runs concurrent loads of one file once and gives all of them the result. A load of another file waits at stage verify until the module of its name is live or gone, and is then refused (loading-elsewhere, already-loaded) or goes on. Seen: the other load.",
			"Find out what the other load waits for."},
		{HelperRunning, "request", "The program that the kernel started for the request has not ended: the request is still under way.",
			"The kernel starts kernel.modprobe and waits for its exit, without a limit. Seen: the load that it has under way, or that the requester's thread waits for the program.",
			"Look at what the named load waits for. Where none is named, the program itself does not end, as an install command in modprobe.d can do: ps shows it as a child of a kernel thread."},
		{UnderWay, "load, unload, request", "It is still under way, and what it waits for was not seen.",
			"It has not ended for seconds, no other action that it could wait for is under way, and it is neither in its own init nor in its exit.",
			"Where its thread sleeps, if that is named, tells what it waits for; cat /proc/PID/stack shows it later. A slow or hanging file system is usual before stage verify."},

		{Unknown, "load, unload, request", "The evidence does not decide.",
			"Either the kernel did something that kmodtrace does not know, or evidence is missing: lost events, a file that has gone, a fact that needs privilege. The causes that are left are listed.",
			"Keep the record (--json) and report it."},
	}
}

// MeaningOf gives what a code means.
func MeaningOf(code Code) (Meaning, bool) {
	for _, m := range Codes() {
		if m.Code == code {
			return m, true
		}
	}
	return Meaning{}, false
}
