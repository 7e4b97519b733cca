package tracer

import (
	"os"
	"path/filepath"
	"testing"
)

// TestKernelSites: of the list of symbols only the kernel's own functions name a request.
func TestKernelSites(t *testing.T) {
	const list = kallsyms + `ffffffffc0002000 t bpf_trampoline_6442513123_0	[bpf]
ffffffffc0003000 t kprobe_insn_page	[__builtin__kprobes]
`
	for what, c := range map[string]struct {
		list string
		site Address
		want string
	}{
		"function":            {list, 0xffffffff81000184, "misc_open+0x84"},
		"end of a function":   {list, 0xffffffff810002ff, "misc_open+0x1ff"},
		"start of a function": {list, 0xffffffff81000300, ""},
		"module of today":     {list, 0xffffffffc000101e, ""},
		"trampoline":          {list, 0xffffffffc0002010, ""},
		"probe":               {list, 0xffffffffc0003010, ""},
		"below all":           {list, 0xffffffff80ffffff, ""},
		"no address":          {list, 0, ""},
		"hidden":              {"0000000000000000 t misc_open\n", 0xffffffff81000184, ""},
	} {
		file := filepath.Join(t.TempDir(), "kallsyms")
		if err := os.WriteFile(file, []byte(c.list), 0o600); err != nil {
			t.Fatal(err)
		}
		k := newKernelSites()
		k.symbols.File = file
		if got := k.named(Request{Site: c.site}); got.Symbol != c.want || got.Site != c.site {
			t.Errorf("%s: %+v, want %q", what, got, c.want)
		}
		if got := k.named(Request{Site: c.site, Symbol: "known"}); got.Symbol != "known" {
			t.Errorf("%s: what is known became %q", what, got.Symbol)
		}
	}
}
