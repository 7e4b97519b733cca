package cause

import (
	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// The kernel's words. Where versions differ, each form stands here.
var (
	lockdownText   = lazyregexp.New(`Lockdown: .*unsigned module loading is restricted`)
	blacklistText  = lazyregexp.New(`Module (\S+) is blacklisted`)
	unsignedText   = lazyregexp.New(`oading of unsigned module is rejected`)
	noKeyText      = lazyregexp.New(`oading of module with unavailable key is rejected`)
	cryptoText     = lazyregexp.New(`oading of module with unsupported crypto is rejected`)
	formText       = lazyregexp.New(`PKCS7: (?:Invalid module sig )?\(?(?P<problem>[^()]+)`)
	magicText      = lazyregexp.New(`Invalid ELF header magic`)
	machineText    = lazyregexp.New(`Invalid architecture in ELF header`)
	vermagicText   = lazyregexp.New(`(?:^|\s)(?P<module>[^:\s]+): version magic '(?P<theirs>[^']*)' should be '(?P<ours>[^']*)'`)
	layoutText     = lazyregexp.New(`(?:^|\s)(?P<module>[^:\s]+): disagrees about version of symbol module_layout`)
	structSizeText = lazyregexp.New(`section size must match the kernel's built struct module size`)
	unknownSymbol  = lazyregexp.New(`Unknown symbol (?P<symbol>\S+) \(err -2\)`)
	// 5.10 does not name the symbol, 6.1 does.
	bothText       = lazyregexp.New(`module using GPL-only symbols uses symbols? (?:(?P<symbol>\S+) )?from proprietary module (?P<owner>[^.\s]+)`)
	inheritText    = lazyregexp.New(`uses symbols? (?:(?P<symbol>\S+) )?from proprietary module (?P<owner>[^,\s]+), inheriting taint`)
	versionText    = lazyregexp.New(`disagrees about version of symbol (?P<symbol>\S+)`)
	namespaceText  = lazyregexp.New(`uses symbol \(?(?P<symbol>[^\s)]+)\)? from namespace (?P<namespace>\S+), but does not import it`)
	duplicateText  = lazyregexp.New(`exports duplicate symbol (?P<symbol>\S+) \(owned by (?P<owner>[^)]+)\)`)
	waitingText    = lazyregexp.New(`gave up waiting for init of module (?P<owner>[^.\s]+)`)
	parameterText  = lazyregexp.New("[`'](?P<value>.*)' (?P<how>invalid|too large) for parameter [`'](?P<parameter>[^']*)'")
	ignoredText    = lazyregexp.New(`unknown parameter '(?P<parameter>[^']*)' ignored`)
	badLicence     = lazyregexp.New(`module license '(?P<licence>[^']*)' taints kernel`)
	damageText     = lazyregexp.New(`(?P<problem>(?:Invalid ELF|ELF Spec violation|Section \d+|module has no symbols|No module found in object|Only one \.|Module len|has an invalid|Unknown rel|overflow in relocation|Skipping invalid reloc|Skip non-ALLOC|please compile with|\.gnu\.linkonce\.this_module|Module has invalid ELF|section header|Invalid relocation|Could not find this_module).*)`)
	oopsText       = lazyregexp.New(`(?P<oops>(?:BUG: |kernel BUG at |Oops|general protection fault|invalid opcode|divide error|stack segment|Unable to handle kernel |Internal error: |int3: |double fault|unexpected ).*)`)
	decompressText = lazyregexp.New(`(?P<problem>(?:decompression failed|failed to decompress|not an? \S+ compressed|Failed to initialize|ZSTD-compressed data|Can't initialize ZSTD|.*decompressor).*)`)
	typesText      = lazyregexp.New(`failed to validate module \[(?P<module>[^\]]*)\] BTF: (?P<problem>-?\d+)`)
	keptOutText    = lazyregexp.New(`livepatch: patch '(?P<patch>[^']*)' failed for module '(?P<object>[^']*)', refusing to load module`)
	livepatchText  = lazyregexp.New(`livepatch: (?P<problem>symbol '[^']*' not found in symbol table|unresolvable ambiguity for symbol '[^']*'.*|symbol position \d+ for symbol '[^']*' .*|kernel does not support .*|.*not compatible with the already installed livepatches.*|failed to .*)`)
	noLivepatch    = lazyregexp.New(`(?:^|\s)(?P<module>[^:\s]+): module is marked as livepatch module, but livepatch support is disabled`)
	builtInText    = lazyregexp.New(`module is already loaded`)
	vmapText       = lazyregexp.New(`(?:vmap allocation|vmalloc_node_range) for size (?P<bytes>\d+) failed`)
	perCPUText     = lazyregexp.New(`Could not allocate (?P<percpu>\d+) bytes percpu data`)
)

var (
	notBegun  = []tracer.Stage{before}
	atRead    = []tracer.Stage{tracer.StageRead}
	atVerify  = []tracer.Stage{tracer.StageVerify}
	atResolve = []tracer.Stage{tracer.StageResolve}
	atParams  = []tracer.Stage{tracer.StageParams}
	atInit    = []tracer.Stage{tracer.StageInit}
	// beforeInit has what the kernel does itself; params run the module's code too.
	beforeInit = []tracer.Stage{before, tracer.StageRead, tracer.StageVerify, tracer.StageResolve, tracer.StageRelocate, tracer.StageFinalize, tracer.StageParams, tracer.StageSysfs}
	toResolve  = []tracer.Stage{before, tracer.StageRead, tracer.StageVerify, tracer.StageResolve}
	toRead     = []tracer.Stage{before, tracer.StageRead}
	toVerify   = []tracer.Stage{before, tracer.StageRead, tracer.StageVerify}
	ofImage    = []tracer.Stage{tracer.StageVerify, tracer.StageResolve, tracer.StageRelocate, tracer.StageFinalize}
	atFinalize = []tracer.Stage{tracer.StageFinalize}
	toFinal    = []tracer.Stage{tracer.StageResolve, tracer.StageRelocate, tracer.StageFinalize}
)

func errnos(e ...unix.Errno) []unix.Errno { return e }

// rules is the table. The first rule whose evidence is complete gives the cause;
// rules for one place stand together.
func rules() []rule {
	return append(append(loadRules(), unloadRules()...), requestRules()...)
}

func loadRules() []rule {
	return []rule{
		// Its thread died.
		{code: KernelCrashed, when: when{stages: beforeInit, fact: factOf(saysOutside, crashedOutside)},
			say: sayKernelCrashed, look: lookOops},
		{code: InitCrashed, when: when{fact: factOf("its thread was killed for a fault", crashed)},
			say: "its init crashed[: {oops}]", look: lookOops},

		// Before the bytes are read.
		{code: NotPermitted, when: when{stages: notBegun, errnos: errnos(unix.EPERM), fact: factOf("the caller's credentials lack CAP_SYS_MODULE in the first user namespace", notCapable)},
			say: "{who} lacks CAP_SYS_MODULE"},
		{code: ModulesDisabled, when: when{stages: notBegun, errnos: errnos(unix.EPERM), fact: factOf("kernel.modules_disabled is 1", modulesDisabled)},
			say: sayModulesDisabled},
		{code: LSMDenied, when: when{stages: notBegun, errnos: errnos(unix.EPERM, unix.EACCES)},
			say: sayNoUse, next: nextNoUse, look: lookCapability},
		{code: FileBusy, when: when{stages: notBegun, errnos: errnos(unix.ETXTBSY), alone: true},
			say: "{file} is open for writing elsewhere", look: lookWriters},
		{code: NotELF, when: when{stages: toRead, errnos: errnos(unix.EINVAL, unix.ENOEXEC), fact: factOf("there are no bytes", emptyFile)},
			say: sayEmpty},
		{code: NotELF, when: when{stages: notBegun, errnos: errnos(unix.ENOEXEC), fact: factOf("it is shorter than an ELF header", tooShort)},
			say: "the bytes given are fewer than an ELF header has"},
		{code: BadCall, when: when{stages: notBegun, errnos: errnos(unix.EINVAL), fact: factOf("no kernel has the flags {unknown}", unknownFlags)},
			say: sayBadFlags},
		{code: BadCall, when: when{stages: toRead, errnos: errnos(unix.EINVAL), fact: factOf("the kernel's inode of the descriptor is that of {kind}", descriptorOfNoFile)},
			say: sayBadDescriptor},
		{code: BadCall, when: when{stages: toRead, errnos: errnos(unix.EFAULT), fact: factOf("the kernel copies the image from the caller's memory first", imageNotCopied)},
			say: sayBadImage},
		{code: BadCall, when: when{stages: toFinal, errnos: errnos(unix.EFAULT), fact: factOf("the parameters could not be read when it called", textUnreadable)},
			say: sayBadParameters},
		{code: CompressionUnsupported, when: when{stages: toRead, errnos: errnos(unix.EOPNOTSUPP), fact: factOf("the call asked for decompression", toldCompressed)},
			say: "this kernel cannot decompress {file}: it was built without CONFIG_MODULE_DECOMPRESS"},
		{code: CompressionUnsupported, when: when{stages: notBegun, errnos: errnos(unix.EINVAL), fact: factOf("the call asked for decompression", toldCompressed)},
			say: "this kernel knows no decompression of modules (from 5.17 on), and was asked to decompress {file}"},
		{code: FileUnreadable, when: when{stages: toRead, errnos: errnos(unix.EINVAL), fact: factOf("it is not a regular file", notRegular)},
			say: "{file} is not a regular file[ but {kind}]", look: lookFile},
		{code: FileUnreadable, when: when{stages: toRead, errnos: errnos(unix.EBADF), alone: true},
			say: "the descriptor is closed, or not open for reading", look: lookFile},
		{code: FileUnreadable, when: when{stages: toRead, errnos: errnos(unix.EISDIR, unix.EFBIG, unix.EIO, unix.ESTALE, unix.ENODEV, unix.EFAULT, unix.ENXIO), alone: true},
			say: "{file} cannot be read ({errno})", look: lookFile},
		{code: FileUnreadable, when: when{stages: toRead, errnos: errnos(unix.EINVAL)},
			say: sayNotModule},

		// While they are read.
		{code: LSMDenied, when: when{fact: factOf("the LSM hook {hook} answered {errno}", denied)},
			say: sayDenied, look: lookLSM},
		{code: LSMDenied, when: when{stages: atRead, errnos: errnos(unix.EPERM, unix.EACCES)},
			say: sayDenied, look: lookLSM},
		{code: CompressionUnsupported, when: when{stages: atRead, text: decompressText, fact: factOf("the call asked for decompression, and no image came of it", toldCompressed)},
			say: "{file}: the compression is damaged, or not the one that this kernel undoes[ ({problem})]", look: lookDecompression},

		// The signature comes first.
		{code: SignatureMissing, when: when{stages: atVerify, errnos: errnos(unix.EKEYREJECTED), text: unsignedText},
			say: sayUnsigned, look: lookKeys},
		{code: SignatureUnknownKey, when: when{stages: atVerify, errnos: errnos(unix.EKEYREJECTED, unix.ENOKEY), text: noKeyText},
			say: sayUnknownKey, look: lookKeys},
		{code: SignatureUnknownKey, when: when{stages: atVerify, errnos: errnos(unix.ENOKEY), alone: true},
			say: sayUnknownKey, look: lookKeys},
		{code: SignatureUnsupported, when: when{stages: atVerify, errnos: errnos(unix.EKEYREJECTED, unix.ENOPKG), text: cryptoText},
			say: sayUnsupportedSignature, look: lookKeys},
		{code: SignatureForm, when: when{stages: atVerify, errnos: errnos(unix.EKEYREJECTED), text: formText},
			say: saySignatureForm, look: lookKeys},
		{code: SignatureMismatch, when: when{stages: atVerify, errnos: errnos(unix.EKEYREJECTED), fact: factOf("it is signed, and the kernel named no reason, as it does for every other", silentlyRejected)},
			say: saySignatureMismatch, look: lookKeys},
		{code: SignatureUnreadable, when: when{stages: atVerify, errnos: errnos(unix.EBADMSG, unix.EINVAL), fact: factOf("it ends with the mark of a signature", isSigned)},
			say: saySignatureDamaged, look: lookKeys},
		{code: Lockdown, when: when{stages: atVerify, errnos: errnos(unix.EPERM), text: lockdownText, fact: factOf("lockdown is in mode {mode}", lockedDown)},
			say: sayLockdown, look: lookKeys},

		// Then the file.
		{code: CompressionUnsupported, when: when{stages: atVerify, errnos: errnos(unix.ENOEXEC), fact: factOf("the kernel was given {method} data as it is", compressed)},
			say: "{file} is compressed by {method}, and the kernel was not asked to decompress it"},
		{code: NotELF, when: when{stages: atVerify, errnos: errnos(unix.ENOEXEC, unix.EINVAL), text: magicText, fact: factOf("its first bytes are not those of an ELF file", noELF)},
			say: sayNotELF},
		{code: WrongArchitecture, when: when{stages: atVerify, errnos: errnos(unix.ENOEXEC), text: machineText, fact: factOf("its ELF header says {machine}, this kernel is {wanted}", foreignMachine)},
			say: sayWrongMachine, look: lookMachine},
		{code: Blacklisted, when: when{stages: atVerify, errnos: errnos(unix.EPERM), text: blacklistText, fact: factOf("module_blacklist= on the kernel's command line has it", blacklisted)},
			say: sayBlacklisted},
		{code: LivepatchUnsupported, when: when{stages: atVerify, errnos: errnos(unix.ENOEXEC), text: noLivepatch, fact: factOf("its .modinfo has livepatch=Y", livepatchUnknown)},
			say: sayNoLivepatch},
		{code: ModuleLayout, when: when{stages: atVerify, errnos: errnos(unix.ENOEXEC), text: structSizeText},
			say: sayOtherStruct, look: lookStruct},
		{code: ModuleLayout, when: when{stages: atVerify, errnos: errnos(unix.ENOEXEC), text: layoutText},
			say: sayOtherLayout, look: lookBuilt},
		{code: Vermagic, when: when{stages: atVerify, errnos: errnos(unix.ENOEXEC), text: vermagicText},
			say: sayOtherVermagic},
		{code: ELFDamaged, when: when{stages: ofImage, errnos: errnos(unix.ENOEXEC, unix.EINVAL), text: damageText, fact: factOf("it does not hold together", damaged)},
			say: sayDamaged},
		{code: LoadingElsewhere, when: when{stages: toVerify, errnos: errnos(unix.EEXIST, unix.EBUSY), fact: factOf("another load of that name was under way when this one began", hasRival)},
			say: "another load of {module} was under way", look: lookRival},
		{code: AlreadyLoaded, when: when{stages: atVerify, errnos: errnos(unix.EEXIST), fact: factOf("the kernel found {module} when it looked for the name", foundLive)},
			say: sayAlreadyLoaded},

		// Symbols.
		{code: SymbolProprietary, when: when{stages: atResolve, errnos: errnos(unix.ENOENT), text: bothText},
			say: sayBoth, look: lookBoth},
		{code: SymbolProprietary, when: when{stages: atResolve, errnos: errnos(unix.ENOENT), fact: factOf("{gpl} is for GPL-compatible modules only", inheritedTaint)},
			say: sayBoth},
		{code: DependencyOutdated, next: nextOutdated, when: when{stages: atResolve, errnos: errnos(unix.ENOENT, unix.EINVAL), fact: factOf("{owner} is loaded with {loaded}; {installed} has {build}, and its {symbol} fits", outdatedOwner)},
			say: sayOutdated},
		{code: SymbolGPLOnly, when: when{stages: atResolve, errnos: errnos(unix.ENOENT), fact: factOf("the symbol is exported for GPL-compatible modules, and this one's licence is \"{licence}\"", gplOnly)},
			say: sayGPLOnly, look: lookOwner},
		{code: DependencyLeaving, when: when{stages: atResolve, errnos: errnos(unix.ENOENT), fact: factOf("{owner} exports {symbol}, and is in state going", ownerLeaves)},
			say: sayLeaving, look: lookLeaving},
		{code: SymbolMissing, when: when{stages: atResolve, errnos: errnos(unix.ENOENT), fact: factOf("nothing in the kernel exports the symbol", missing)},
			say: saySymbolMissing, look: lookProviders},
		{code: SymbolNamespace, when: when{stages: atResolve, errnos: errnos(unix.EINVAL), text: namespaceText},
			say:  sayNamespace,
			next: "Add MODULE_IMPORT_NS({namespace}) (a string from 6.13 on) to its source and build it again."},
		{code: SymbolVersion, when: when{stages: atResolve, errnos: errnos(unix.EINVAL), text: versionText},
			say: saySymbolVersion, look: lookVersions},
		{code: Interrupted, when: when{stages: atResolve, errnos: errnos(unix.EBUSY), fact: factOf("the kernel waits 30 seconds, and this took less", waitCutShort)},
			say: "{who} got a signal while {module} waited for the init of {owner}"},
		{code: DependencyNotReady, when: when{stages: atResolve, errnos: errnos(unix.EBUSY), text: waitingText},
			say: "{module} needs {owner}, whose own init has not finished"},
		{code: SymbolDuplicate, when: when{stages: toFinal, errnos: errnos(unix.ENOEXEC), text: duplicateText},
			say: saySymbolTwice},

		// Others are told that it is complete.
		{code: LivepatchMismatch, when: when{stages: atFinalize, text: keptOutText},
			say: sayKeptOut, look: lookLivepatch},
		{code: BTFInvalid, when: when{stages: atFinalize, text: typesText},
			say: sayBadTypes, look: lookTypes},
		{code: NotifierRefused, when: when{stages: atFinalize, fact: factOf("the chain of {callbacks} callbacks that are told of a complete module answered {returned}", refusedByCallback)},
			say: sayNotifier, look: lookCallback},

		// Its own code.
		{code: ParameterInvalid, when: when{stages: atParams, text: parameterText},
			say: sayParameterInvalid, look: lookParameter},
		{code: BuiltIn, when: when{stages: []tracer.Stage{tracer.StageSysfs}, errnos: errnos(unix.EINVAL), text: builtInText},
			say: "{module} is part of this kernel's image already"},
		{code: LivepatchMismatch, when: when{stages: atInit, errnos: errnos(unix.EINVAL, unix.ENOENT, unix.ENOSYS, unix.ENODEV, unix.EOPNOTSUPP), text: livepatchText},
			say: sayLivepatch},
		{code: InitRefused, when: when{stages: atInit, fact: factOf("its own init returned {returned}[, of which the kernel made {turned}]", initResult)},
			say: "its own init returned {returned}[: \"{said}\"]", look: lookSaid},
		{code: InitRefused, when: when{stages: atInit}, // the hook on its return is missing
			say: "its init failed with {errno}[: \"{said}\"]", look: lookSaid},

		// Anywhere.
		{code: NoModuleSpace, when: when{stages: beforeInit, errnos: errnos(unix.ENOMEM), text: perCPUText, fact: factOf("the file has {percpu} bytes of per-CPU data; the reserve is {reserve}", beyondReserve)},
			say: sayNoPerCPU, look: lookPerCPU},
		{code: NoModuleSpace, when: when{stages: beforeInit, errnos: errnos(unix.ENOMEM), text: vmapText, fact: factOf("the file's sections take {bytes} bytes; the kernel has 1.5 GiB for all modules at most", beyondAddresses)},
			say: sayNoAddresses, look: lookAddresses},
		{code: NoMemory, when: when{errnos: errnos(unix.ENOMEM), fact: factOf("it is not its own init that says so", noInitResult)},
			say: sayNoMemory, look: lookSize},
		{code: Interrupted, when: when{stages: toResolve, errnos: errnos(unix.EINTR, tracer.ERESTARTSYS), alone: true},
			say: "{who} got a signal while it waited[ for another load of {module}]", look: lookRival},
	}
}

func unloadRules() []rule {
	unload := func(code Code, say string, w when, look func(*scene)) rule {
		w.kind = tracer.Unload
		return rule{code: code, when: w, say: say, look: look}
	}
	return []rule{
		unload(RefcountNegative, sayRefcountNegative, when{fact: factOf("the kernel counted {count} when it looked", refcountNegative)}, lookOops),
		unload(ExitCrashed, "its exit crashed[: {oops}]", when{fact: factOf("its thread was killed for a fault[ in {place}] while code of {module} ran", crashedInside)}, lookOops),
		unload(KernelCrashed, sayKernelCrashed, when{fact: factOf(saysOutside, crashedOutside)}, lookOops),
		unload(NotPermitted, "{who} lacks CAP_SYS_MODULE",
			when{errnos: errnos(unix.EPERM), fact: factOf("the caller's credentials lack CAP_SYS_MODULE in the first user namespace", notCapable)}, nil),
		unload(ModulesDisabled, "kernel.modules_disabled is set: no module can be unloaded until the next boot",
			when{errnos: errnos(unix.EPERM), fact: factOf("kernel.modules_disabled is 1", modulesDisabled)}, nil),
		{code: LSMDenied, when: when{kind: tracer.Unload, errnos: errnos(unix.EPERM, unix.EACCES)},
			say: sayNoUse, next: nextNoUse, look: lookCapability},
		unload(BadCall, sayBadName, when{errnos: errnos(unix.EFAULT), fact: factOf("the name could not be read when it called", textUnreadable)}, nil),
		unload(BuiltIn, "{module} is part of the kernel image and cannot be unloaded",
			when{errnos: errnos(unix.ENOENT), fact: factOf("modules.builtin or /sys/module has it, and it is not loaded", builtIn)}, nil),
		unload(NotLoaded, "no module {module} is loaded[; the file that is installed as {module} has the module {called}]",
			when{errnos: errnos(unix.ENOENT), fact: factOf("the kernel found no module of that name", notBuiltIn)}, lookCalled),
		unload(HeldByModules, "{holders} {holders:use} {module}",
			when{errnos: errnos(unix.EAGAIN), fact: factOf("the kernel's list of modules that depend on it: {holders}", heldByModules)}, nil),
		{code: HeldByReferences, say: "{count} {count:hold} {module}[: {users}]", next: sayLetGo + nextOf(HeldByReferences), look: lookUsers,
			when: when{kind: tracer.Unload, errnos: errnos(unix.EAGAIN), fact: factOf("the kernel counted {count}, and no module that depends on it", heldByReferences)}},
		unload(NotLive, "{module} is not live: {state}", when{errnos: errnos(unix.EBUSY), fact: factOf("the kernel found it in another state than live", notLive)}, nil),
		unload(NoExit, "{module} has no exit function: it cannot be unloaded",
			when{errnos: errnos(unix.EBUSY), fact: factOf("the kernel found it live, with an init and without an exit", noExit)}, nil),
		unload(ExitStuck, sayExitStuck,
			when{fact: factOf("the kernel let it go and has not freed it", leaving)}, lookStuck),
		unload(Interrupted, "{who} got a signal while it waited", when{errnos: errnos(unix.EINTR, tracer.ERESTARTSYS), alone: true}, nil),
	}
}

func requestRules() []rule {
	request := func(code Code, say string, w when, look func(*scene)) rule {
		w.kind = tracer.Autoload
		return rule{code: code, when: w, say: say, look: look}
	}
	return []rule{
		request(RequestDenied, "{lsm} refused the request for {module}[: {said}]", when{fact: factOf("the LSM hook kernel_module_request answered {errno}", requestDenied)}, lookRequestLSM),
		request(HelperBusy, "too many requests were under way: {module} waited in vain",
			when{errnos: errnos(unix.ETIME), fact: factOf("no helper was started", requestRefused)}, nil),
		request(Interrupted, "{who} got a signal while it waited for {module}", when{errnos: errnos(unix.EINTR, tracer.ERESTARTSYS), alone: true}, nil),
		request(HelperMissing, "kernel.modprobe is empty: the kernel asks for no modules",
			when{errnos: errnos(unix.ENOENT), fact: factOf("no helper was started", requestRefused)}, nil),
		request(HelperMissing, "the program that loads modules[, {helper},] cannot be run ({errno})",
			when{fact: factOf("starting the helper gave {errno}", helperNotStarted)}, nil),
		request(LoadFailed, "{tried} was tried for {module} and failed: {inner}", when{fact: factOf("its helper made a load that failed", aLoadFailed)}, nil),
		request(HelperFailed, sayHelperKilled, when{fact: factOf("its helper was killed by {signal}", helperKilled)}, lookHelper),
		request(HelperFailed, sayHelperFailed, when{fact: factOf("modprobe exits with status 0 or 1 only", helperExitedOddly)}, lookHelper),
		request(BlockedByConfig, "the configuration of modprobe blocks[ {blocked}][, which {needing} needs][ (for {module})]: {config}",
			when{fact: factOf("every module for it is blocked", configBlocks)}, nil),
		request(DepmodStale, sayStaleGone, when{fact: factOf("its helper tried no load", helperMissedFile)}, nil),
		request(DepmodStale, sayIndexBroken, when{fact: factOf("modprobe knows no module for it", helperMissedIndex)}, nil),
		request(NothingProvides, "no installed module answers to {module}[: {gone} is not there][: it stands for {missing}, by {config}, and no installed module is called so]",
			when{fact: factOf("modprobe knows no module for it, and its helper loaded none", nothingAnswers)}, nil),
		request(FileUnreadable, "{file}, which modprobe takes for {target}, {problem}", when{fact: factOf("its helper tried no load", helperMetBadFile)}, nil),
		request(HelperFailed, sayHelperFailed, when{fact: factOf("its helper tried no load, although {modules} would answer", helperTriedNothing)}, lookHelper),
	}
}
