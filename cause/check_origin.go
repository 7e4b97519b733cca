package cause

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// Whether the module may be trusted, and whether it is of this kernel.

// signed follows the kernel: what cannot be read or does not fit is refused
// always, what is missing or unknown only by policy.
func (c *checkup) signed() *Cause {
	if value, err := c.kernel.Config("CONFIG_MODULE_SIG"); err == nil && value != "y" {
		return nil
	}
	c.nameSigner()
	err := c.kernel.Verify(c.image)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kernel.ErrUnsigned):
		return c.untrusted(SignatureMissing, sayUnsigned)
	case errors.Is(err, kernel.ErrNoKey):
		return c.untrusted(SignatureUnknownKey, sayUnknownKey)
	case errors.Is(err, kernel.ErrSignatureUnsupported):
		return c.untrusted(SignatureUnsupported, sayUnsupportedSignature)
	case errors.Is(err, kernel.ErrSignatureForm):
		c.name("problem", "it has signed attributes")
		return c.refuse(SignatureForm, saySignatureForm, "{problem}")
	case errors.Is(err, kernel.ErrSignature):
		return c.refuse(SignatureMismatch, saySignatureMismatch, "a trusted key is named, and its signature is of other bytes")
	case errors.Is(err, kernel.ErrSignatureDamaged):
		return c.refuse(SignatureUnreadable, saySignatureDamaged, "it ends with the mark of a signature")
	}
	c.leave("whether its signature is valid: %v", err)
	return nil
}

func (c *checkup) nameSigner() {
	if s := c.signature; s != nil {
		c.name("signer", quoted(s.Signer))
		c.name("key", s.KeyID)
		c.name("signature", s.Problem)
	}
}

// untrusted is refused where signatures are enforced, or lockdown wants them.
func (c *checkup) untrusted(code Code, say string) *Cause {
	enforced, err := c.kernel.SignatureEnforced()
	if err != nil {
		c.leave("whether signatures are enforced: %v", err)
	}
	if enforced {
		return c.refuse(code, say, "signatures are enforced (module.sig_enforce)", "[signature: by {signer}, key {key}]")
	}
	mode, err := c.kernel.Lockdown()
	if err != nil {
		c.leave("whether lockdown is on: %v", err)
	}
	if mode == "integrity" || mode == "confidentiality" {
		c.name("mode", mode)
		return c.refuse(Lockdown, sayLockdown, "lockdown is in mode {mode}")
	}
	return nil
}

// structSize compares the size of struct module, as kernels do from 6.4 on. Older ones copy what
// the module brings, whatever its size: that is a warning.
func (c *checkup) structSize() *Cause {
	theirs := c.file.StructSize
	ours, err := c.kernel.StructSize()
	if err != nil {
		c.leave("the size of this kernel's struct module: %v", err)
		return nil
	}
	if theirs == ours {
		return nil
	}
	c.name("theirs", fmt.Sprint(theirs))
	c.name("ours", fmt.Sprint(ours))
	c.name("built", strings.TrimSpace(c.file.Value("vermagic")))
	cause := c.refuse(ModuleLayout, sayOtherStruct, "[built for: {built}]")
	if c.kernel.AtLeast(6, 4) {
		return cause
	}
	cause.Evidence = append(cause.Evidence, "this kernel is older than 6.4, and does not compare these sizes")
	c.warnings = append(c.warnings, *cause)
	return nil
}

// layout compares the version of struct module, where both have one.
func (c *checkup) layout() *Cause {
	switch {
	case !c.modversions():
		return nil
	case !versioned(c.file):
		return c.unforced(ModuleLayout, "{module} was built without versions of symbols, and this kernel wants them", "it has no versions")
	case c.file.Layout == nil:
		return nil
	}
	symbol, err := c.kernel.Symbol("module_layout")
	if err != nil || symbol.CRC == nil {
		c.leave("the version of this kernel's struct module")
		return nil
	}
	if *symbol.CRC != *c.file.Layout {
		c.name("theirs", c.file.Layout.String())
		c.name("ours", symbol.CRC.String())
		return c.refuse(ModuleLayout, sayOtherLayout, "{theirs} where this kernel has {ours}")
	}
	return nil
}

// unforced refuses what a kernel takes only where it was built to be forced: it does
// not ask who forces it.
func (c *checkup) unforced(code Code, say, evidence string) *Cause {
	value, err := c.kernel.Config("CONFIG_MODULE_FORCE_LOAD")
	switch {
	case err != nil:
		c.leave("whether this kernel was built with CONFIG_MODULE_FORCE_LOAD, for %s: %v", evidence, err)
		return nil
	case value == "y":
		return nil
	}
	return c.refuse(code, say, evidence, "this kernel was built without CONFIG_MODULE_FORCE_LOAD")
}

// modversions tells whether the kernel compares versions of symbols.
func (c *checkup) modversions() bool {
	if value, err := c.kernel.Config("CONFIG_MODVERSIONS"); err == nil {
		return value == "y"
	}
	ours, err := c.kernel.Vermagic()
	return err == nil && strings.Contains(ours, "modversions")
}

// vermagic compares as the kernel does: without the release where the module's
// symbols have versions.
func (c *checkup) vermagic() *Cause {
	theirs := strings.TrimSpace(c.file.Value("vermagic"))
	ours, err := c.kernel.Vermagic()
	if err != nil {
		c.leave("this kernel's vermagic: %v", err)
		return nil
	}
	ours = strings.TrimSpace(ours)
	if theirs == "" {
		return c.unforced(Vermagic, "{module} does not say for which kernel it was built", "it has no vermagic")
	}
	c.name("theirs", theirs)
	c.name("ours", ours)
	if versioned(c.file) && c.modversions() {
		_, theirs, _ = strings.Cut(theirs, " ")
		_, ours, _ = strings.Cut(ours, " ")
	}
	if theirs != ours {
		return c.refuse(Vermagic, sayOtherVermagic, "its vermagic is \"{theirs}\"")
	}
	return nil
}

func versioned(f *kmod.File) bool {
	if f.Layout != nil {
		return true
	}
	for _, i := range f.Imports {
		if i.CRC != nil {
			return true
		}
	}
	return false
}
