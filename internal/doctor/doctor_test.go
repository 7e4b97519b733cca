package doctor

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

func TestRefcountCheck(t *testing.T) {
	number := func(n int) *int { return &n }
	modules := []kmod.Module{{Name: "a", Refs: number(-1), RefsNegative: true}, {Name: "b", Refs: number(-1)}, {Name: "c", Refs: number(-2), RefsNegative: true}, {Name: "d"}}
	for _, test := range []struct {
		modules []kmod.Module
		err     error
		have    Have
		note    string
	}{
		{modules, nil, no, "a (-1), c (-2): an unload"},
		{modules[1:2], nil, yes, ""},
		{nil, nil, yes, ""},
		{nil, kmod.ErrNoModules, yes, "no modules"},
		{nil, errors.New("two\nlines"), Unknown, "two lines"},
	} {
		c := refcountCheck(test.modules, test.err)
		if c.Have != test.have || !strings.Contains(c.Note, test.note) || test.note == "" && c.Note != "" {
			t.Errorf("%v: %+v, want %s and %q", test.err, c, test.have, test.note)
		}
	}
}

func TestTaintCheck(t *testing.T) {
	for _, test := range []struct {
		mask uint64
		err  error
		have Have
		note string
	}{
		{0, nil, yes, "no taints"},
		{1<<12 | 1<<13 | 1<<9, nil, yes, "taints: warned, out-of-tree, unsigned"},
		{1<<12 | 1<<7, nil, no, "taints: died, out-of-tree: it is damaged"},
		{1 << 5, nil, no, "taints: bad-page: "},
		{1 << 14, nil, no, "taints: soft-lockup: "},
		{1 << 63, nil, yes, "taints: taint-63"},
		{0, os.ErrNotExist, Unknown, "file does not exist"},
	} {
		if c := taintCheck(test.mask, test.err); c.Have != test.have || !strings.HasPrefix(c.Note, test.note) {
			t.Errorf("%#x, %v: %+v, want %s and %q", test.mask, test.err, c, test.have, test.note)
		}
	}
}

func TestProbesCheck(t *testing.T) {
	refused := fmt.Errorf("%w (%w); its lockdown mode is confidentiality", tracer.ErrKprobesRefused, unix.EPERM)
	for _, test := range []struct {
		err  error
		have Have
		note string
	}{
		{nil, yes, ""},
		{refused, no, "this kernel refuses to attach one (operation not permitted); its lockdown mode is confidentiality"},
		{tracer.ErrNoKprobes, no, "this kernel was built without CONFIG_KPROBES"},
		{tracer.ErrKprobesOff, no, tracer.ErrKprobesOff.Error()},
		{unix.ENOENT, Unknown, "no such file or directory"},
	} {
		if c := required("kprobes", test.err); c.Have != test.have || c.Note != test.note || !c.Required {
			t.Errorf("%v: %+v, want %s and %q", test.err, c, test.have, test.note)
		}
	}
}

func TestLockdownCheck(t *testing.T) {
	for _, test := range []struct {
		have  error
		mode  string
		err   error
		asked bool
		want  Have
		note  string
	}{
		{nil, "none", nil, true, yes, "lockdown mode none"},
		{nil, "integrity", nil, true, yes, "unsigned modules are refused"},
		{tracer.ErrLockdown, "confidentiality", nil, false, no, "does not let BPF programs read"},
		// What the kernel answered counts, and not that its mode could not be read.
		{tracer.ErrLockdown, "", os.ErrNotExist, true, no, "does not let BPF programs read"},
		{nil, "", os.ErrNotExist, true, yes, "securityfs is not mounted"},
		{nil, "", os.ErrNotExist, false, Unknown, "without privilege"},
		{nil, "", os.ErrPermission, true, yes, "permission denied"},
		{nil, "", os.ErrPermission, false, Unknown, "permission denied"},
	} {
		c := lockdownCheck(test.have, test.mode, test.err, test.asked)
		if c.Have != test.want || !strings.Contains(c.Note, test.note) {
			t.Errorf("%+v: %+v", test, c)
		}
	}
}

func TestHelperCheck(t *testing.T) {
	for _, test := range []struct {
		helper string
		other  bool
		err    error
		have   Have
		note   string
	}{
		{"/sbin/modprobe", false, nil, yes, "/sbin/modprobe"},
		{"/tmp/x", true, nil, no, "kernel.modprobe is /tmp/x, and not the system's modprobe (/usr/sbin/modprobe)"},
		{"", false, nil, no, "kernel.modprobe is empty"},
		{"/sbin/modprobe", false, errors.New("two\nlines"), Unknown, "two lines"},
	} {
		c := helperCheck(test.helper, "/usr/sbin/modprobe", test.other, test.err)
		if c.Have != test.have || !strings.HasPrefix(c.Note, test.note) {
			t.Errorf("%+v: %+v", test, c)
		}
	}
}

func TestLoginCheck(t *testing.T) {
	for _, test := range []struct {
		immutable bool
		err       error
		have      Have
		note      string
	}{
		{true, nil, yes, "nobody can change one that is set"},
		{false, nil, no, "root can change one that is set"},
		{false, os.ErrNotExist, no, "no login uids"},
		{false, errors.New("two\nlines"), Unknown, "two lines"},
	} {
		c := loginCheck(test.immutable, test.err)
		if c.Have != test.have || !strings.Contains(c.Note, test.note) {
			t.Errorf("immutable %t, %v: %+v, want %s and %q", test.immutable, test.err, c, test.have, test.note)
		}
	}
}
