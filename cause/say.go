package cause

// The sentences of the causes that more than one of explain, check and load finds, so that
// all say the same of one fact. They are templates for sentence.
const (
	sayModulesDisabled      = "kernel.modules_disabled is set: no module can be loaded until the next boot"
	sayEmpty                = "{file} is empty"
	sayNotModule            = "{file} cannot be read as a module"
	sayCompressionDamaged   = "{file}: the compression is damaged"
	sayNoSuchFile           = "there is no file {file}"
	sayUnsigned             = "{file}: no signature, and this kernel takes only signed modules"
	sayUnknownKey           = "{file}: signed[ by {signer}][ with key {key}], which this kernel does not trust"
	sayUnsupportedSignature = "{file}: the signature[ ({hash})] is of a kind that this kernel cannot check"
	saySignatureMismatch    = "{file}: the signature[ by {signer}] does not fit the bytes: they were changed after signing"
	saySignatureDamaged     = "{file}: the block at its end that should be a signature is damaged[ ({signature})]"
	sayLockdown             = "{file}: no signature that this kernel trusts, and lockdown[ (mode {mode})] wants one"
	sayNotELF               = "{file} is no ELF file, and so no module"
	sayWrongMachine         = "{file}: built for {machine}, and this kernel runs on {wanted}"
	sayBlacklisted          = "{module} is in module_blacklist= on the kernel's command line"
	sayOtherLayout          = "{module} was built for a kernel with another struct module (the version of module_layout differs)"
	sayOtherVermagic        = "{module} was built for kernel \"{theirs}\", and this one is \"{ours}\""
	sayDamaged              = "{file}: damaged[: {problem}]"
	sayAlreadyLoaded        = "{module} is loaded already"
	sayGPLOnly              = "{module} wants {symbol}, which[ {owner}] exports only to GPL-compatible modules; its licence is \"{licence}\""
	saySymbolMissing        = "{module} wants {symbol}, which nothing in this kernel exports[; {providers} would]"
	sayNamespace            = "{module} uses {symbol} of the namespace {namespace} without importing it"
	saySymbolVersion        = "{module} was built against another version of {symbol}[ ({theirs}, where this kernel has {ours})]"
	saySymbolTwice          = "{module} exports {symbol}, which {owner} exports already"
	sayParameterInvalid     = "{module} does not take \"{value}\" for its parameter {parameter}[ ({type})]"
	sayNoMemory             = "no memory for {module}[ ({bytes} bytes)]"
)
