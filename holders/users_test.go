package holders

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// fakeRoot is a directory with these files; those whose text begins with "-> " are
// links.
func fakeRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// busyRoot is a machine on which much is in use.
func busyRoot(t *testing.T) string {
	release, err := tracer.Release()
	if err != nil {
		t.Fatal(err)
	}
	return fakeRoot(t, map[string]string{
		"sys/module/base/holders/user":  "",
		"sys/module/base/holders/other": "",

		"proc/self/mountinfo": "21 1 0:19 / /proc rw - proc proc rw\n" +
			"30 21 7:0 / /mnt/my\\040disk rw,noatime shared:1 - iso9660 /dev/loop0 ro\n" +
			"31 21 7:0 /sub /mnt/again rw - iso9660 /dev/loop0 ro\n" +
			"32 21 253:1 / / rw - ext4 /dev/vda1 rw\n" +
			"33 21 ../../x / /bad rw - ext4 /dev/vda1 rw\n",
		"proc/self/ns/mnt": "-> mnt:[1]",
		"proc/1/mountinfo": "30 21 7:0 / /mnt/my\\040disk rw - iso9660 /dev/loop0 ro\n",
		"proc/1/ns/mnt":    "-> mnt:[1]",
		"proc/77/mountinfo": "90 21 7:0 / /mnt rw - iso9660 /dev/loop0 ro\n" +
			"91 21 0:44 / /home rw - fuse.sshfs me@host: rw\n",
		"proc/77/ns/mnt": "-> mnt:[2]",
		"proc/78/ns/mnt": "-> mnt:[2]",
		"lib/modules/" + filepath.Base(release) + "/modules.alias": "# Aliases\nalias fs-iso9660 isofs\nalias iso9660 isofs\nalias fs-xfs xfs\n",

		"sys/dev/block/253:1":                            "-> ../../devices/pci/block/vda/vda1",
		"sys/devices/pci/block/vda/vda1/partition":       "1\n",
		"sys/devices/pci/block/vda/device/driver/module": "-> ../../../../../../../module/virtio_blk",

		"sys/dev/block/7:0": "-> ../../block/loop0",

		"sys/block/loop0/loop/backing_file": "/home/me/disk.iso\n",
		"sys/block/loop0/dev":               "7:0\n",
		"sys/block/loop1/dev":               "7:1\n",

		"proc/net/protocols": "protocol  size sockets  memory press maxhdr  slab module     cl co\n" +
			"SCTP      1600      3      -1   NI       0   no   sctp        n  n\n" +
			"SCTPv6    1600      0      -1   NI       0   no   sctp        n  n\n" +
			"NOCOUNT   1600     -1      -1   NI       0   no   sctp        n  n\n" +
			"TCP       1600     10      -1   NI       0   no   kernel      n  n\n",

		"proc/crypto": "name         : ghash\ndriver       : ghash-generic\nmodule       : ghash_generic\npriority     : 100\nrefcnt       : 3\n\n" +
			"name         : gcm(aes)\ndriver       : gcm_base\nmodule       : gcm\nrefcnt       : 1\n\n" +
			"name         : sha256\nmodule       : kernel\nrefcnt       : 9\n",

		"proc/swaps":                      "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0 partition 65532 0 100\n/dev/vda2 partition 65532 0 100\n/swap\\040file file 1 0 -2\n",
		"proc/devices":                    "Character devices:\n252 zram\n\nBlock devices:\n  7 loop\n252 zram\n253 virtblk\n",
		"sys/class/block/zram0/dev":       "252:0\n",
		"sys/dev/block/252:0":             "-> ../../block/zram0",
		"sys/block/zram0/queue/scheduler": "none\n",
		"sys/block/vda/queue/scheduler":   "none mq-deadline [kyber]\n",
		"sys/block/sda/queue/scheduler":   "[mq-deadline] none\n",
		"sys/block/sdb/queue/scheduler":   "none [bfq\n",

		"proc/sys/net/ipv4/tcp_congestion_control":           "bbr\n",
		"proc/sys/net/ipv4/tcp_available_congestion_control": "reno cubic bbr\n",
		"proc/sys/net/core/default_qdisc":                    "cake\n",
		"proc/thread-self/net/ip_vs": "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n" +
			"TCP  0A000001:0050 rr  \n  -> 0A000002:0050      Masq    1      0          0         \nFWM  00000007 wlc persistent 300 FFFFFFFF\nUDP  [fd00:0000:0000:0000:0000:0000:0000:0001]:0035 rr \n",

		"sys/class/net/eth0/device/driver/module": "-> ../../../../module/virtio_net",
		"sys/class/net/br0/uevent":                "DEVTYPE=bridge\nINTERFACE=br0\n",
		"sys/class/net/lo/uevent":                 "INTERFACE=lo\n",
	})
}

// TestFindUsersInText: what the kernel's texts tell, and that nothing is known about
// open files.
func TestFindUsersInText(t *testing.T) {
	root := busyRoot(t)
	for module, want := range map[string][]User{
		"base": {{Kind: HolderModule, Holds: true, Name: "other"}, {Kind: HolderModule, Holds: true, Name: "user"}},
		"isofs": {{Kind: Mounted, Holds: true, Path: "/mnt/my disk", Device: "7:0", Name: "iso9660",
			Detail: "from /dev/loop0, also mounted at 2 other places"}},
		"fuse":       {{Kind: Mounted, Holds: true, PID: 77, Path: "/home", Device: "0:44", Name: "fuse.sshfs", Detail: "from me@host:"}},
		"virtio_blk": {{Kind: Mounted, Holds: true, Path: "/", Device: "253:1", Name: "ext4", Detail: "from /dev/vda1"}},
		"loop": {
			{Kind: Mounted, Holds: true, Path: "/mnt/my disk", Device: "7:0", Name: "iso9660", Detail: "from /dev/loop0, also mounted at 2 other places"},
			{Kind: LoopDevice, Holds: true, Name: "loop0", Path: "/home/me/disk.iso", Device: "7:0"},
		},
		"sctp":          {{Kind: Protocol, Holds: true, Name: "SCTP", Count: 3, Detail: "sockets"}},
		"ghash_generic": {{Kind: CryptoAlgorithm, Holds: true, Name: "ghash-generic", Count: 2, Detail: "users"}},
		"gcm":           {},
		"virtio_net":    {{Kind: NetworkDevice, Name: "eth0", Detail: "goes with the module"}},
		"bridge":        {{Kind: NetworkDevice, Name: "br0", Detail: "goes with the module"}},
		"zram":          {{Kind: Swap, Holds: true, Path: "/dev/zram0", Device: "252:0", LetGo: "swapoff /dev/zram0"}},
		"kyber_iosched": {{Kind: IOScheduler, Holds: true, Name: "kyber", On: "vda", LetGo: "echo none >/sys/block/vda/queue/scheduler"}},
		"mq_deadline":   {{Kind: IOScheduler, Holds: true, Name: "mq-deadline", On: "sda", LetGo: "echo none >/sys/block/sda/queue/scheduler"}},
		"bfq":           {},
		"tcp_bbr":       {{Kind: CongestionControl, Holds: true, Name: "bbr", LetGo: "sysctl -w net.ipv4.tcp_congestion_control=cubic"}},
		"sch_cake":      {{Kind: QueueingDiscipline, Holds: true, Name: "cake", On: "new network devices", LetGo: "sysctl -w net.core.default_qdisc=pfifo_fast"}},
		"ip_vs_rr": {
			{Kind: IPVSService, Holds: true, Name: "rr", On: "TCP 10.0.0.1:80", LetGo: "ipvsadm -D -t 10.0.0.1:80"},
			{Kind: IPVSService, Holds: true, Name: "rr", On: "UDP [fd00:0000:0000:0000:0000:0000:0000:0001]:53", LetGo: "ipvsadm -D -u [fd00:0000:0000:0000:0000:0000:0000:0001]:53"},
		},
		"ip_vs_wlc": {{Kind: IPVSService, Holds: true, Name: "wlc", On: "FWM 7", LetGo: "ipvsadm -D -f 7"}},
		"xfs":       {},
		"nosuch":    {},
	} {
		users, err := Find(module, &Options{Root: root})
		if !errors.Is(err, ErrOpenFiles) {
			t.Errorf("%s: %v", module, err)
		}
		if diff := cmp.Diff(want, users); diff != "" {
			t.Errorf("%s (-want +got):\n%s", module, diff)
		}
	}
}

func TestFindUsersByGivenTypes(t *testing.T) {
	o := &Options{Root: busyRoot(t), FileSystemModule: func(fsType string) string {
		return map[string]string{"iso9660": "my-isofs"}[fsType]
	}}
	if users, _ := Find("my_isofs", o); len(users) != 1 || users[0].Kind != Mounted {
		t.Errorf("users %+v", users)
	}
	if users, _ := Find("isofs", o); len(users) != 0 {
		t.Errorf("users %+v", users)
	}
}

// TestFindUsersNowhere: a machine that shows nothing is not an error of its own.
func TestFindUsersNowhere(t *testing.T) {
	users, err := Find("loop", &Options{Root: t.TempDir()})
	if len(users) != 0 || err == nil || err.Error() != ErrOpenFiles.Error() {
		t.Errorf("users %+v, %v", users, err)
	}
	for _, bad := range []string{"", ".", "..", "../x", "a\x00", strings.Repeat("x", 56)} {
		if _, err := Find(bad, &Options{Root: t.TempDir()}); err == nil || errors.Is(err, ErrOpenFiles) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestFindUsersHostile: texts that are not what they should be name nobody, and
// names that are not UTF-8 survive.
func TestFindUsersHostile(t *testing.T) {
	junk := "\x00\xff\x1b[2J - \n\n - \n1 2 3\n1 2 3 4 5 6 - \n1 2 x 4 5 6 - evil\n : \nmodule : evil\nrefcnt : many\nrefcnt : -7\n" +
		"x x 99999999999999999999 x x x x evil\n"
	for _, text := range []string{"", junk, strings.Repeat("x", 1<<20+1)} {
		root := fakeRoot(t, map[string]string{
			"proc/self/mountinfo": text, "proc/net/protocols": text, "proc/crypto": text,
			"sys/class/net/a/uevent": text, "sys/block/loop0/loop/backing_file": "",
			"sys/module/evil": text, "proc/1/mountinfo/directory": text,
			"proc/swaps": text, "proc/devices": text, "proc/thread-self/net/ip_vs": text, "sys/block/loop0/queue/scheduler": text,
			"proc/sys/net/ipv4/tcp_congestion_control": text, "proc/sys/net/core/default_qdisc": text,
		})
		users, err := Find("evil", &Options{Root: root})
		if len(users) != 0 || err == nil {
			t.Errorf("users %+v, %v", users, err)
		}
	}
	root := fakeRoot(t, map[string]string{"proc/self/mountinfo": "1 1 0:1 / /\xff\\134\\012\\9z\\0 rw - evil \x1b rw\n"})
	users, _ := Find("evil", &Options{Root: root})
	if len(users) != 1 || users[0].Path != "/\\xff\\\n\\9z\\0" {
		t.Errorf("users %+v", users)
	}
}

// TestJoinUsers: nothing is said twice.
func TestJoinUsers(t *testing.T) {
	mount := User{Kind: Mounted, Device: "7:0"}
	socket := openedFile{User: User{Kind: OpenSocket}}
	lost := openedFile{User: User{Kind: FileOnMount}, onDevice: "7:1"}
	got := joinUsers(
		[]openedFile{socket, {User: User{Kind: FileOnMount}, onDevice: "7:0"}, lost},
		[]User{mount, {Kind: Protocol, Count: 1}, {Kind: Protocol, Count: 2}})
	want := []User{socket.User, lost.User, mount, {Kind: Protocol, Count: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestReadOpened: whole records only, and no more than asked for.
func TestReadOpened(t *testing.T) {
	size := binary.Size(usersOpened{})
	for _, test := range []struct {
		bytes, most, want int
		err               error
	}{
		{0, 1, 0, nil},
		{2 * size, 2, 2, nil},
		{2 * size, 1, 1, ErrMoreUsers},
		{2*size - 1, 9, 1, errors.ErrUnsupported},
	} {
		records, err := readOpened(bytes.NewReader(make([]byte, test.bytes)), test.most)
		failed := err != nil && test.err == errors.ErrUnsupported
		if len(records) != test.want || !failed && !errors.Is(err, test.err) {
			t.Errorf("%d bytes, at most %d: %d records, %v", test.bytes, test.most, len(records), err)
		}
	}
}

// TestNewOpenedFile: a process that is not there has no path.
func TestNewOpenedFile(t *testing.T) {
	record := usersOpened{Pid: 1 << 30, Tid: 1<<30 + 1, Fd: 3, Mode: 0o20600, Rdev: 10<<20 | 200, Usage: uint32(usersUsageUSAGE_FILE)}
	copy(record.Comm[:], "sh\xff\x00rest")
	f := newOpenedFile(&record)
	three := 3
	want := User{Kind: OpenFile, Holds: true, PID: 1 << 30, TID: 1<<30 + 1, Comm: "sh\\xff", FD: &three, Gone: true, Device: "10:200", Detail: "character device"}
	if diff := cmp.Diff(want, f.User); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
