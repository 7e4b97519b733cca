package modname

import "testing"

// TestOfFile: names with dots are those that kbuild gave such modules on 6.12, see
// docs/kernel-facts.md.
func TestOfFile(t *testing.T) {
	for file, want := range map[string]string{
		"hello.ko":                 "hello",
		"/lib/nf-tables.ko.xz":     "nf_tables",
		"./my.kota.ko":             "my.kota",
		"a.b.ko":                   "a.b",
		"/x.ko/a-b.c.ko.zst":       "a_b.c",
		"extra/my.kota.ko.gz":      "my.kota",
		"twice.ko.ko":              "twice.ko",
		"drivers/my.korg/hello.ko": "hello",
	} {
		if got, ok := OfFile(file); got != want || !ok {
			t.Errorf("%s: %q, %v; want %q", file, got, ok, want)
		}
	}
	for file, want := range map[string]string{
		"memfd:x-y":   "memfd:x_y",
		"/x/hello.o":  "hello.o",
		"/x/my.kota":  "my.kota",
		"hello.ko.7z": "hello.ko.7z",
	} {
		if got, ok := OfFile(file); got != want || ok {
			t.Errorf("%s: %q, %v; want %q of no module's file", file, got, ok, want)
		}
	}
}
