package cause

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// livepatch: a livepatch is for kernels that have them.
func (c *checkup) livepatch() *Cause {
	if c.file.Value("livepatch") != "Y" {
		return nil
	}
	switch value, err := c.kernel.Config("CONFIG_LIVEPATCH"); {
	case err != nil && c.exportsLivepatch():
	case err != nil:
		c.leave("whether this kernel has livepatches: %v", err)
	case value != "y":
		return c.refuse(LivepatchUnsupported, sayNoLivepatch, "its .modinfo has livepatch=Y")
	}
	return nil
}

// exportsLivepatch tells whether this kernel exports what livepatches call.
func (c *checkup) exportsLivepatch() bool {
	_, err := c.kernel.Symbol("klp_enable_patch")
	return err == nil
}

// types: kernels that keep the types of modules look at them first. Whether they refer to the
// types of this very kernel only the load shows.
func (c *checkup) types() *Cause {
	file, err := elf.NewFile(bytes.NewReader(c.content))
	if err != nil {
		return nil
	}
	defer file.Close()
	section := file.Section(".BTF")
	if section == nil {
		return nil
	}
	data, err := section.Data()
	if err != nil {
		return nil
	}
	problem := problemOfTypes(data, file.ByteOrder)
	if problem == "" || !c.keepsTypes() {
		return nil
	}
	c.name("problem", problem)
	return c.refuse(BTFInvalid, sayBadTypes, "its section .BTF: {problem}")
}

// keepsTypes tells whether this kernel refuses a module whose types are not valid.
func (c *checkup) keepsTypes() bool {
	keeps, err := c.kernel.Config("CONFIG_DEBUG_INFO_BTF_MODULES")
	if err == nil && keeps != "y" {
		return false
	}
	lenient, lenientErr := c.kernel.Config("CONFIG_MODULE_ALLOW_BTF_MISMATCH")
	if err != nil || lenientErr != nil {
		c.leave("whether this kernel takes a module whose type information (.BTF) is damaged")
		return false
	}
	return lenient != "y"
}

// The header of BTF (struct btf_header of include/uapi/linux/btf.h).
const (
	typesMagic   = 0xeb9f
	typesVersion = 1
	typesHeader  = 24
)

// problemOfTypes gives what the kernel refuses about the header; empty for nothing. An empty
// section counts as none.
func problemOfTypes(data []byte, order binary.ByteOrder) string {
	switch {
	case len(data) == 0:
		return ""
	case len(data) < typesHeader:
		return fmt.Sprintf("%d bytes, and its header has %d", len(data), typesHeader)
	case order.Uint16(data) != typesMagic:
		return fmt.Sprintf("it begins with %#04x, and BTF with %#04x", order.Uint16(data), typesMagic)
	case data[2] != typesVersion:
		return fmt.Sprintf("it is of version %d, and BTF has %d", data[2], typesVersion)
	case data[3] != 0:
		return fmt.Sprintf("it has the flags %#x, and BTF has none", data[3])
	}
	return ""
}
