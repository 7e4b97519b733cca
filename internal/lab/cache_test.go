package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCacheOfOthers: programs are run from the cache, so nobody else may write there.
func TestCacheOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("makes directories of other users: run as root")
	}
	mkdir := func(path string, mode os.FileMode, uid, gid int) error {
		return errors_(os.Mkdir(path, 0o700), os.Chmod(path, mode), os.Chown(path, uid, gid))
	}
	for name, c := range map[string]struct {
		make func(base string) error // makes base/shared/cache
		says string
	}{
		"nothing there": {func(string) error { return nil }, ""},
		"ours": {func(b string) error {
			return errors_(mkdir(b+"/shared", 0o755, 0, 0), mkdir(b+"/shared/cache", 0o755, 0, 0))
		}, ""},
		"ours in a directory like /tmp": {func(b string) error {
			return errors_(mkdir(b+"/shared", 0o777|os.ModeSticky, 0, 0), mkdir(b+"/shared/cache", 0o700, 0, 0))
		}, ""},
		"another's in a directory like /tmp": {func(b string) error {
			return errors_(mkdir(b+"/shared", 0o777|os.ModeSticky, 0, 0), mkdir(b+"/shared/cache", 0o777, 1234, 1234))
		}, "belongs to the user 1234"},
		"another's link": {func(b string) error {
			return errors_(mkdir(b+"/shared", 0o777|os.ModeSticky, 0, 0), mkdir(b+"/mine", 0o700, 0, 0), os.Symlink("../mine", b+"/shared/cache"), os.Lchown(b+"/shared/cache", 1234, 1234))
		}, "belongs to the user 1234"},
		"our link to another's": {func(b string) error {
			return errors_(mkdir(b+"/shared", 0o755, 0, 0), mkdir(b+"/theirs", 0o700, 1234, 1234), os.Symlink("../theirs", b+"/shared/cache"))
		}, "belongs to the user 1234"},
		"everybody's": {func(b string) error {
			return errors_(mkdir(b+"/shared", 0o755, 0, 0), mkdir(b+"/shared/cache", 0o777, 0, 0))
		}, "by everybody"},
		"sticky itself": {func(b string) error {
			return errors_(mkdir(b+"/shared", 0o755, 0, 0), mkdir(b+"/shared/cache", 0o777|os.ModeSticky, 0, 0))
		}, "by everybody"},
		"a group's": {func(b string) error {
			return errors_(mkdir(b+"/shared", 0o755, 0, 0), mkdir(b+"/shared/cache", 0o775, 0, 1234))
		}, "by the group 1234"},
		"in everybody's": {func(b string) error {
			return errors_(mkdir(b+"/shared", 0o777, 0, 0), mkdir(b+"/shared/cache", 0o755, 0, 0))
		}, "by everybody"},
		"not yet, in everybody's":    {func(b string) error { return mkdir(b+"/shared", 0o777, 0, 0) }, "by everybody"},
		"not yet, in another's home": {func(b string) error { return mkdir(b+"/shared", 0o755, 1234, 1234) }, "belongs to the user 1234"},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			if err := c.make(base); err != nil {
				t.Fatal(err)
			}
			t.Setenv("KMODTRACE_CACHE", filepath.Join(base, "shared", "cache"))
			t.Setenv("SUDO_UID", "")
			_, err := CacheDir()
			if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("want %q, got %v", c.says, err)
			}
			if t.Setenv("SUDO_UID", "1234"); strings.Contains(c.says, "1234") && strings.Contains(c.says, "user") {
				if _, err := CacheDir(); (err != nil) != strings.Contains(name, "like") {
					t.Errorf("of who became root: %v", err)
				}
			}
		})
	}
}
