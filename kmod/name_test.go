package kmod

import (
	"errors"
	"strings"
	"testing"
)

func TestNormalName(t *testing.T) {
	for name, want := range map[string]string{
		"hello": "hello", "snd-hda-intel": "snd_hda_intel", "8021q": "8021q", "a_b-c": "a_b_c",
		strings.Repeat("x", MaxName): strings.Repeat("x", MaxName),
	} {
		if got, err := NormalName(name); err != nil || got != want {
			t.Errorf("%q: got %q, %v", name, got, err)
		}
	}
	for _, name := range []string{
		"", ".", "..", "/", "a/b", "../x", "-r", "--all", "a b", "a\x00b", "a\nb", "\x1b[31m",
		strings.Repeat("x", MaxName+1), strings.Repeat("x", 4096),
	} {
		got, err := NormalName(name)
		if !errors.Is(err, ErrBadName) {
			t.Errorf("%q: got %q, %v", name, got, err)
			continue
		}
		if text := (&Error{Op: "unload", Module: name, Err: err}).Error(); len(text) > 400 || strings.ContainsAny(text, "\n\x00\x1b") {
			t.Errorf("%q: not one clean line: %q", name, text)
		}
	}
}

func TestIsFile(t *testing.T) {
	for target, want := range map[string]bool{
		"hello": false, "hello.ko": true, "hello.ko.xz": true, "hello.ko.gz": true, "hello.ko.zst": true,
		"./hello": true, "/": true, "a.ko.bz2": false, "hello.kob": false, "": false, "pci:v00008086d*": false,
	} {
		if got := IsFile(target); got != want {
			t.Errorf("%q: %v", target, got)
		}
	}
}
