package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/kmod"
)

func TestOpen(t *testing.T) {
	root := running(files{"lib/modules/1.0/modules.dep": "", "boot/config-2.0": "", "boot/vmlinuz-3.0": "", "boot/initrd.img-4.0": ""}).write(t)
	for release, ok := range map[string]bool{
		"": true, "1.0": true, "2.0": true, "3.0": true, "4.0": false, "../modules/1.0": false, "..": false, "a\x00b": false, strings.Repeat("x", 5000): false,
	} {
		k, err := Open(&Options{Root: root, Release: release})
		if (err == nil) != ok || err != nil && !errors.Is(err, ErrNotInstalled) {
			t.Errorf("%.20q: %v", release, err)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("%.20q: not one clear line: %v", release, err)
		}
		if ok && k.Running() != (release == "") {
			t.Errorf("%q: running %v", release, k.Running())
		}
	}
	if k, err := Open(&Options{Root: root, Release: "4.0"}); err == nil || !strings.Contains(err.Error(), "1.0, 2.0, 3.0, "+"6.12.0-test") {
		t.Errorf("%v, %v", k, err)
	}
	if _, err := Open(&Options{Root: t.TempDir()}); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if _, err := Open(&Options{Root: t.TempDir(), Release: "1"}); !errors.Is(err, ErrNotInstalled) {
		t.Error(err)
	}
	k := running(nil).open(t)
	if dir, ok := k.ModulesDir(); ok || !strings.HasSuffix(dir, "/lib/modules/"+release) {
		t.Errorf("%s, %v", dir, ok)
	}
}

func TestMachine(t *testing.T) {
	for word, want := range map[string]string{
		"x86_64": "x86-64", "i686": "x86", "aarch64": "aarch64", "riscv64": "riscv", "ppc64le": "ppc64", "s390x": "s390", "armv7l": "arm", "loongarch64": "loongarch", "": "",
	} {
		if got := running(files{"proc/sys/kernel/arch": word}).open(t).Machine(); got != want {
			t.Errorf("%s: %q", word, got)
		}
	}
	// Otherwise a module tells.
	f := hello("9.9")
	if got := f.openRelease(t, "9.9").Machine(); got != "x86-64" {
		t.Errorf("%q", got)
	}
}

// hello has one module installed for a kernel.
func hello(release string) files {
	m := koimage.Hello()
	m.This = true
	for i, line := range m.Info {
		m.Info[i] = strings.Replace(line, "vermagic=6.12.0 ", "vermagic="+release+" ", 1)
	}
	dir := "lib/modules/" + release
	return running(files{
		dir + "/modules.dep":                    "updates/dkms/hello.ko:\nkernel/junk.ko:\nkernel/x/hello.ko: kernel/y.ko\n",
		dir + "/kernel/junk.ko":                 "junk",
		dir + "/updates/dkms/hello.ko":          string(koimage.Hello().Bytes()),
		dir + "/kernel/x/hello.ko":              string(m.Bytes()),
		dir + "/modules.builtin":                "kernel/drivers/built-in.ko\nkernel/b.ko\nkernel/my.kota.ko\n",
		dir + "/modules.builtin.modinfo":        "",
		"sys/module/parametrised/parameters/x":  "1",
		"sys/module/loadable/initstate":         "live",
		"sys/module/built_otherwise/uevent":     "",
		"proc/modules":                          "loadable 4096 0 - Live 0x0\n",
		"sys/module/loadable/parameters/number": "1",
	})
}

func TestVermagic(t *testing.T) {
	if got, err := hello("9.9").openRelease(t, "9.9").Vermagic(); err != nil || got != "9.9 SMP preempt mod_unload modversions " {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := running(nil).open(t).Vermagic(); !errors.Is(err, ErrUnknown) {
		t.Errorf("%q, %v", got, err)
	}
	image := "Linux version 9.9 (x) #1\n\x009.9 (no)\x009.9 SMP \x01\x009.9 SMP mod_unload \x00"
	if got, err := running(files{"boot/vmlinuz-9.9": image}).openRelease(t, "9.9").Vermagic(); err != nil || got != "9.9 SMP mod_unload " {
		t.Errorf("%q, %v", got, err)
	}
}

func TestStructSize(t *testing.T) {
	if got, err := hello("9.9").openRelease(t, "9.9").StructSize(); err != nil || got != 64 {
		t.Errorf("of another kernel: %d, %v", got, err)
	}
	if got, err := running(files{"sys/kernel/btf/vmlinux": string(fakeTypes(t))}).open(t).StructSize(); err != nil || got != moduleSize {
		t.Errorf("of the running kernel: %d, %v", got, err)
	}
	if got, err := running(nil).open(t).StructSize(); !errors.Is(err, ErrUnknown) {
		t.Errorf("%d, %v", got, err)
	}
}

func TestAtLeast(t *testing.T) {
	for release, want := range map[string]bool{"6.4": true, "6.12.1-x": true, "7.0": true, "6.3.9": false, "5.10.0": false, "odd": false} {
		k := &Kernel{release: release}
		if got := k.AtLeast(6, 4); got != want {
			t.Errorf("%s: %v", release, got)
		}
	}
}

func TestModules(t *testing.T) {
	f := hello(release)
	k := f.open(t)
	for name, want := range map[string]bool{
		"built-in": true, "built_in": true, "b": true, "hello": false, "parametrised": true, "my.kota": true, "my": false, "loadable": false, "": false, "..": false, "a/b": false,
	} {
		if got := k.Builtin(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if m, err := k.Loaded("loadable"); err != nil || m == nil || m.State != kmod.StateLive {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := k.Loaded("hello"); err != nil || m != nil {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := k.Loaded("a/b"); !errors.Is(err, kmod.ErrBadName) {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestAliases asks a modprobe that tells what it was asked.
func TestAliases(t *testing.T) {
	root := hello("9.9").write(t)
	modprobe := filepath.Join(root, "modprobe")
	script := "#!/bin/sh\ncase \"$*\" in *none) echo 'modprobe: FATAL: Module none not found in directory /x' >&2; exit 1;; esac\necho snd-x\necho \"$@\" | tr ' ' '\\n'\n"
	if err := os.WriteFile(modprobe, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	k, err := Open(&Options{Root: root, Release: "9.9", Modprobe: modprobe})
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Modules(t.Context(), "pci:v1")
	want := []string{"snd_x", "__set_version", "9.9", "__dirname", modname.Normal(root), "__resolve_alias", "__", "pci:v1", "__config", "/dev/null"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if got, err := k.Modules(t.Context(), "none"); !errors.Is(err, kmod.ErrNotFound) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := k.Modules(t.Context(), "-x"); !errors.Is(err, kmod.ErrBadName) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestConfig(t *testing.T) {
	const text = "#\n# CONFIG_OFF is not set\nCONFIG_ON=y\nCONFIG_MODULE=m\nCONFIG_NUMBER=0x10\nCONFIG_TEXT=\"a b\"\nCONFIG_EMPTY=\"\"\nnonsense\nCONFIG_CR=y\r\n"
	for source, f := range map[string]files{
		"proc":    {"proc/config.gz": gzipped(t, text), "boot/config-" + release: "CONFIG_ON=m\n"},
		"boot":    {"boot/config-" + release: text},
		"modules": {"lib/modules/" + release + "/config": text},
		"build":   {"lib/modules/" + release + "/build/.config": text, "boot/config-" + release: "no configuration\n"},
	} {
		k := running(f).open(t)
		for option, want := range map[string]string{
			"CONFIG_OFF": "n", "CONFIG_ON": "y", "CONFIG_MODULE": "m", "CONFIG_NUMBER": "0x10", "CONFIG_TEXT": "a b", "CONFIG_EMPTY": "", "CONFIG_NONE": "n", "CONFIG_CR": "y",
		} {
			if got, err := k.Config(option); err != nil || got != want {
				t.Errorf("%s: %s is %q, %v", source, option, got, err)
			}
		}
	}
	for name, f := range map[string]files{
		"none": nil,
		"junk": {"boot/config-" + release: "\x1f\x8bjunk"},
	} {
		if got, err := running(f).open(t).Config("CONFIG_ON"); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// TestPolicy: what each question answers, and where it cannot.
func TestPolicy(t *testing.T) {
	const config = "boot/config-9.9"
	const secureBoot = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	const locking = "CONFIG_SECURITY_LOCKDOWN_LSM=y\n"
	enforced := func(k *Kernel) (any, error) { return k.SignatureEnforced() }
	lockdown := func(k *Kernel) (any, error) { return k.Lockdown() }
	disabled := func(k *Kernel) (any, error) { return k.ModulesDisabled() }
	modprobe := func(k *Kernel) (any, error) { return k.Modprobe() }
	unpacks := func(k *Kernel) (any, error) { return k.Decompression() }
	for i, c := range []struct {
		ask     func(*Kernel) (any, error)
		release string
		files   files
		want    any
		err     error
	}{
		{enforced, "", files{"sys/module/module/parameters/sig_enforce": "Y\n"}, true, nil},
		{enforced, "", files{"sys/module/module/parameters/sig_enforce": "N\n"}, false, nil},
		{enforced, "", files{"sys/module/x/y": ""}, false, nil},
		{enforced, "", nil, false, ErrUnknown},
		{enforced, "9.9", files{config: "CONFIG_MODULE_SIG_FORCE=y\n"}, true, nil},
		{enforced, "9.9", files{config: "CONFIG_X=y\n"}, false, nil},
		{enforced, "9.9", files{"boot/vmlinuz-9.9": ""}, false, ErrUnknown},

		{lockdown, "", files{"sys/kernel/security/lockdown": "none [integrity] confidentiality\n"}, "integrity", nil},
		{lockdown, "", files{"sys/kernel/security/lsm": "capability,yama"}, "", nil},
		{lockdown, "", nil, "", ErrUnknown},
		{lockdown, "", files{"sys/kernel/security/lockdown": "\xff"}, "", ErrUnknown},
		{lockdown, "9.9", files{config: "CONFIG_X=y\n"}, "", nil},
		{lockdown, "9.9", files{config: locking}, "none", nil},
		{lockdown, "9.9", files{config: locking + "CONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY=y\n"}, "integrity", nil},
		{lockdown, "9.9", files{config: locking + "CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY=y\n"}, "confidentiality", nil},
		{lockdown, "9.9", files{config: locking + "CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT=y\n"}, "none", nil},
		{lockdown, "9.9", files{config: locking + "CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT=y\n", "sys/firmware/efi/x": ""}, "", ErrUnknown},
		{lockdown, "9.9", files{config: locking + "CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT=y\n", secureBoot: "\x06\x00\x00\x00\x01"}, "integrity", nil},
		{lockdown, "9.9", files{config: locking + "CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT=y\n", secureBoot: "\x06\x00\x00\x00\x00"}, "none", nil},
		{lockdown, "9.9", files{"boot/vmlinuz-9.9": ""}, "", ErrUnknown},

		{disabled, "", files{"proc/sys/kernel/modules_disabled": "1\n"}, true, nil},
		{disabled, "", files{"proc/sys/kernel/modules_disabled": "0\n"}, false, nil},
		{disabled, "", nil, false, kmod.ErrNoModules},
		{disabled, "9.9", files{"boot/vmlinuz-9.9": ""}, false, nil},
		{disabled, "9.9", files{config: "CONFIG_X=y\n"}, false, kmod.ErrNoModules},

		{modprobe, "", files{"proc/sys/kernel/modprobe": "/sbin/modprobe\n"}, "/sbin/modprobe", nil},
		{modprobe, "", files{"proc/sys/kernel/modprobe": "\n"}, "", nil},
		{modprobe, "", nil, "", ErrUnknown},
		{modprobe, "9.9", files{config: "CONFIG_MODPROBE_PATH=\"/usr/bin/modprobe\"\n"}, "/usr/bin/modprobe", nil},
		{modprobe, "9.9", files{config: "CONFIG_X=y\n"}, "/sbin/modprobe", nil},

		{unpacks, "", files{"sys/module/compression": "xz\n"}, kmod.Xz, nil},
		{unpacks, "", files{"sys/module/x/y": ""}, kmod.Plain, errors.ErrUnsupported},
		{unpacks, "", nil, kmod.Plain, ErrUnknown},
		{unpacks, "9.9", files{config: "CONFIG_MODULE_DECOMPRESS=y\nCONFIG_MODULE_COMPRESS_ZSTD=y\n"}, kmod.Zstd, nil},
		{unpacks, "9.9", files{config: "CONFIG_MODULE_COMPRESS_ZSTD=y\n"}, kmod.Plain, errors.ErrUnsupported},
	} {
		got, err := c.ask(running(c.files).openRelease(t, c.release))
		if got != c.want || !errors.Is(err, c.err) || err != nil && c.err == nil {
			t.Errorf("case %d %v: %v, %v; want %v, %v", i, c.files, got, err, c.want, c.err)
		}
	}
}

func TestErrors(t *testing.T) {
	err := (&Kernel{release: "1.0"}).fail("symbol", strings.Repeat("x\n", 4000), unknown("%w", reasons{unknown("a: %w", os.ErrNotExist), unknown("b")}))
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrUnknown) || !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if text := err.Error(); strings.Contains(text, "\n") || len(text) > 500 || !strings.HasSuffix(text, fmt.Sprintf("%v: a: %v; b", ErrUnknown, os.ErrNotExist)) {
		t.Errorf("%q", text)
	}
}

func sameCRC(a, b *kmod.CRC) bool { return a == b || a != nil && b != nil && *a == *b }
