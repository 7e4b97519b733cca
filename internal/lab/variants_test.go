package lab

import (
	"bytes"
	"debug/elf"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// standIns are small modules in place of those that variants are made of.
func standIns(t *testing.T) map[string][]byte {
	t.Helper()
	const vermagic = "vermagic=6.12.0-some-kernel SMP preempt mod_unload modversions "
	module := func(name string, info ...string) koimage.Module {
		return koimage.Module{Info: append(info, "license=Dual MIT/GPL", "name="+name, vermagic)}
	}
	files := make(map[string][]byte)
	for _, name := range []string{"gpl_user", "nap0", "nap10", "slowuser0"} {
		files[name+".ko"] = module(name).Bytes()
	}
	files["ns_user.ko"] = module("ns_user", "import_ns=SPECIMEN").Bytes()
	twice := module("twice_b")
	twice.Exports = []koimage.Symbol{{Name: "specimen_twicf", GPL: true}}
	files["twice_b.ko"] = twice.Bytes()
	grown := module("grown")
	grown.Exports = []koimage.Symbol{{Name: "grown_more", GPL: true}}
	grown.BuildID = []byte{0xab, 0xcd, 0xef, 0x01}
	files["grown.ko"] = grown.Bytes()
	hello := module("hello", "parm=whom:Whom to greet", "padding="+strings.Repeat("abcdefgh", 64))
	hello.This = true
	hello.Imports = []koimage.Symbol{{Name: "module_layout", CRC: 1}, {Name: "_printk", CRC: 2}, {Name: "param_ops_charp", CRC: 3}}
	files["hello.ko"] = hello.Bytes()
	signed, err := signByStranger(module("dummy", "intree=Y").Bytes())
	if err != nil {
		t.Fatal(err)
	}
	files[treeFile] = signed
	return files
}

// variantChecks say of each variant what is to be true of it, given what it was made of.
var variantChecks = map[string]func(t *testing.T, of, got []byte){
	"gpl_only.ko":      infoBecomes("license", "Dual MIT/GPL", "Proprietary"),
	"ns_missing.ko":    infoBecomes("import_ns", "SPECIMEN", ""),
	"bad_vermagic.ko":  infoBecomes("vermagic", "6.12.0-some-kernel SMP preempt mod_unload modversions ", "0.0.0-specimen mod_unload "),
	"other_release.ko": infoBecomes("vermagic", "6.12.0-some-kernel SMP preempt mod_unload modversions ", "0.0.0-specimen SMP preempt mod_unload modversions "),
	"no_vermagic.ko":   infoBecomes("vermagic", "6.12.0-some-kernel SMP preempt mod_unload modversions ", ""),
	"flipped.ko": func(t *testing.T, of, got []byte) {
		infoBecomes("intree", "Y", "N")(t, of, got)
		wantChanged(t, of, got, 1)
	},
	"dup_export.ko": func(t *testing.T, of, got []byte) {
		if e := parsed(t, got).Exports; len(e) != 1 || e[0].Name != "specimen_twice" {
			t.Errorf("exports %+v", e)
		}
	},
	"grown_before.ko": func(t *testing.T, of, got []byte) {
		before, after := parsed(t, of), parsed(t, got)
		if e := after.Exports; len(e) != 1 || e[0].Name != "grown_less" {
			t.Errorf("exports %+v", e)
		}
		if !after.Identity().Differs(before.Identity()) {
			t.Errorf("both are of %v", after.Identity())
		}
	},
	"bad_crc.ko":    crcChanged("param_ops_charp"),
	"bad_layout.ko": crcChanged("module_layout"),
	"other_struct.ko": func(t *testing.T, of, got []byte) {
		wantChanged(t, of, got, 8)
		before, _, err := sectionOf(of, ".gnu.linkonce.this_module")
		after, _, err2 := sectionOf(got, ".gnu.linkonce.this_module")
		if err != nil || err2 != nil || len(after) != len(before)+64 {
			t.Errorf("struct module has %d bytes of %d, %v, %v", len(after), len(before), err, err2)
		}
	},
	"other_kernel.ko": infoBecomes("vermagic", "6.12.0-some-kernel SMP preempt mod_unload modversions ", "0.0.0-specimen mod_unload "),
	"no_versions.ko": func(t *testing.T, of, got []byte) {
		wantChanged(t, of, got, 1)
		for _, i := range parsed(t, got).Imports {
			if i.CRC != nil {
				t.Errorf("%s has a version", i.Name)
			}
		}
	},
	"wrong_arch.ko": func(t *testing.T, of, got []byte) {
		wantChanged(t, of, got, 1)
		if before, after := parsed(t, of).Machine, parsed(t, got).Machine; before != "x86-64" || after != "aarch64" {
			t.Errorf("from %s to %s", before, after)
		}
		if again, err := otherMachine(bytes.Clone(got)); err != nil || parsed(t, again).Machine != "x86-64" {
			t.Errorf("of arm64: %v, %v", parsed(t, again).Machine, err)
		}
	},
	"notype.ko": func(t *testing.T, of, got []byte) {
		wantChanged(t, of, got, 1)
		if f, err := elf.NewFile(bytes.NewReader(got)); err != nil || f.Type != elf.ET_EXEC {
			t.Errorf("%+v, %v", f, err)
		}
	},
	"truncated.ko": func(t *testing.T, of, got []byte) {
		wantNoModule(t, got)
		if !bytes.HasPrefix(of, got) || len(got) != len(of)*6/10 {
			t.Errorf("%d bytes of %d", len(got), len(of))
		}
	},
	"headonly.ko": func(t *testing.T, of, got []byte) {
		wantNoModule(t, got)
		if !bytes.Equal(got, of[:64]) {
			t.Errorf("%d bytes: % x", len(got), got)
		}
	},
	"damaged.ko": func(t *testing.T, of, got []byte) {
		wantNoModule(t, got)
		wantChanged(t, of, got, 8)
	},
	"stripped.ko": func(t *testing.T, of, got []byte) {
		wantChanged(t, of, got, 1)
		if len(parsed(t, of).Imports) == 0 || len(parsed(t, got).Imports) != 0 {
			t.Error("symbols are there still")
		}
	},
	"object.ko":      sectionGone(".gnu.linkonce.this_module"),
	"no_modinfo.ko":  sectionGone(".modinfo"),
	"random.ko":      func(t *testing.T, _, got []byte) { wantNoModule(t, got) },
	"text.ko":        func(t *testing.T, _, got []byte) { wantNoModule(t, got) },
	"empty.ko":       func(t *testing.T, _, got []byte) { wantNoModule(t, got) },
	"hello.ko.xz":    unpacksTo(kmod.Xz),
	"hello.ko.gz":    unpacksTo(kmod.Gzip),
	"hello.ko.zst":   unpacksTo(kmod.Zstd),
	"damaged.ko.xz":  spoilt,
	"damaged.ko.gz":  spoilt,
	"damaged.ko.zst": spoilt,
	"signed_unknown.ko": func(t *testing.T, of, got []byte) {
		s := parsed(t, got).Signature
		if s == nil || s.Problem != "" || s.Kind != "PKCS#7" || s.Hash != "sha256" || s.KeyID != "5B:EC" || len(s.Value) != 256 {
			t.Errorf("signature %+v", s)
		}
		if !bytes.HasPrefix(got, of) {
			t.Error("the module itself changed")
		}
	},
	"signed_attributes.ko": func(t *testing.T, of, got []byte) {
		s := parsed(t, got).Signature
		if s == nil || s.Problem != "" || s.Kind != "PKCS#7" || s.Hash != "sha256" || !s.Attributes || len(s.Value) != 256 {
			t.Errorf("signature %+v", s)
		}
		if !bytes.HasPrefix(got, of) {
			t.Error("the module itself changed")
		}
	},
	"signed_ok.ko": func(t *testing.T, of, got []byte) { wantChanged(t, of, got, 0) },
	"cut_signature.ko": func(t *testing.T, of, got []byte) {
		whole, s := parsed(t, of).Signature, parsed(t, got).Signature
		if s == nil || s.Problem == "" || len(of)-len(got) != whole.Size-s.Size {
			t.Errorf("signature %+v of %+v", s, whole)
		}
	},
	"long_signature.ko": func(t *testing.T, of, got []byte) {
		if s := parsed(t, got).Signature; s == nil || !strings.Contains(s.Problem, "the file has") {
			t.Errorf("signature %+v", s)
		}
	},
	"unsupported_signature.ko": func(t *testing.T, of, got []byte) {
		wantChanged(t, of, got, 1)
		if s := parsed(t, got).Signature; s == nil || s.Kind != "type 1" {
			t.Errorf("signature %+v", s)
		}
	},
}

func TestSpecimenVariants(t *testing.T) {
	files := standIns(t)
	lacking, err := makeVariants(files, []condition{modversions, signedTree})
	if err != nil || len(lacking) != 0 {
		t.Fatalf("lacking %v, %v", lacking, err)
	}
	seen := make(map[string]bool)
	for _, v := range variants() {
		if seen[v.name] {
			t.Errorf("two variants are called %s", v.name)
		}
		seen[v.name] = true
		t.Run(v.name, func(t *testing.T) {
			check := variantChecks[v.name]
			if name, ok := strings.CutSuffix(v.name, ".ko"); check == nil && ok && strings.TrimRight(name, "0123456789") != name {
				check = infoBecomes("name", strings.TrimSuffix(v.of, ".ko"), name)
			}
			if check == nil {
				t.Fatal("nothing says what it is to be")
			}
			check(t, files[v.of], files[v.name])
		})
	}
	for i := range naps {
		if name := copyOf("nap", i).name; files[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}

func TestSpecimenVariantsOfAPoorKernel(t *testing.T) {
	files := standIns(t)
	delete(files, treeFile)
	lacking, err := makeVariants(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := lacking[modversions], []string{"bad_crc.ko", "bad_layout.ko", "no_versions.ko"}; !slices.Equal(got, want) {
		t.Errorf("without versions no %q, want %q", got, want)
	}
	if got := lacking[signedTree]; len(got) != 5 || files["flipped.ko"] != nil {
		t.Errorf("without signed modules no %q", got)
	}
	if files["signed_unknown.ko"] == nil {
		t.Error("signed_unknown.ko needs no signed modules")
	}
}

// The cache would keep variants of the past if their key missed a part of the code.
func TestSpecimenVariantsKeyCoversTheirCode(t *testing.T) {
	code, err := filepath.Glob("variants*.go")
	if err != nil || len(code) == 0 {
		t.Fatal(code, err)
	}
	for _, file := range code {
		if _, err := variantSources.ReadFile(file); err != nil && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s is not among the sources that name the directory", file)
		}
	}
}

func TestSpecimenEditsRefuse(t *testing.T) {
	module := standIns(t)["hello.ko"]
	for name, edit := range map[string]func([]byte) ([]byte, error){
		"a longer line":         setInfo("license", "license="+strings.Repeat("x", 99)),
		"an absent key":         setInfo("nothing", "nothing=1"),
		"a longer name":         rename("hello", "hello2"),
		"an absent name":        rename("helli", "hello"),
		"an absent section":     renameSection(".nothing", ".anythin"),
		"an absent version":     wrongCRC("nothing"),
		"no signature to cut":   cutSignature,
		"no signature to spoil": setSignatureKind(1),
	} {
		if _, err := edit(bytes.Clone(module)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func parsed(t *testing.T, module []byte) *kmod.File {
	t.Helper()
	f, err := kmod.Parse(module)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func infoOf(t *testing.T, module []byte, key string) string {
	t.Helper()
	for _, field := range parsed(t, module).Fields {
		if field.Key == key {
			return field.Value
		}
	}
	return ""
}

// infoBecomes: one line of .modinfo, and nothing outside the section, is another.
func infoBecomes(key, before, after string) func(*testing.T, []byte, []byte) {
	return func(t *testing.T, of, got []byte) {
		if b, a := infoOf(t, of, key), infoOf(t, got, key); b != before || a != after {
			t.Errorf("%s went from %q to %q, want from %q to %q", key, b, a, before, after)
		}
		if !bytes.Equal(withoutInfo(t, of), withoutInfo(t, got)) {
			t.Error("more changed than .modinfo")
		}
	}
}

func withoutInfo(t *testing.T, module []byte) []byte {
	t.Helper()
	module = bytes.Clone(module)
	info, _, err := sectionOf(module, ".modinfo")
	if err != nil {
		t.Fatal(err)
	}
	clear(info)
	return module
}

// crcChanged: the version of one symbol is another, that of all others is the same.
func crcChanged(symbol string) func(*testing.T, []byte, []byte) {
	return func(t *testing.T, of, got []byte) {
		wantChanged(t, of, got, 1)
		before := make(map[string]kmod.CRC)
		for _, i := range parsed(t, of).Imports {
			before[i.Name] = *i.CRC
		}
		changed := maps.Clone(before)
		for _, i := range parsed(t, got).Imports {
			if *i.CRC == before[i.Name] {
				delete(changed, i.Name)
			}
		}
		if names := slices.Collect(maps.Keys(changed)); !slices.Equal(names, []string{symbol}) {
			t.Errorf("versions of %q changed", names)
		}
	}
}

func sectionGone(name string) func(*testing.T, []byte, []byte) {
	return func(t *testing.T, of, got []byte) {
		wantChanged(t, of, got, 2)
		if _, _, err := sectionOf(of, name); err != nil {
			t.Error(err)
		}
		if _, _, err := sectionOf(got, name); err == nil {
			t.Errorf("%s is there still", name)
		}
	}
}

func unpacksTo(c kmod.Compression) func(*testing.T, []byte, []byte) {
	return func(t *testing.T, of, got []byte) {
		f := parsed(t, got)
		if f.Compression != c || f.Size != len(of) || f.Name != "hello" {
			t.Errorf("%v of %d bytes, %q", f.Compression, f.Size, f.Name)
		}
		if c == kmod.Xz && got[7] != 1 {
			t.Errorf("checksum of kind %d, want CRC32", got[7])
		}
	}
}

func spoilt(t *testing.T, of, got []byte) {
	wantNoModule(t, got)
	wantChanged(t, of, got, 16)
	if !bytes.Equal(of[:6], got[:6]) {
		t.Error("the magic changed too")
	}
}

func wantNoModule(t *testing.T, file []byte) {
	t.Helper()
	if _, err := kmod.Parse(file); !errors.Is(err, kmod.ErrNotModule) {
		t.Errorf("error %v, want %v", err, kmod.ErrNotModule)
	}
}

// wantChanged: at least one byte and no more than so many differ; with 0, none.
func wantChanged(t *testing.T, of, got []byte, most int) {
	t.Helper()
	if len(of) != len(got) {
		t.Fatalf("%d bytes became %d", len(of), len(got))
	}
	n := 0
	for i := range of {
		if of[i] != got[i] {
			n++
		}
	}
	if n > most || (n == 0) != (most == 0) {
		t.Errorf("%d bytes changed, want at most %d and some", n, most)
	}
}
