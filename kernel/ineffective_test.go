package kernel

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIneffective(t *testing.T) {
	k := running(files{
		"proc/modules":                      "loaded 4096 0 - Live 0x0\nother 4096 0 - Live 0x0\n",
		"sys/module/loaded/initstate":       "live\n",
		"etc/modprobe.d/a.conf":             "blacklist loaded\nblacklist absent\ninstall x /bin/false\noptions x a=1\n",
		"etc/modprobe.d/b.conf":             "install x /bin/true\ninstall y /sbin/modprobe -i y\n",
		"etc/modprobe.d/b.conf.dpkg-old":    "# a comment\nblacklist z\n",
		"etc/modprobe.d/dos.conf":           "blacklist dos\r\noptions x a=2\r\n",
		"etc/modprobe.d/mark.conf":          "\ufeffblacklist m\nblacklist n\n",
		"etc/modprobe.d/words.conf":         "blacklst m\nblacklist\noptions m\ninclude /etc/more\ninstall m[ /bin/false\nalias a]b m\nsoftdep m pre: n\n  # c\n \n\t#\n",
		"lib/modprobe.d/mark.conf":          "hidden words\n",
		"etc/modprobe.d/notes":              "nothing that modprobe knows\n",
		"lib/modprobe.d/a.conf":             "install x /bin/hidden\n",
		"etc/modprobe.d/directory.conf/why": "",
	}).open(t)
	if err := os.Symlink("/proc/self/mem", filepath.Join(k.root, "etc/modprobe.d/unreadable.conf")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range k.Ineffective(context.Background()) {
		got = append(got, strings.ReplaceAll(line.String(), k.root+"/", ""))
	}
	want := []string{
		"etc/modprobe.d/unreadable.conf: it cannot be read (input/output error)",
		`etc/modprobe.d/b.conf:1 says "install x /bin/true": etc/modprobe.d/a.conf:3 is about the same name, and comes first`,
		`etc/modprobe.d/dos.conf:1 says "blacklist dos\r": it ends with a carriage return, as in files of Windows, which is a part of the name or command to modprobe`,
		`etc/modprobe.d/mark.conf:1 says "\ufeffblacklist m": the file begins with a byte-order mark, and modprobe ignores the line`,
		`etc/modprobe.d/words.conf:1 says "blacklst m": modprobe has no command of that name, and ignores the line`,
		`etc/modprobe.d/words.conf:2 says "blacklist": it is not complete, and modprobe ignores it`,
		`etc/modprobe.d/words.conf:3 says "options m": it is not complete, and modprobe ignores it`,
		`etc/modprobe.d/words.conf:4 says "include /etc/more": modprobe no longer knows the command include`,
		`etc/modprobe.d/words.conf:5 says "install m[ /bin/false": its brackets do not match, and modprobe ignores it`,
		`etc/modprobe.d/words.conf:6 says "alias a]b m": its brackets do not match, and modprobe ignores it`,
		`etc/modprobe.d/words.conf:8 says "# c": modprobe has no command of that name, and ignores the line`,
		`etc/modprobe.d/words.conf:10 says "#": modprobe has no command of that name, and ignores the line`,
		`etc/modprobe.d/b.conf.dpkg-old:2 says "blacklist z": modprobe reads only files that end in .conf`,
		`etc/modprobe.d/a.conf:1 says "blacklist loaded": loaded is loaded all the same`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// TestIneffectiveOfNothing: no configuration is no problem.
func TestIneffectiveOfNothing(t *testing.T) {
	if got := running(nil).open(t).Ineffective(context.Background()); len(got) > 0 {
		t.Errorf("%v", got)
	}
}
