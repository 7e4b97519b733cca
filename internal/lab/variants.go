package lab

import (
	"bytes"
	"fmt"
	"slices"
)

// variant is a specimen that no compiler makes: the bytes of another one, changed.
// A module's name stays what it was in its source: flipped.ko is a module "dummy".
type variant struct {
	name  string // its file
	of    string // the file that it is made of: a module that was built, a variant above it, or ""
	needs condition
	edit  func(file []byte) ([]byte, error)
}

// condition is what a kernel must have for a variant to mean anything.
type condition uint8

const (
	anything    condition = iota
	modversions           // modules carry the versions of the symbols that they import
	signedTree            // the distribution signs its modules
)

func (c condition) String() string {
	return [...]string{"anything", "versions of symbols in modules", "signed modules"}[c]
}

// treeModule is the module of the distribution that variants are made of: small,
// and with a signature that the kernel trusts. treeFile stands for it in the table.
const (
	treeModule = "kernel/drivers/net/dummy.ko"
	treeFile   = "(the distribution's) dummy.ko"
)

// variants lists them all. Each is refused in a way of its own, unless the comment
// above it says otherwise.
func variants() []variant {
	table := []variant{
		// What a module says about itself.
		{"gpl_only.ko", "gpl_user.ko", anything, setInfo("license", "license=Proprietary")},
		{"ns_missing.ko", "ns_user.ko", anything, setInfo("import_ns", "import_no=SPECIMEN")},
		{"dup_export.ko", "twice_b.ko", anything, rename("specimen_twicf", "specimen_twice")},
		// It loads: another build of grown.ko, which lacks what growuser.ko wants.
		{"grown_before.ko", "grown.ko", anything, all(rename("grown_more", "grown_less"), otherBuild)},
		{"bad_vermagic.ko", "hello.ko", anything, setInfo("vermagic", "vermagic=0.0.0-specimen mod_unload ")},
		// With versions of symbols the kernel does not compare the release: it loads.
		{"other_release.ko", "hello.ko", anything, otherRelease},
		{"bad_crc.ko", "hello.ko", modversions, wrongCRC("param_ops_charp")},
		{"bad_layout.ko", "hello.ko", modversions, wrongCRC("module_layout")},
		// These load where forced loading is allowed, and taint the kernel.
		{"no_modinfo.ko", "hello.ko", anything, renameSection(".modinfo", ".nodinfo")},
		{"no_vermagic.ko", "hello.ko", anything, setInfo("vermagic", "vermagik=")},
		{"no_versions.ko", "hello.ko", modversions, renameSection("__versions", "__versionz")},

		// ELF files that are no module, or not a whole one.
		{"wrong_arch.ko", "hello.ko", anything, otherMachine},
		{"notype.ko", "hello.ko", anything, otherType},
		{"truncated.ko", "hello.ko", anything, keepPercent(60)},
		{"headonly.ko", "hello.ko", anything, keepHeader},
		{"damaged.ko", "hello.ko", anything, moveSection(".modinfo")},
		{"stripped.ko", "hello.ko", anything, hideSymbols},
		// Kernels before 6.4 do not compare the size: there the first loads.
		{"other_struct.ko", "hello.ko", anything, growStruct},
		{"other_kernel.ko", "other_struct.ko", anything, setInfo("vermagic", "vermagic=0.0.0-specimen mod_unload ")},
		{"object.ko", "hello.ko", anything, renameSection(".gnu.linkonce.this_module", ".gnu.linkonce.that_module")},

		// Other files.
		{"random.ko", "", anything, randomBytes(8192)},
		{"text.ko", "", anything, literal("This is not a module.\n")},
		{"empty.ko", "", anything, literal("")},

		// Compressed. The sound ones load where the kernel, or the program, can unpack
		// them: a kernel knows one form at most, the one of its own modules.
		{"hello.ko.xz", "hello.ko", anything, packXz},
		{"hello.ko.gz", "hello.ko", anything, packGzip},
		{"hello.ko.zst", "hello.ko", anything, packZstd},
		{"damaged.ko.xz", "hello.ko.xz", anything, spoilMiddle},
		{"damaged.ko.gz", "hello.ko.gz", anything, spoilMiddle},
		{"damaged.ko.zst", "hello.ko.zst", anything, spoilMiddle},

		// Signatures. signed_ok is sound, and loads. Of an unknown key, or of a kind that
		// the kernel does not know, they load where signatures are not enforced.
		{"signed_unknown.ko", "hello.ko", anything, signByStranger},
		// The kernel looks at the form before the key, and refuses it whatever its policy.
		{"signed_attributes.ko", "hello.ko", anything, signWithAttributes},
		{"signed_ok.ko", treeFile, signedTree, unchanged},
		{"unsupported_signature.ko", "signed_ok.ko", signedTree, setSignatureKind(1)}, // an X.509 key's
		{"flipped.ko", "signed_ok.ko", signedTree, setInfo("intree", "intree=N")},
		{"cut_signature.ko", "signed_ok.ko", signedTree, cutSignature},
		{"long_signature.ko", "signed_ok.ko", signedTree, lengthenSignature},
	}
	return append(table, renamed()...)
}

// renamed are the modules that exist in copies: sound, under other names. Compiled
// ones would differ in the build ID alone.
func renamed() []variant {
	var table []variant
	for i := range naps {
		if i != 0 && i != 10 {
			table = append(table, copyOf("nap", i))
		}
	}
	for i := 1; i < slowusers; i++ {
		table = append(table, copyOf("slowuser", i))
	}
	return table
}

// copyOf gives a module the number i, from one whose name is as long.
func copyOf(name string, i int) variant {
	from, to := name+"0", fmt.Sprint(name, i)
	if i > 9 {
		from = name + "10"
	}
	return variant{to + ".ko", from + ".ko", anything, rename(from, to)}
}

// makeVariants adds the variants to the files, by name, and tells of those that
// this kernel cannot have, with what it lacks.
func makeVariants(files map[string][]byte, has []condition) (lacking map[condition][]string, err error) {
	lacking = make(map[condition][]string)
	for _, v := range variants() {
		if v.needs != anything && !slices.Contains(has, v.needs) {
			lacking[v.needs] = append(lacking[v.needs], v.name)
			continue
		}
		file, ok := files[v.of]
		if v.of != "" && !ok {
			return nil, fmt.Errorf("make %s: there is no %s", v.name, v.of)
		}
		made, err := v.edit(bytes.Clone(file))
		if err != nil {
			return nil, fmt.Errorf("make %s of %s: %w", v.name, v.of, err)
		}
		files[v.name] = made
	}
	return lacking, nil
}

func unchanged(file []byte) ([]byte, error) { return file, nil }
