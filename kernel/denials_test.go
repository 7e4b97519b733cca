package kernel

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestDenialOf(t *testing.T) {
	const apparmor = `apparmor="DENIED" operation="capable" profile="x" pid=77 comm="insmod" capability=16`
	const selinux = `avc:  denied  { module_load } for  pid=77 comm="insmod" path="/x.ko" permissive=0`
	from := time.Unix(1700000000, 100_500_000)
	to := from.Add(time.Second)
	for name, c := range map[string]struct{ line, lsm string }{
		"AppArmor, the kernel's log": {"audit: type=1400 audit(1700000000.123:45): " + apparmor, "apparmor"},
		"AppArmor, auditd":           {"type=AVC msg=audit(1700000000.123:45): " + apparmor, "apparmor"},
		"SELinux":                    {"audit: type=1400 audit(1700000000.123:45): " + selinux, "selinux"},
		"SMACK":                      {`audit: type=1400 audit(1700000000.123:45): lsm=SMACK fn=x action=denied pid=77`, "smack"},
		"IMA":                        {`audit: type=1800 audit(1700000000.123:45): pid=77 uid=0 op=appraise_data cause="missing-hash" res=0`, "ima"},
		"a tick before":              {"audit: type=1400 audit(1700000000.090:45): " + selinux, "selinux"},
		"its last millisecond":       {"audit: type=1400 audit(1700000001.101:45): " + selinux, "selinux"},
		"before":                     {"audit: type=1400 audit(1700000000.089:45): " + selinux, ""},
		"after":                      {"audit: type=1400 audit(1700000001.103:45): " + selinux, ""},
		"its process":                {"audit: type=1400 audit(1700000000.123:45): " + strings.ReplaceAll(selinux, "pid=77", "pid=76"), "selinux"},
		"another thread":             {"audit: type=1400 audit(1700000000.123:45): " + strings.ReplaceAll(selinux, "pid=77", "pid=777"), ""},
		"another one's parent":       {"audit: type=1400 audit(1700000000.123:45): " + strings.ReplaceAll(selinux, "pid=77", "ppid=77 pid=5"), ""},
		"no thread":                  {"audit: type=1400 audit(1700000000.123:45): avc:  denied", ""},
		"permissive":                 {"audit: type=1400 audit(1700000000.123:45): " + strings.ReplaceAll(selinux, "permissive=0", "permissive=1"), ""},
		"complain mode":              {"audit: type=1400 audit(1700000000.123:45): " + strings.ReplaceAll(apparmor, "DENIED", "ALLOWED"), ""},
		"IMA lets it pass":           {`audit: type=1800 audit(1700000000.123:45): pid=77 op=appraise_data res=1`, ""},
		"another type":               {"audit: type=1130 audit(1700000000.123:45): pid=77", ""},
		"AVC of nobody known":        {"audit: type=1400 audit(1700000000.123:45): pid=77 new=1", ""},
		"printed by a program":       {"x: audit: type=1400 audit(1700000000.123:45): " + selinux, ""},
		"empty":                      {"", ""},
		"a time beyond all":          {"audit: type=1400 audit(999999999999.999:45): " + selinux, ""},
		"cut":                        {"audit: type=1400 audit(1700000000.", ""},
	} {
		if d, ok := denialOf(c.line, 76, 77, from, to); d.LSM != c.lsm || ok != (c.lsm != "") {
			t.Errorf("%s: %+v, %t", name, d, ok)
		}
	}
	d, ok := denialOf("audit: type=1400 audit(1700000000.123:45): "+selinux+" \xff", 76, 77, from, to)
	if !ok || !utf8.ValidString(d.Text) {
		t.Errorf("%q, %t", d.Text, ok)
	}
}

// TestReadTail: a log is read from its end, within the bound, without lines that are too long.
func TestReadTail(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("x", maxAuditLine+1)
	path := filepath.Join(dir, "audit.log")
	if err := os.WriteFile(path, []byte("first\n"+strings.Repeat("a\n", maxAuditTail/2)+long+"\nlast"), 0o600); err != nil {
		t.Fatal(err)
	}
	var lines []string
	if err := readTail(path, func(line string) { lines = append(lines, line) }); err != nil {
		t.Fatal(err)
	}
	if n := len(lines); n == 0 || n > maxAuditTail/2 || lines[0] == "first" || lines[n-1] != "last" || lines[n-2] != "a" {
		t.Errorf("%d lines", n)
	}
	for name, path := range map[string]string{"missing": filepath.Join(dir, "none"), "under a file": filepath.Join(path, "x")} {
		if readTail(path, func(string) {}) == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := readTail(dir, func(line string) { t.Errorf("a directory has a line %q", line) }); err != nil {
		t.Error(err)
	}
}

// TestDenialsAwaited: a record that the kernel writes a moment after the refusal is found.
func TestDenialsAwaited(t *testing.T) {
	k := running(files{"var/log/audit/audit.log": "\n"}).open(t)
	now := time.Now()
	late := make(chan error, 1)
	go func() {
		time.Sleep(60 * time.Millisecond)
		line := fmt.Sprintf("type=AVC msg=audit(%d.%03d:1): apparmor=\"DENIED\" operation=\"capable\" pid=77\n", now.Unix(), now.UnixMilli()%1000)
		late <- os.WriteFile(filepath.Join(k.root, "var/log/audit/audit.log"), []byte(line), 0o600)
	}()
	found, err := k.Denials(t.Context(), 77, 77, now.Add(-time.Second), now)
	if writeErr := <-late; writeErr != nil {
		t.Fatal(writeErr)
	}
	if len(found) != 1 || found[0].LSM != "apparmor" {
		t.Errorf("%+v, %v", found, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if found, _ := k.Denials(ended, 78, 78, now.Add(-time.Second), time.Now()); len(found) != 0 {
		t.Errorf("another process: %+v", found)
	}
}
