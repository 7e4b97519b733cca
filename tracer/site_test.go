package tracer

import "testing"

// TestSiteSymbol: of what the kernel says only functions are taken.
func TestSiteSymbol(t *testing.T) {
	for text, want := range map[string]string{
		"get_fs_type+0xe4/0x120":          "get_fs_type+0xe4",
		"settle+0x1e/0x40 [taker]":        "settle+0x1e [taker]",
		"nested_init+0x1e/0xff0 [nested]": "nested_init+0x1e [nested]",
		"_RNv+x.cold+0x1/0x2":             "_RNv+x.cold+0x1",
		"":                                "", // kernels before 5.13
		"?":                               "", // the kernel refused
		"0xffffffffc0001010":              "",
		"bpf_trampoline_6442513123_0+0x47/0x1000":        "",
		"bpf_prog_0123456789abcdef_watch+0x47/0x80":      "",
		"bpf_prog_alloc+0x47/0x80":                       "bpf_prog_alloc+0x47",
		"bpf_trampoline_1+0x47/0x80 [bpf]":               "",
		"ftrace_trampoline+0x4/0x80 [__builtin__ftrace]": "",
		"before_trampoline+0x40/0x40":                    "", // the start of what lies behind
		"too_lo":                                         "",
		"f+0x1/0x2 [a":                                   "",
		"f+0x1ffffffffffffffff/0x2":                      "",
	} {
		if got := siteSymbol(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
