package kernel

import "errors"

// bootImage is an installed kernel's image.
type bootImage struct {
	machine string
}

func (k *Kernel) readBootImage() (*bootImage, error) { return nil, unknown("no boot image is read") }

func (b *bootImage) vermagic(release string) string { return "" }

func (b *bootImage) exports(relative bool) (exports, error) { return nil, errors.New("none") }
