package cause

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// checked is a row: a file and a kernel, and what is to be expected.
type checked struct {
	data      []byte
	module    koimage.Module // where data is nil; hello if empty
	machine   files          // on ordinary; nil for that
	bare      bool           // machine is all that there is
	params    kmod.Params
	given     []koimage.Module
	replacing bool // the loaded one of its name
	verdict   Judgement
	code      Code
	says      string
	open      []string // words of the questions
}

func (c *checked) image() []byte {
	switch {
	case c.data != nil:
		return c.data
	case c.module.Info == nil:
		return hello().Bytes()
	}
	return c.module.Bytes()
}

func (c *checked) kernel(t *testing.T) *kernel.Kernel {
	if c.bare {
		return c.machine.open(t)
	}
	return ordinary().with(c.machine).open(t)
}

func zipped(data []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(data)
	w.Close()
	return out.Bytes()
}

func machineOf(data []byte, machine byte) []byte {
	data = bytes.Clone(data)
	data[18] = machine
	return data
}

func informed(lines ...string) koimage.Module {
	return changed(func(m *koimage.Module) { m.Info = append([]string{"license=GPL", "name=hello"}, lines...) })
}

// checkedFiles are files with kernels to judge them.
func checkedFiles() map[string]checked {
	image := hello().Bytes()
	enforced := files{"sys/module/module/parameters/sig_enforce": "Y\n"}
	locked := files{"sys/kernel/security/lockdown": "none [integrity] confidentiality\n"}
	unversioned := files{"boot/config-" + release: "CONFIG_MODULES=y\n"}
	forced := files{"boot/config-" + release: "CONFIG_MODULES=y\nCONFIG_MODVERSIONS=y\nCONFIG_MODULE_FORCE_LOAD=y\n"}
	tainted := files{"proc/modules": "dep 4096 0 - Live 0x0 (PO)\n"}
	unfree := withExport("giver", koimage.Symbol{Name: "given"})
	unfree.Info[0] = "license=Proprietary"
	plain := koimage.Module{This: true, Info: []string{"license=GPL", "name=hello", "vermagic=" + vermagic}}
	return map[string]checked{
		"hello":         {verdict: Loads},
		"hello in gzip": {data: zipped(image), verdict: Loads},
		"all it imports": {module: changed(func(m *koimage.Module) {
			m.Imports = append(m.Imports, koimage.Symbol{Name: "gpl_only", CRC: 0x12}, koimage.Symbol{Name: "dep_gives", CRC: 0x20}, koimage.Symbol{Name: "nothing", Weak: true})
		}), verdict: Loads},

		"disabled":      {machine: files{"proc/sys/kernel/modules_disabled": "1\n"}, verdict: Refused, code: ModulesDisabled, says: "until the next boot"},
		"empty":         {data: []byte{}, verdict: Refused, code: NotELF, says: "is empty"},
		"text":          {data: []byte("hello\n"), verdict: Refused, code: NotELF, says: "not an ELF file"},
		"gzip of text":  {data: zipped([]byte("hello\n")), verdict: Refused, code: NotELF, says: "not an ELF file"},
		"gzip of gzip":  {data: zipped(zipped(image)), verdict: Refused, code: NotELF, says: "not an ELF file"},
		"half":          {data: image[:len(image)/2], verdict: Refused, code: ELFDamaged, says: "cut short"},
		"header":        {data: image[:64], verdict: Refused, code: ELFDamaged, says: "cut short"},
		"half a gzip":   {data: zipped(image)[:100], verdict: Refused, code: CompressionUnsupported, says: "compression is damaged"},
		"no module":     {module: changed(func(m *koimage.Module) { m.This = false }), verdict: Refused, code: ELFDamaged, says: "no struct module"},
		"bomb":          {data: zipped(make([]byte, 20<<20)), verdict: Undecided, open: []string{"too big"}},
		"unsigned":      {machine: enforced, verdict: Refused, code: SignatureMissing, says: "no signature"},
		"foreign kind":  {data: otherKind(koimage.Sign(image, []byte("x"))), machine: enforced, verdict: Refused, code: SignatureUnsupported, says: "cannot check"},
		"damaged":       {data: koimage.Sign(image, []byte("junk")), verdict: Refused, code: SignatureUnreadable, says: "is damaged"},
		"lockdown":      {machine: locked, verdict: Refused, code: Lockdown, says: "(mode integrity)"},
		"no signatures": {machine: files{"boot/config-" + release: "CONFIG_MODULES=y\n", "sys/kernel/security/lockdown": "none [integrity]\n"}, verdict: Loads},
		"arm64":         {data: machineOf(image, 183), verdict: Refused, code: WrongArchitecture, says: "built for aarch64, and this kernel runs on x86-64"},
		"blacklist":     {machine: files{"proc/cmdline": "module_blacklist=x,hello\n"}, verdict: Refused, code: Blacklisted, says: "hello is in module_blacklist="},
		"struct":        {module: larger(), verdict: Refused, code: ModuleLayout, says: "another struct module (128 bytes, where this kernel's has 64)"},
		"struct, another release": {module: changed(func(m *koimage.Module) {
			m.Struct = make([]byte, 64)
			m.Info[2] = "vermagic=6.1.0 SMP preempt mod_unload modversions "
		}), verdict: Refused, code: ModuleLayout, says: `built for "6.1.0 SMP preempt mod_unload modversions", a kernel`},
		"layout":         {module: changed(func(m *koimage.Module) { m.Imports[0].CRC++ }), verdict: Refused, code: ModuleLayout, says: "struct module"},
		"loaded":         {machine: files{"proc/modules": "hello 4096 0 - Live 0x0\n"}, verdict: Refused, code: AlreadyLoaded, says: "hello is loaded already"},
		"replaced":       {machine: files{"proc/modules": "hello 4096 0 - Live 0x0\n"}, replacing: true, verdict: Loads},
		"dashes, loaded": {module: informed("name=hel-lo", "vermagic="+vermagic), machine: files{"proc/modules": "hello 4096 0 - Live 0x0\n"}, verdict: Refused, code: AlreadyLoaded},

		"another release, versions":    {module: informed("vermagic=6.1.0 SMP preempt mod_unload modversions "), verdict: Loads},
		"other words, versions":        {module: informed("vermagic=" + release + " SMP mod_unload modversions "), verdict: Refused, code: Vermagic, says: `built for kernel "6.12.0-test SMP mod_unload modversions"`},
		"another release, no versions": {module: bareModule("vermagic=6.1.0 SMP preempt mod_unload modversions "), machine: unversioned, verdict: Refused, code: Vermagic, says: `"6.1.0 SMP`},
		"no vermagic":                  {module: informed(), verdict: Refused, code: Vermagic, says: "does not say for which kernel"},
		"no vermagic, forced":          {module: informed(), machine: forced, verdict: Loads},
		"no versions":                  {module: plain, verdict: Refused, code: ModuleLayout, says: "without versions"},
		"no versions, forced":          {module: plain, machine: forced, verdict: Loads},
		"no versions wanted":           {module: plain, machine: unversioned, verdict: Loads},

		"outdated":           {module: wanting(koimage.Symbol{Name: "dep_more", CRC: 0x22}), machine: replacedDep(), verdict: Refused, code: DependencyOutdated, says: "and another build of dep is loaded"},
		"outdated, no help":  {module: wanting(koimage.Symbol{Name: "dep_more", CRC: 0x99}), machine: replacedDep(), verdict: Refused, code: SymbolMissing, says: "wants dep_more"},
		"addresses":          {module: changed(func(m *koimage.Module) { m.Room = 2 << 30 }), verdict: Refused, code: NoModuleSpace, says: "hello takes 2147"},
		"per-CPU data":       {module: changed(func(m *koimage.Module) { m.PerCPU = 8193 }), verdict: Refused, code: NoModuleSpace, says: "hello has 8193 bytes of per-CPU data"},
		"per-CPU data, room": {module: changed(func(m *koimage.Module) { m.PerCPU = 8192 }), verdict: Loads},
		"missing":            {module: wanting(koimage.Symbol{Name: "nothing"}), verdict: Refused, code: SymbolMissing, says: "wants nothing, which nothing in this kernel exports"},
		"missing, to be had": {module: wanting(koimage.Symbol{Name: "given"}), verdict: Refused, code: SymbolMissing, says: "; giver would"},
		"given":              {module: wanting(koimage.Symbol{Name: "given", CRC: 0x21}), given: []koimage.Module{withExport("giver", koimage.Symbol{Name: "given", CRC: 0x21})}, verdict: Loads},
		"given, version":     {module: wanting(koimage.Symbol{Name: "given", CRC: 0x22}), given: []koimage.Module{withExport("giver", koimage.Symbol{Name: "given", CRC: 0x21})}, verdict: Refused, code: SymbolVersion, says: "another version of given (0x00000022, where this kernel has 0x00000021)"},
		"given, GPL":         {module: licensed("Proprietary", koimage.Symbol{Name: "given", CRC: 0x21}), given: []koimage.Module{withExport("giver", koimage.Symbol{Name: "given", CRC: 0x21, GPL: true})}, verdict: Refused, code: SymbolGPLOnly, says: "giver exports only"},
		"GPL":                {module: licensed("Proprietary", koimage.Symbol{Name: "gpl_only", CRC: 0x12}), verdict: Refused, code: SymbolGPLOnly, says: `which the kernel exports only to GPL-compatible modules; its licence is "Proprietary"`},
		"no licence": {module: changed(func(m *koimage.Module) {
			m.Info = m.Info[1:]
			m.Imports = append(m.Imports, koimage.Symbol{Name: "gpl_only", CRC: 0x12})
		}), verdict: Refused, code: SymbolGPLOnly, says: `its licence is "`},
		"both":                 {module: mixture("gpl_only", "dep_gives"), machine: tainted, verdict: Refused, code: SymbolProprietary, says: "(gpl_only), and dep_gives of dep, which is proprietary"},
		"both, the other way":  {module: mixture("dep_gives", "gpl_only"), machine: tainted, verdict: Refused, code: SymbolProprietary, says: "(gpl_only), and dep_gives of dep, which is proprietary"},
		"proprietary's alone":  {module: mixture("dep_gives"), machine: tainted, verdict: Loads},
		"both, not yet loaded": {module: mixture("gpl_only", "given"), given: []koimage.Module{unfree}, verdict: Refused, code: SymbolProprietary, says: "given of giver"},
		"owner leaves":         {module: mixture("dep_gives"), machine: files{"proc/modules": "dep 4096 -1 - Unloading 0x0\n"}, verdict: Refused, code: DependencyLeaving, says: "which dep exports: it is being unloaded"},
		"Dual BSD/GPL":         {module: licensed("Dual BSD/GPL", koimage.Symbol{Name: "gpl_only", CRC: 0x12}), verdict: Loads},
		"version":              {module: changed(func(m *koimage.Module) { m.Imports[1].CRC = 0x99 }), verdict: Refused, code: SymbolVersion, says: "another version of free (0x00000099"},
		"namespace":            {module: wanting(koimage.Symbol{Name: "spaced", CRC: 0x13}), verdict: Refused, code: SymbolNamespace, says: "uses spaced of the namespace SPACE"},
		"namespace, imported": {module: changed(func(m *koimage.Module) {
			m.Imports = append(m.Imports, koimage.Symbol{Name: "spaced", CRC: 0x13})
			m.Info = append(m.Info, "import_ns=SPACE")
		}), verdict: Loads},
		"namespace, let go": {module: wanting(koimage.Symbol{Name: "spaced", CRC: 0x13}), machine: files{"boot/config-" + release: "CONFIG_MODVERSIONS=y\nCONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS=y\n"}, verdict: Loads},
		"for us and others": {module: wanting(koimage.Symbol{Name: "friends", CRC: 0x14}), verdict: Loads},
		"for others":        {module: wanting(koimage.Symbol{Name: "strangers", CRC: 0x15}), verdict: Refused, code: SymbolNamespace, says: "module:kvm-intel,helios"},
		"for us, with a dash": {module: changed(func(m *koimage.Module) {
			m.Info[1] = "name=kvm_intel"
			m.Imports = append(m.Imports, koimage.Symbol{Name: "strangers", CRC: 0x15})
		}), verdict: Loads},
		"duplicate":           {module: changed(func(m *koimage.Module) { m.Exports = []koimage.Symbol{{Name: "free"}} }), verdict: Refused, code: SymbolDuplicate, says: "exports free, which the kernel exports already"},
		"duplicate of loaded": {module: changed(func(m *koimage.Module) { m.Exports = []koimage.Symbol{{Name: "dep_gives"}} }), verdict: Refused, code: SymbolDuplicate, says: "which dep exports already"},
		"of the replaced":     {module: withExport("dep", koimage.Symbol{Name: "dep_gives"}), replacing: true, verdict: Loads},
		"of another":          {module: withExport("other", koimage.Symbol{Name: "dep_gives"}), replacing: true, verdict: Refused, code: SymbolDuplicate, says: "which dep exports already"},
		"new export":          {module: changed(func(m *koimage.Module) { m.Exports = []koimage.Symbol{{Name: "fresh"}} }), verdict: Loads},

		"value":        {params: kmod.Params{"times=x"}, verdict: Refused, code: ParameterInvalid, says: `take "x" for its parameter times (int)`},
		"empty value":  {params: kmod.Params{"times="}, verdict: Refused, code: ParameterInvalid, says: `take "" for its parameter times (int)`},
		"quoted value": {params: kmod.Params{`times="7"`, `whom="a b"`}, verdict: Loads},

		"nothing known":            {machine: unprivileged(), bare: true, verdict: Undecided, open: []string{"whether signatures are enforced", "whether lockdown is on", "vermagic", "1 symbol"}},
		"nothing known, and empty": {machine: unprivileged(), bare: true, data: []byte{}, verdict: Refused, code: NotELF, says: "is empty"},
	}
}

func bareModule(lines ...string) koimage.Module {
	return koimage.Module{This: true, Info: append([]string{"license=GPL", "name=hello"}, lines...)}
}

// otherKind makes a signature one that is not a PKCS#7.
func otherKind(image []byte) []byte {
	image[len(image)-len("~Module signature appended~\n")-10] = 1
	return image
}

func TestCheck(t *testing.T) {
	for name, c := range checkedFiles() {
		t.Run(name, func(t *testing.T) {
			opts := &CheckOptions{Params: c.params, Replacing: c.replacing}
			for _, m := range c.given {
				f, err := kmod.Parse(m.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				opts.Given = append(opts.Given, f)
			}
			v, err := Check(t.Context(), file(t, "hello.ko", c.image()), c.kernel(t), opts)
			if err != nil {
				t.Fatal(err)
			}
			if v.Judgement != c.verdict {
				t.Errorf("%s: %v, open: %q", v.Judgement, v.Cause, v.Open)
			}
			if c.code != "" || v.Cause != nil {
				checkCause(t, v.Cause, c.code, c.says)
			}
			for _, words := range c.open {
				if !slices.ContainsFunc(v.Open, func(q string) bool { return strings.Contains(q, words) }) {
					t.Errorf("open: %q, want %q", v.Open, words)
				}
			}
			if v.Kernel != release || len(v.Later) == 0 || v.Module == "" {
				t.Errorf("%+v", v)
			}
		})
	}
}

// TestCheckNames: a cause names what it is about, and not what was looked at before.
func TestCheckNames(t *testing.T) {
	path := file(t, "hello.ko", hello().Bytes())
	k := ordinary().open(t)
	v, err := Check(t.Context(), path, k, &CheckOptions{Params: kmod.Params{"a=1", "b=2", "times=x"}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"file": path, "module": "hello", "parameter": "times", "value": "x", "type": "int"}
	if diff := cmp.Diff(want, v.Cause.Names); diff != "" {
		t.Error(diff)
	}
	for i, name := range []string{"a", "b"} {
		if len(v.Warnings) != 2 || v.Warnings[i].Names["parameter"] != name {
			t.Fatalf("%+v", v.Warnings)
		}
		checkCause(t, &v.Warnings[i], ParameterUnknown, "no parameter "+name)
	}
}

// TestCheckStructOfOldKernel: a kernel that does not compare sizes takes the module, which is
// worth a warning.
func TestCheckStructOfOldKernel(t *testing.T) {
	const old = "5.10.0-test"
	m := larger()
	m.Info[2] = strings.ReplaceAll(m.Info[2], release, old)
	v, err := Check(t.Context(), file(t, "hello.ko", m.Bytes()), older(old).open(t), nil)
	if err != nil || v.Judgement != Loads || len(v.Warnings) != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	checkCause(t, &v.Warnings[0], ModuleLayout, "(128 bytes, where this kernel's has 64)")
}

// TestCheckUnreadable tries what is there and no file.
func TestCheckUnreadable(t *testing.T) {
	k := ordinary().open(t)
	for path, code := range map[string]Code{
		filepath.Join(t.TempDir(), "none.ko"): NotFound, t.TempDir(): FileUnreadable, "/dev/zero": FileUnreadable, "a\x00b.ko": FileUnreadable,
		filepath.Join(t.TempDir(), strings.Repeat("x", 5000)): FileUnreadable,
	} {
		v, err := Check(t.Context(), path, k, nil)
		if err != nil || v.Judgement != Refused || v.Cause.Code != code {
			t.Errorf("%.40q: %+v, %v", path, v, err)
		}
	}
}

func TestCheckIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := Check(ctx, "x.ko", ordinary().open(t), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestAcceptable compares with what the kernel's kstrto… and param_set_… take.
func TestAcceptable(t *testing.T) {
	long := strings.Repeat("x", maxString)
	for kind, c := range map[string]struct{ good, bad []string }{
		"byte":           {[]string{"0", "255", "0xff", "0XFF", "0377", "+7", "7\n"}, []string{"", "256", "-1", "0x100", "0400", "08", "0x", "x", " 7", "7 ", "1_0", "++7", "7\n\n"}},
		"short":          {[]string{"-32768", "32767", "-0x8000", "-0", "+32767"}, []string{"-32769", "32768", "--1", "-+1", "+-1", "-", "+"}},
		"ushort":         {[]string{"65535"}, []string{"65536", "-0"}},
		"int":            {[]string{"-2147483648", "2147483647", "017777777777"}, []string{"2147483648", "1.5", "1e3", "0b1", "0o7"}},
		"uint":           {[]string{"4294967295", "0xffffffff"}, []string{"4294967296", "-1"}},
		"long":           {[]string{"-9223372036854775808", "9223372036854775807"}, []string{"9223372036854775808"}},
		"ulong":          {[]string{"18446744073709551615"}, []string{"18446744073709551616", "-1"}},
		"ullong":         {[]string{"0xffffffffffffffff"}, []string{"0x10000000000000000"}},
		"hexint":         {[]string{"0xff", "10", "010"}, []string{"ff", "0xg", "-1"}},
		"bool":           {[]string{"y", "Y", "1", "n", "N", "0", "yes", "no", "on", "off", "ON", "oFF", "1x"}, []string{"", "o", "ox", "2", "-1", "\n", " y"}},
		"bint":           {[]string{"y", "0"}, []string{"2"}},
		"invbool":        {[]string{"y", "0"}, []string{"2"}},
		"charp":          {[]string{"", long, "a,b"}, []string{long + "x"}},
		"string":         {[]string{"", "x"}, nil},
		"array of byte":  {[]string{"1", "1,2,0xff"}, []string{"", "1,", ",1", "1,256", "1, 2"}},
		"array of charp": {[]string{"", "a,b", ","}, []string{"a," + long + "x"}},
		"array of bool":  {[]string{"y,n"}, []string{"y,", "y,2"}},
		"its own":        {[]string{"", "anything"}, nil},
		"":               {[]string{"", "anything"}, nil},
	} {
		for _, value := range c.good {
			if !acceptable(kind, value, true, 64) {
				t.Errorf("%s takes %.40q", kind, value)
			}
		}
		for _, value := range c.bad {
			if acceptable(kind, value, true, 64) {
				t.Errorf("%s does not take %.40q", kind, value)
			}
		}
	}
	for kind, alone := range map[string]bool{"bool": true, "bint": true, "invbool": false, "int": false, "charp": false, "string": false, "array of bool": false, "its own": true} {
		if acceptable(kind, "", false, 64) != alone {
			t.Errorf("%s without a value", kind)
		}
	}
	if acceptable("ulong", "4294967296", true, 32) || !acceptable("ullong", "4294967296", true, 32) {
		t.Error("a long has the size of a word")
	}
}

// TestWordsOfBool: what only later kernels take is left open.
func TestWordsOfBool(t *testing.T) {
	for running, words := range map[string]map[string]Judgement{
		"6.12.0-test": {"true": Loads, "f": Loads, "enabled": Undecided, "d": Undecided, "on": Loads, "maybe": Refused},
		"5.15.0":      {"true": Undecided, "F": Undecided, "yes": Loads},
	} {
		m := ordinary().with(files{"proc/sys/kernel/osrelease": running + "\n", "boot/config-" + running: "CONFIG_MODULE_FORCE_LOAD=y\n"})
		for path, text := range m {
			m[strings.ReplaceAll(path, release, running)] = strings.ReplaceAll(text, release, running)
		}
		own := changed(func(m *koimage.Module) { m.Info[2] = strings.ReplaceAll(m.Info[2], release, running) })
		m["lib/modules/"+running+"/kernel/own.ko"] = string(own.Bytes())
		k := m.open(t)
		for word, want := range words {
			v, err := Check(t.Context(), file(t, "hello.ko", own.Bytes()), k, &CheckOptions{Params: kmod.Params{"loud=" + word}})
			if err != nil || v.Judgement != want {
				t.Errorf("%s, %s: %+v, %v", running, word, v, err)
			}
		}
	}
}

// TestCheckName plans with a modprobe that is found as the system's is.
func TestCheckName(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("hello.ko", hello().Bytes())
	giver := write("giver.ko", withExport("giver", koimage.Symbol{Name: "given", CRC: 0x21}).Bytes())
	user := write("user.ko", changed(func(m *koimage.Module) {
		m.Info[1] = "name=user"
		m.Imports = append(m.Imports, koimage.Symbol{Name: "given", CRC: 0x21})
	}).Bytes())
	half := write("half.ko", hello().Bytes()[:200])
	write("modules.dep", []byte("hello.ko: half.ko\nuser.ko: giver.ko\ngiver.ko:\n"))
	k := ordinary().with(files{"etc/modprobe.d/x.conf": "install blocked /bin/false\ninstall commanded modprobe -i commanded\ninstall giver /bin/false\ninstall half modprobe -i half\n"}).open(t)
	for name, c := range map[string]struct {
		depends string
		params  kmod.Params
		want    []Code // of each verdict, nothing for one that loads
	}{
		"hello":    {"insmod " + good + " ", nil, []Code{""}},
		"badly":    {"insmod " + good + " ", kmod.Params{"times=x"}, []Code{ParameterInvalid}},
		"options":  {"insmod " + good + " times=x", nil, []Code{ParameterInvalid}},
		"both":     {"insmod " + giver + "\ninsmod " + user, nil, []Code{"", ""}},
		"user":     {"insmod " + user, nil, []Code{SymbolMissing}},
		"halved":   {"insmod " + half + "\ninsmod " + good, nil, []Code{ELFDamaged, DependencyFailed}},
		"inside":   {"builtin inside", nil, []Code{BuiltIn}},
		"blocked":  {"install /bin/false", nil, []Code{BlockedByConfig}},
		"nonesuch": {"", nil, []Code{NotFound}},
		// So do commands for what a module needs, and not those for what it wishes for.
		"needs_blocked":   {"install /bin/false\ninsmod " + user, nil, []Code{DependencyFailed}},
		"needs_commanded": {"install modprobe -i half\ninsmod " + good, nil, []Code{"", ""}},
		"wishes_for":      {"install /bin/false\ninsmod " + giver, nil, []Code{""}},
		"needs_unknown":   {"install /bin/false\ninstall /bin/true\ninsmod " + user, nil, []Code{InstallCommand}},
		// What it would load without the command is judged.
		"commanded": {"install modprobe -i commanded", nil, []Code{""}},
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			script := "#!/bin/sh\ncase \"$*\" in *--ignore-install*) echo 'insmod " + good + "'; exit;; *nonesuch) echo 'modprobe: FATAL: Module nonesuch not found in directory /x' >&2; exit 1;; *--show-depends*) cat <<'E'\n" + c.depends + "\nE\n;;esac\n"
			if err := os.WriteFile(filepath.Join(bin, "modprobe"), []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			verdicts, err := CheckName(t.Context(), name, k, c.params)
			if err != nil {
				t.Fatal(err)
			}
			if last := verdicts[len(verdicts)-1]; name == "commanded" && (len(last.Warnings) != 1 || last.Warnings[0].Code != InstallCommand) {
				t.Errorf("%+v", last.Warnings)
			}
			var got []Code
			for _, v := range verdicts {
				code := Code("")
				if v.Cause != nil {
					code = v.Cause.Code
				}
				got = append(got, code)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s\n%+v", diff, verdicts[len(verdicts)-1].Cause)
			}
		})
	}
	if _, err := CheckName(t.Context(), "-x", k, nil); !errors.Is(err, kmod.ErrBadName) {
		t.Errorf("-x: %v", err)
	}
}
