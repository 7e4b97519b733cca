package kernel

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestKernelUnprivileged asks the same questions as nobody: what is answered is right, and what
// cannot be known is said to be unknown.
func TestKernelUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 && os.Getenv("KMODTRACE_LAB") != "" {
		checkUnprivileged(t)
		return
	}
	openShown(t)
	load(t, "8021q", "8021q", "mrp", "garp", "stp", "llc")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	debug.FreeOSMemory() // of the tests before this one: the guest is small
	cmd := exec.Command(self, "-test.run=^TestKernelUnprivileged$", "-test.v")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("as nobody: %v", err)
	}
	t.Logf("as nobody:\n%s", out)
}

func checkUnprivileged(t *testing.T) {
	k, err := Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.live(); !errors.Is(err, ErrUnknown) {
		t.Errorf("memory: %v", err)
	}
	checkPartlyKnown(t, k)
	if s, err := k.Symbol("llc_sap_open"); err != nil || s.Owner != "llc" || s.GPL == nil {
		t.Errorf("%+v, %v", s, err)
	} else {
		t.Logf("%+v", s)
	}
}

// checkPartlyKnown is for a kernel whose memory cannot be read: the boot image, where one is
// installed, tells the same; else there is the list of names.
func checkPartlyKnown(t *testing.T, k *Kernel) {
	_, imageErr := k.image()
	t.Logf("boot image: %v", imageErr)
	print := "_printk"
	if strings.HasPrefix(k.Release(), "5.10.") {
		print = "printk"
	}
	if s, err := k.Symbol(print); err != nil || (s.GPL != nil) != (imageErr == nil) {
		t.Errorf("%+v, %v", s, err)
	} else {
		t.Logf("%+v", s)
	}
	if s, err := k.Symbol("no_such_symbol"); !errors.Is(err, ErrNoSymbol) {
		t.Errorf("%+v, %v", s, err)
	}
	f, image := installedFile(t, k, "dummy")
	if got, err := k.Vermagic(); err != nil || got != f.Value("vermagic") {
		t.Errorf("vermagic %q, %v", got, err)
	}
	keys, err := k.Keys()
	if !errors.Is(err, ErrUnknown) || (len(keys) > 0) != (imageErr == nil) {
		t.Errorf("keys %v, %v", keys, err)
	}
	t.Logf("%v", err)
	flipped := bytes.Clone(image)
	flipped[len(image)/2] ^= 1
	good, bad := k.Verify(image), k.Verify(flipped)
	if imageErr == nil && (good != nil || !errors.Is(bad, ErrSignature)) || imageErr != nil && (!errors.Is(good, ErrUnknown) || !errors.Is(bad, ErrUnknown)) {
		t.Errorf("verify: %v; changed: %v", good, bad)
	}
}

// TestKernelLockdown: locked down to confidentiality the kernel shows its memory to nobody.
func TestKernelLockdown(t *testing.T) {
	k := openShown(t)
	level, err := k.Lockdown()
	if err != nil {
		t.Fatal(err)
	}
	if level != "confidentiality" {
		if _, err := k.live(); err != nil {
			t.Errorf("lockdown %s: %v", level, err)
		}
		t.Skipf("the kernel is locked down to %q: needs lockdown=confidentiality on its command line (lab exec --append)", level)
	}
	if _, err := k.live(); !errors.Is(err, ErrUnknown) {
		t.Errorf("memory: %v", err)
	}
	checkPartlyKnown(t, k)
}

// TestKernelBootImage compares the image that is installed with the kernel that it became.
func TestKernelBootImage(t *testing.T) {
	k := openRunning(t)
	live, err := k.live()
	if err != nil {
		t.Skipf("nothing to compare with: %v", err)
	}
	image, err := k.imageExports()
	if err != nil {
		t.Skipf("nothing to compare: %v", err)
	}
	if len(image) != len(live.image) {
		t.Errorf("%d in the image, %d in memory", len(image), len(live.image))
	}
	for name, s := range image {
		m := live.image[name]
		if m.GPL == nil || *m.GPL != *s.GPL || m.Namespace != s.Namespace || !sameCRC(m.CRC, s.CRC) {
			t.Errorf("%+v in the image, %+v in memory", s, m)
		}
	}
	file, err := k.image()
	if err != nil {
		t.Fatal(err)
	}
	if file.certificatesErr != nil {
		t.Fatal(file.certificatesErr)
	}
	for _, c := range file.certificates {
		key := trustedCertificate(c)
		if !slices.ContainsFunc(live.keys, func(k trustedKey) bool {
			return k.Description == key.Description && k.kind == key.kind && bytes.Equal(k.public, key.public) && bytes.Equal(k.ids[0], key.ids[0])
		}) {
			t.Errorf("%s is built in and not among the keys", key.Description)
		}
	}
}
