package holders_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/holders"
)

// TestUsersOfKernel: what the kernel itself holds a module by is found, in each network namespace,
// as often as the kernel counts it; with the command that lets go of it; and not found afterwards.
func TestUsersOfKernel(t *testing.T) {
	inLab(t)
	for _, test := range []struct {
		module string
		use    func(*testing.T) (stop func())
		kind   holders.Kind
		name   string
		on     string
		letGo  string
	}{
		{"bfq", useScheduler, holders.IOScheduler, "bfq", "nullb0", "echo none >/sys/block/nullb0/queue/scheduler"},
		{"tcp_bbr", useCongestionControl, holders.CongestionControl, "bbr", "", "sysctl -w net.ipv4.tcp_congestion_control=cubic"},
		{"sch_fq", useDefaultDiscipline, holders.QueueingDiscipline, "fq", "new network devices", "sysctl -w net.core.default_qdisc=pfifo_fast"},
		{"sch_fq", useDiscipline("fq", 0xffffffff, 0x10000), holders.QueueingDiscipline, "fq", "lo", "tc qdisc del dev lo root"},
		{"sch_ingress", useDiscipline("clsact", 0xfffffff1, 0xffff0000), holders.QueueingDiscipline, "clsact", "lo", "tc qdisc del dev lo clsact"},
		{"cls_matchall", useFilter, holders.TrafficFilter, "matchall", "lo egress", "tc filter del dev lo egress"},
		{"act_gact", useAction, holders.TrafficAction, "gact", "", ""},
		{"nft_limit", useNftables("limit", limitOfNft()), holders.NftablesRule, "limit", "ip held rules", "nft delete rule ip held rules handle 2"},
		{"xt_comment", useNftables("match", commentOfNft()), holders.NftablesRule, "match comment", "ip held rules", "nft delete rule ip held rules handle 2"},
		{"nft_chain_nat", useNatChain, holders.NftablesChain, "nat", "ip held rules", "nft delete chain ip held rules"},
		{"xt_comment", useIPTables, holders.IPTablesRule, "match comment", "filter INPUT", "iptables-legacy -t filter -D INPUT 1"},
		{"dm_zero", useMapper, holders.MapperTarget, "zero", "held", "dmsetup remove held"},
		{"ip_vs_rr", useIPVS, holders.IPVSService, "rr", "TCP 10.0.0.1:80", "ipvsadm -D -t 10.0.0.1:80"},
		{"zram", useSwap, holders.Swap, "", "", "swapoff /dev/zram0"},
		{"dummy", useProgram, holders.BPFProgram, "held_by_bpf", "", fmt.Sprintf("kill %d", os.Getpid())},
	} {
		t.Run(test.module+" "+test.kind.String(), func(t *testing.T) {
			if err := exec.Command("/sbin/modprobe", test.module).Run(); err != nil {
				t.Skipf("this kernel has no module %s", test.module)
			}
			t.Cleanup(func() { _ = exec.Command("/sbin/modprobe", "-r", test.module).Run() })
			before := refCount(t, test.module)
			stop := test.use(t)
			users := findUsers(t, test.module)
			// 6.1 opens a disk twice for swap.
			if n := refCount(t, test.module) - before; len(users) != 1 || n != 1 && (n != 2 || test.kind != holders.Swap) {
				t.Fatalf("%d references and %d users: %+v", n, len(users), users)
			}
			u := users[0]
			if u.Kind != test.kind || u.Name != test.name || u.On != test.on || u.LetGo != test.letGo || !u.Holds || u.Network != "" {
				t.Errorf("user %+v", u)
			}
			stop()
			if users := findUsers(t, test.module); len(users) != 0 {
				t.Errorf("still there: %+v", users)
			}
		})
	}
}

// TestUsersInNetworks: the same in another network namespace, which only a file keeps, is told
// with that file; and what another namespace has, this one has not.
func TestUsersInNetworks(t *testing.T) {
	inLab(t)
	file := filepath.Join(t.TempDir(), "blue net")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	loadFor(t, "tcp_bbr")
	loadFor(t, "sch_fq")
	loadFor(t, "nft_limit")
	inNewNetwork(t, file, func() {
		useCongestionControl(t)
		useDiscipline("fq", 0xffffffff, 0x10000)(t)
		useNftables("limit", limitOfNft())(t)
	})
	for module, letGo := range map[string]string{
		"tcp_bbr":   "sysctl -w net.ipv4.tcp_congestion_control=cubic",
		"sch_fq":    "tc qdisc del dev lo root",
		"nft_limit": "nft delete rule ip held rules handle 2",
	} {
		users := findUsers(t, module)
		if len(users) != 1 || users[0].Network != file || users[0].LetGo != "nsenter --net='"+file+"' "+letGo {
			t.Errorf("%s: %+v", module, users)
		}
	}
	self, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if process, _ := os.Readlink("/proc/self/ns/net"); process != self {
		t.Errorf("the process is in %s and not in %s any more", process, self)
	}
	sh(t, "umount", file)
	for _, module := range []string{"tcp_bbr", "sch_fq", "nft_limit"} {
		if users := findUsers(t, module); len(users) != 0 {
			t.Errorf("%s, of a namespace that is gone: %+v", module, users)
		}
	}
}

// TestUsersInManyNetworks: hundreds of them are looked into, and those beyond the bound are said to
// be left out.
func TestUsersInManyNetworks(t *testing.T) {
	inLab(t)
	dir := t.TempDir()
	loadFor(t, "tcp_bbr")
	stop := useCongestionControl(t) // which each new one begins with
	const many = 300
	for i := range many {
		file := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		inNewNetwork(t, file, func() {})
	}
	users, err := holders.Find("tcp_bbr", nil)
	if err != nil || len(users) != many+1 || refCount(t, "tcp_bbr") != many+1 {
		t.Errorf("%d users, %v, of %d references", len(users), err, refCount(t, "tcp_bbr"))
	}
	stop()
	for i := range many {
		if err := unix.Unmount(filepath.Join(dir, fmt.Sprint(i)), 0); err != nil {
			t.Error(err)
		}
	}
}

// inNewNetwork does something in a new network namespace, which the file keeps.
func inNewNetwork(t *testing.T, file string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with it
		if unix.Gettid() == os.Getpid() {
			defer runtime.UnlockOSThread() // the first does not end
			inNewNetwork(t, file, do)
			return
		}
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("new network namespace: %v", err)
			return
		}
		do()
		if err := unix.Mount("/proc/thread-self/ns/net", file, "", unix.MS_BIND, ""); err != nil {
			t.Errorf("keep the namespace: %v", err)
		}
	}()
	<-done
}

// write writes a setting of the kernel, and gives back what it was.
func write(t *testing.T, file, value string) (back func()) {
	t.Helper()
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(file, was, 0); err != nil {
			t.Error(err)
		}
	}
}

func useScheduler(t *testing.T) func() {
	sh(t, "/sbin/modprobe", "null_blk", "nr_devices=1")
	const file = "/sys/block/nullb0/queue/scheduler"
	if err := os.WriteFile(file, []byte("bfq"), 0); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(file, []byte("none"), 0); err != nil {
			t.Error(err)
		}
		sh(t, "/sbin/modprobe", "-r", "null_blk")
	}
}

func useCongestionControl(t *testing.T) func() {
	return write(t, "/proc/sys/net/ipv4/tcp_congestion_control", "bbr")
}

func useDefaultDiscipline(t *testing.T) func() {
	return write(t, "/proc/sys/net/core/default_qdisc", "fq")
}

// attr is one attribute of netlink.
func attr(number uint16, value ...[]byte) []byte {
	var all []byte
	for _, v := range value {
		all = append(all, v...)
	}
	a := binary.NativeEndian.AppendUint16(nil, uint16(4+len(all)))
	a = append(binary.NativeEndian.AppendUint16(a, number), all...)
	return append(a, make([]byte, -len(a)&3)...)
}

func text(s string) []byte          { return append([]byte(s), 0) }
func be32(n uint32) []byte          { return binary.BigEndian.AppendUint32(nil, n) }
func be64(n uint64) []byte          { return binary.BigEndian.AppendUint64(nil, n) }
func native32(all ...uint32) []byte { return binaryOf(all) }

func binaryOf(v any) []byte {
	b, err := binary.Append(nil, binary.NativeEndian, v)
	if err != nil {
		panic(err)
	}
	return b
}

// netlinkMessage is one message, acknowledged where flags say so.
func netlinkMessage(kind, flags uint16, payload ...[]byte) []byte {
	var all []byte
	for _, p := range payload {
		all = append(all, p...)
	}
	m := binary.NativeEndian.AppendUint32(nil, uint32(16+len(all)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = binary.NativeEndian.AppendUint16(m, flags)
	return append(append(m, make([]byte, 8)...), all...)
}

const acknowledged = unix.NLM_F_REQUEST | unix.NLM_F_ACK

// tell sends messages of which the last acknowledged one ends, and fails on an error.
func tell(t *testing.T, family int, answers int, messages ...[]byte) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var all []byte
	for _, m := range messages {
		all = append(all, m...)
	}
	if err := unix.Sendto(fd, all, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 1<<16)
	for answers > 0 {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for data := buffer[:n]; len(data) >= 20; data = data[min(len(data), int(binary.NativeEndian.Uint32(data)+3)&^3):] {
			if binary.NativeEndian.Uint16(data[4:]) != unix.NLMSG_ERROR {
				continue
			}
			answers--
			if errno := -int32(binary.NativeEndian.Uint32(data[16:])); errno != 0 {
				t.Fatalf("netlink: %v", unix.Errno(errno))
			}
		}
	}
}

func tcmsg(parent, handle, info uint32) []byte { return native32(0, 1, handle, parent, info) } // of lo

func useDiscipline(kind string, parent, handle uint32) func(*testing.T) func() {
	return func(t *testing.T) func() {
		tell(t, unix.NETLINK_ROUTE, 1, netlinkMessage(unix.RTM_NEWQDISC, acknowledged|unix.NLM_F_CREATE, tcmsg(parent, handle, 0), attr(1, text(kind))))
		return func() {
			tell(t, unix.NETLINK_ROUTE, 1, netlinkMessage(unix.RTM_DELQDISC, acknowledged, tcmsg(parent, handle, 0)))
		}
	}
}

func useFilter(t *testing.T) func() {
	stop := useDiscipline("clsact", 0xfffffff1, 0xffff0000)(t)
	const all = 0x0300 // ETH_P_ALL, as the network has it
	tell(t, unix.NETLINK_ROUTE, 1, netlinkMessage(unix.RTM_NEWTFILTER, acknowledged|unix.NLM_F_CREATE, tcmsg(0xfffffff3, 0, 1<<16|all), attr(1, text("matchall")), attr(2)))
	return stop
}

func useAction(t *testing.T) func() {
	action := func(kind uint16, attributes ...[]byte) {
		tell(t, unix.NETLINK_ROUTE, 1, netlinkMessage(kind, acknowledged|unix.NLM_F_CREATE, make([]byte, 4), attr(1, attr(1, attributes...))))
	}
	action(unix.RTM_NEWACTION, attr(1, text("gact")), attr(2, attr(2, native32(7, 0, 0, 1, 0))))
	return func() { action(unix.RTM_DELACTION, attr(1, text("gact")), attr(3, native32(7))) }
}

const nft = unix.NFNL_SUBSYS_NFTABLES << 8

func nftMessage(kind uint16, attributes ...[]byte) []byte {
	return netlinkMessage(nft|kind, acknowledged|unix.NLM_F_CREATE, append([][]byte{{unix.NFPROTO_IPV4, 0, 0, 0}}, attributes...)...)
}

func nftBatch(t *testing.T, messages ...[]byte) {
	t.Helper()
	edge := []byte{0, 0, 0, unix.NFNL_SUBSYS_NFTABLES}
	begin, end := netlinkMessage(unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, edge), netlinkMessage(unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, edge)
	tell(t, unix.NETLINK_NETFILTER, len(messages), append(append([][]byte{begin}, messages...), end)...)
}

func limitOfNft() []byte { return append(attr(1, be64(10)), attr(2, be64(1))...) }

func commentOfNft() []byte {
	return append(append(attr(1, text("comment")), attr(2, be32(0))...), attr(3, make([]byte, 256))...)
}

// useNftables makes a table with one chain with one rule with one expression.
func useNftables(name string, data []byte) func(*testing.T) func() {
	return func(t *testing.T) func() {
		rule := attr(4, attr(1, attr(1, text(name)), attr(2, data)))
		nftBatch(t, nftMessage(unix.NFT_MSG_NEWTABLE, attr(1, text("held"))),
			nftMessage(unix.NFT_MSG_NEWCHAIN, attr(1, text("held")), attr(3, text("rules"))),
			nftMessage(unix.NFT_MSG_NEWRULE, attr(1, text("held")), attr(2, text("rules")), rule))
		return func() { nftBatch(t, nftMessage(unix.NFT_MSG_DELTABLE, attr(1, text("held")))) }
	}
}

func useNatChain(t *testing.T) func() {
	nftBatch(t, nftMessage(unix.NFT_MSG_NEWTABLE, attr(1, text("held"))),
		nftMessage(unix.NFT_MSG_NEWCHAIN, attr(1, text("held")), attr(3, text("rules")), attr(4, attr(1, be32(3)), attr(2, be32(0))), attr(7, text("nat"))))
	return func() { nftBatch(t, nftMessage(unix.NFT_MSG_DELTABLE, attr(1, text("held")))) }
}

// useIPTables puts a rule that has nothing but a comment before the policy of INPUT, by the older
// interface.
func useIPTables(t *testing.T) func() {
	const getInfo, getEntries, replace = 64, 65, 64
	if err := exec.Command("/sbin/modprobe", "iptable_filter").Run(); err != nil {
		t.Skip("this kernel has no iptable_filter")
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		t.Fatal(err)
	}
	get := func(option int, value []byte) {
		size := uint32(len(value))
		if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_IP, uintptr(option), uintptr(unsafe.Pointer(&value[0])), uintptr(unsafe.Pointer(&size)), 0); errno != 0 {
			t.Fatalf("getsockopt %d: %v", option, errno)
		}
	}
	info := append(append(make([]byte, 0, 84), text("filter")...), make([]byte, 77)...)
	get(getInfo, info)
	size := binary.NativeEndian.Uint32(info[80:])
	old := make([]byte, 40+size)
	copy(old, "filter")
	binary.NativeEndian.PutUint32(old[32:], size)
	get(getEntries, old)
	old = old[40:]
	put := func(entries []byte, added uint32) {
		r := append(make([]byte, 0, 96+len(entries)), info[:36]...) // name, hooks
		r = append(r, native32(binary.NativeEndian.Uint32(info[76:])+min(added, 1), uint32(len(entries)))...)
		for at := 36; at < 76; at += 4 { // hook entries, then underflows: those behind INPUT's beginning move
			offset := binary.NativeEndian.Uint32(info[at:])
			if hook := (at - 36) / 4; hook != 1 && hook != 0 && hook != 4 {
				offset += added
			}
			r = append(r, native32(offset)...)
		}
		counters := make([]byte, 16*(binary.NativeEndian.Uint32(info[76:])+1))
		r = append(r, native32(binary.NativeEndian.Uint32(info[76:])+1-min(added, 1))...)
		r = append(r, make([]byte, -len(r)&7)...)
		r = append(r, binaryOf(uint64(uintptr(unsafe.Pointer(&counters[0]))))...)
		r = append(r, entries...)
		_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_IP, replace, uintptr(unsafe.Pointer(&r[0])), uintptr(len(r)), 0)
		runtime.KeepAlive(counters)
		if errno != 0 {
			t.Fatalf("replace the table: %v", errno)
		}
	}
	const match, target = 32 + 256, 40
	rule := make([]byte, 112+match+target)
	binary.NativeEndian.PutUint16(rule[88:], 112+match)
	binary.NativeEndian.PutUint16(rule[90:], uint16(len(rule)))
	binary.NativeEndian.PutUint16(rule[112:], match)
	copy(rule[114:], "comment")
	binary.NativeEndian.PutUint16(rule[112+match:], target)
	accept := int32(-unix.NFPROTO_INET - 1) // -NF_ACCEPT - 1
	binary.NativeEndian.PutUint32(rule[112+match+32:], uint32(accept))
	put(append(rule, old...), uint32(len(rule)))
	return func() {
		put2 := make([]byte, 0, 96+len(old))
		put2 = append(put2, info[:36]...)
		put2 = append(put2, native32(binary.NativeEndian.Uint32(info[76:]), size)...)
		put2 = append(put2, info[36:76]...)
		counters := make([]byte, 16*(binary.NativeEndian.Uint32(info[76:])+1))
		put2 = append(put2, native32(binary.NativeEndian.Uint32(info[76:])+1)...)
		put2 = append(put2, make([]byte, -len(put2)&7)...)
		put2 = append(append(put2, binaryOf(uint64(uintptr(unsafe.Pointer(&counters[0]))))...), old...)
		_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_IP, replace, uintptr(unsafe.Pointer(&put2[0])), uintptr(len(put2)), 0)
		runtime.KeepAlive(counters)
		if errno != 0 {
			t.Errorf("put the table back: %v", errno)
		}
		unix.Close(fd)
	}
}

// useMapper makes a device of the device mapper with a table of one target.
func useMapper(t *testing.T) func() {
	var major, minor uint32
	number, err := os.ReadFile("/sys/class/misc/device-mapper/dev")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(number), "%d:%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	node(t, "/dev/mapper/control", unix.S_IFCHR, major, minor)
	f, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(command uintptr, targets uint32, data []byte) {
		words := make([]uint64, 128)
		b := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 1024)
		copy(b, native32(4, 0, 0, 1024, 312, targets))
		copy(b[48:], "held")
		copy(b[312:], data)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), 0xc138fd00|command, uintptr(unsafe.Pointer(&words[0]))); errno != 0 {
			t.Fatalf("device mapper, command %d: %v", command, errno)
		}
	}
	const create, remove, suspend, load = 3, 4, 6, 9
	ask(create, 0, nil)
	table := append(append(binaryOf([]uint64{0, 8}), native32(0, 48)...), make([]byte, 24)...)
	copy(table[24:], "zero")
	ask(load, 1, table)
	ask(suspend, 0, nil) // without the flag that suspends: the table becomes the device's
	return func() {
		ask(remove, 0, nil)
		f.Close()
	}
}

// useIPVS makes a service at 10.0.0.1:80.
func useIPVS(t *testing.T) func() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		t.Fatal(err)
	}
	service := make([]byte, 44)
	binary.NativeEndian.PutUint16(service, unix.IPPROTO_TCP)
	copy(service[4:], []byte{10, 0, 0, 1, 0, 80})
	copy(service[16:], "rr")
	set := func(option int) {
		if err := unix.SetsockoptString(fd, unix.IPPROTO_IP, option, string(service)); err != nil {
			t.Fatalf("IPVS, %d: %v", option, err)
		}
	}
	const base = 64 + 1024 + 64
	set(base + 2)
	return func() {
		set(base + 4)
		unix.Close(fd)
	}
}

func useSwap(t *testing.T) func() {
	if err := os.WriteFile("/sys/block/zram0/disksize", []byte("16M"), 0); err != nil {
		t.Fatal(err)
	}
	number, err := os.ReadFile("/sys/block/zram0/dev")
	if err != nil {
		t.Fatal(err)
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(string(number), "%d:%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	node(t, "/dev/zram0", unix.S_IFBLK, major, minor)
	sh(t, "mkswap", "/dev/zram0")
	sh(t, "swapon", "/dev/zram0")
	return func() { sh(t, "swapoff", "/dev/zram0") }
}

func useProgram(t *testing.T) func() {
	if _, err := os.Stat("/sys/kernel/btf/dummy"); err != nil {
		t.Skip("this kernel describes no modules: nothing can be attached to them so")
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "held_by_bpf", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceFEntry, AttachTo: "dummy_setup", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		t.Fatal(err)
	}
	return func() { l.Close(); p.Close() }
}

// TestUsersConsole: a frame buffer that the kernel's terminals are shown on is held by them, and let go of
// by the command.
func TestUsersConsole(t *testing.T) {
	inLab(t)
	if err := exec.Command("/sbin/insmod", specimen("screen")).Run(); err != nil {
		t.Skip("this kernel has no frame buffers")
	}
	t.Cleanup(func() { sh(t, "/sbin/rmmod", "screen") })
	users := findUsers(t, "screen")
	if n := refCount(t, "screen"); len(users) != 1 || n != 1 {
		t.Fatalf("%d references and %d users: %+v", n, len(users), users)
	}
	u := users[0]
	if letGo := "echo 0 >/sys/class/vtconsole/" + u.Name + "/bind"; u.Kind != holders.Console || !u.Holds || u.On != "fb0" || u.LetGo != letGo {
		t.Fatalf("user %+v", u)
	}
	sh(t, "sh", "-c", u.LetGo)
	if users := findUsers(t, "screen"); len(users) != 0 {
		t.Errorf("still there: %+v", users)
	}
}
