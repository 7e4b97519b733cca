package tracer

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// TestMeaning: an alias of every family, and what looks like one.
func TestMeaning(t *testing.T) {
	for _, c := range []struct{ alias, want string }{
		{"", ""},
		{"bridge", "module bridge"},
		{"eth0", "module eth0"},
		{"snd-usb-audio", "module snd-usb-audio"},
		{"acpi_cpufreq", "module acpi_cpufreq"},
		{"fs-xfs", "filesystem xfs"},
		{"fs-fuse.sshfs", "filesystem fuse.sshfs"},
		{"net-pf-38", "address family 38 (AF_ALG)"},
		{"net-pf-99", "address family 99"},
		{"net-pf-2-proto-132", "protocol 132 (SCTP) of AF_INET"},
		{"net-pf-2-proto-132-type-5", "protocol 132 (SCTP) of AF_INET, type 5 (SOCK_SEQPACKET)"},
		{"net-pf-10-proto-262-type-1", "protocol 262 (MPTCP) of AF_INET6, type 1 (SOCK_STREAM)"},
		{"net-pf-2-proto-0-type-9", "protocol 0 of AF_INET, type 9"},
		{"net-pf-24-proto-0", "protocol 0 (PPPoE) of AF_PPPOX"},
		{"net-pf-35-proto-1", "protocol 1 of address family 35 (AF_PHONET)"},
		{"net-pf-16-proto-12", "netlink protocol 12 (NETFILTER)"},
		{"net-pf-16-proto-16", "netlink protocol 16 (GENERIC)"},
		{"net-pf-16-proto-16-family-wireguard", "generic netlink family wireguard"},
		{"net-pf-16-proto-4-type-2-6", "socket diagnosis of address family 2 (AF_INET), protocol 6 (TCP)"},
		{"net-pf-16-proto-4-type-16", "socket diagnosis of address family 16 (AF_NETLINK)"},
		{"net-pf-16-proto--1-type-7", "netlink protocol -1, type 7"},
		{"bt-proto-3", "Bluetooth protocol 3 (RFCOMM)"},
		{"can-proto-1", "CAN protocol 1 (RAW)"},
		{"net-l2tp-type-5", "L2TP pseudowire type 5 (Ethernet)"},
		{"tcp-ulp-tls", "TCP upper layer protocol tls"},
		{"tcp_bbr", "TCP congestion control bbr"},
		{"netdev-eth0", "network interface eth0"},
		{"netdev-eth0:1", "network interface eth0:1"},
		{"rtnl-link-dummy", "network link type dummy"},
		{"rtnl-lwt-MPLS", "lightweight tunnel type MPLS"},
		{"sch_fq_codel", "queueing discipline fq_codel"},
		{"net-sch-cake", "queueing discipline cake"},
		{"net-cls-u32", "traffic classifier u32"},
		{"act_mirred", "traffic action mirred"},
		{"ematch-kind-3", "traffic classifier match 3 (u32)"},
		{"xfrm-type-10-50", "IPsec type of address family 10 (AF_INET6), protocol 50 (ESP)"},
		{"xfrm-offload-2-50", "IPsec offload of address family 2 (AF_INET), protocol 50 (ESP)"},
		{"vport-type-4", "Open vSwitch port type 4 (VXLAN)"},
		{"dsa_tag:ocelot", "DSA tag protocol ocelot"},
		{"ppp-compress-26", "PPP compression 26 (Deflate)"},
		{"nfnetlink-subsys-10", "netfilter netlink subsystem 10 (nftables)"},
		{"nfct-helper-ftp", "connection tracking helper ftp"},
		{"nf-logger-2-0", "netfilter logger 0 (log) of protocol family 2 (ipv4)"},
		{"nft-chain-2-nat", "nftables chain type nat of protocol family 2 (ipv4)"},
		{"nft-expr-10-fib", "nftables expression fib of protocol family 10 (ipv6)"},
		{"nft-expr-flow_offload", "nftables expression flow_offload"},
		{"nft-obj-1", "nftables object type 1 (counter)"},
		{"xt_LOG", "xtables match or target LOG"},
		{"ip6t_REJECT", "ip6tables match or target REJECT"},
		{"iptable_nat", "iptables table nat"},
		{"ip_set_hash:ip,port", "IP set type hash:ip,port"},
		{"ip_vs_rr", "IPVS scheduler rr"},
		{"ip_vs_pe_sip", "IPVS persistence engine sip"},
		{"crypto-cbc(aes)", "crypto algorithm cbc(aes)"},
		{"crypto-cbc(aes)-all", "crypto algorithm cbc(aes), all implementations"},
		{"crypto-x-all-all", "crypto algorithm x-all, all implementations"},
		{"crypto--all", "crypto algorithm -all"},
		{"algif-skcipher", "crypto socket type skcipher"},
		{"nfsv4", "NFS version 4"},
		{"nfs-layouttype4-4", "pNFS layout type 4 (flexible files)"},
		{"nls_iso8859-1", "character set iso8859-1"},
		{"quota_v2", "quota format version 2"},
		{"9p-virtio", "9P transport virtio"},
		{"rpc-auth-6", "RPC authentication 6 (gss)"},
		{"rpc-auth-gss-390003", "RPC security flavor 390003 (krb5)"},
		{"rpc-auth-gss-krb5i", "RPC security mechanism krb5i"},
		{"rpc-auth-gss-1.2.840.113554.1.2.2", "RPC security mechanism 1.2.840.113554.1.2.2"},
		{"binfmt-464c", "binary format 464c"},
		{"bfq-iosched", "I/O scheduler bfq"},
		{"mq-deadline-iosched", "I/O scheduler mq-deadline"},
		{"-iosched", "module -iosched"},
		{"block-major-8-16", "block device 8:16 (SCSI disk)"},
		{"block-major-7", "block devices of major number 7 (loop)"},
		{"block-major-250-0", "block device 250:0"},
		{"dm-crypt", "device-mapper target crypt"},
		{"dm-service-time", "device-mapper path selector service-time"},
		{"dm-log-userspace", "device-mapper log type userspace"},
		{"dm-log-writes", "device-mapper target log-writes"},
		{"dm-cache-smq", "device-mapper cache policy smq"},
		{"md-level-5", "RAID level 5"},
		{"md-level--4", "RAID level -4 (multipath)"},
		{"md-raid1", "RAID level raid1"},
		{"nvme-tcp", "NVMe transport tcp"},
		{"nvmet-transport-3", "NVMe target transport 3 (TCP)"},
		{"scsi_dh_alua", "SCSI device handler alua"},
		{"char-major-10-229", "character device 10:229 (fuse)"},
		{"char-major-10-1", "character device 10:1"},
		{"char-major-116-0", "character device 116:0 (ALSA sound)"},
		{"char-major-108", "character devices of major number 108 (PPP)"},
		{"devname:net/tun", "device file /dev/net/tun"},
		{"tty-ldisc-21", "line discipline 21 (GSM 07.10)"},
		{"snd-card-0", "sound card 0"},
		{"sound-slot-0", "sound card 0"},
		{"sound-service-0-3", "service 3 of sound card 0"},
		{"fb0", "frame buffer 0"},
		{"fbcon", "module fbcon"},
		{"rc-rc6-mce", "remote control keymap rc6-mce"},
		{"ir-nec-decoder", "infrared protocol nec"},
		{"cpufreq_ondemand", "CPU frequency governor ondemand"},
		{"usbfunc:mass_storage", "USB gadget function mass_storage"},
		{"w1-family-0x28", "1-Wire family 28"},
		{"rdma-netlink-subsys-4", "RDMA netlink subsystem 4 (local service)"},

		// Devices.
		{"pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00", "driver for PCI device 8086:10d3"},
		{"usb:v046DpC52Bd1211dc00dsc00dp00ic03isc01ip01in00", "driver for USB device 046d:c52b"},
		{"hid:b0003g0001v0000046Dp0000C52B", "driver for HID device 046d:c52b"},
		{"hdaudio:v10EC0887r00100302a01", "driver for HD-audio codec 10ec0887"},
		{"virtio:d00000001v00001AF4", "driver for virtio device 0001"},
		{"scsi:t-0x05", "driver for SCSI device type 05"},
		{"acpi:PNP0501:", "driver for ACPI device PNP0501"},
		{"acpi:PNP0501:PNP0500:", "driver for ACPI device PNP0501:PNP0500"},
		{"of:NserialT(null)Cns16550a", "driver for device-tree node serial"},
		{"of:NserialT(null)Cfoo,T", "driver for device-tree node serial"},
		{"cpu:type:x86,ven0000fam0006mod003C:feature:,0000", "driver for this type of processor"},
		{"dmi*:svnDell:", "driver for this model of machine"},
		{"i2c:tda18271", "driver for I2C device tda18271"},
		{"platform:xilinx_spi", "driver for platform device xilinx_spi"},
		{"mmc:block", "driver for MMC device block"},
		{"pci:v8086", "driver for PCI device v8086"},
		{"mdio:", ""},
		{"unheard:of", ""},

		// No numbers: what remains is a name.
		{"net-pf-", "module net-pf-"},
		{"net-pf-038", "module net-pf-038"},
		{"net-pf--0", "module net-pf--0"},
		{"net-pf-38x", "module net-pf-38x"},
		{"net-pf-+38", ""},
		{"net-pf-99999999999", "module net-pf-99999999999"},
		{"net-pf-2-proto-", "module net-pf-2-proto-"},
		{"char-major-…-…", ""},
		{"fs-…", "filesystem …"},
		{"fs-", "module fs-"},
		{"fs-{name}", "filesystem {name}"},
		{"fs-%s%n", "filesystem %s%n"},

		// No aliases.
		{"fs-xfs by root", ""},
		{"fs-\x1b[2J", ""},
		{"fs-a\nb", ""},
		{"fs-\xff", ""},
		{"fs-\u202e", ""},
		{"fs-\u00a0", ""},
		{"a/b", ""},
	} {
		if got := meaning(c.alias); got != c.want {
			t.Errorf("%q: %q, want %q", c.alias, got, c.want)
		}
	}
}

// TestAliasFamilies: the words of a family name no field that its form has not, each
// family is reached, and each table of numbers is used.
func TestAliasFamilies(t *testing.T) {
	used := map[string]bool{}
	for i, f := range aliasFamilies {
		fields := map[string]bool{}
		for _, name := range fieldsOf(f.form) {
			if fields[name] {
				t.Errorf("%s: {%s} twice", f.form, name)
			}
			fields[name], used[name] = true, true
		}
		for _, name := range fieldsOf(f.words) {
			if !fields[strings.TrimRight(name, "#?")] {
				t.Errorf("%s: no {%s}", f.form, name)
			}
		}
		example := f.form
		for name := range fields {
			value := "abc"
			if _, ok := aliasNumbers[name]; ok {
				value = "3"
			} else if strings.HasPrefix(name, "x") || strings.HasPrefix(name, "y") {
				value = "12345678"[:max(1, len(name)*4-4)]
				if strings.HasSuffix(name, "8") {
					value = "12345678"
				}
			}
			example = strings.ReplaceAll(example, "{"+name+"}", value)
		}
		for j, g := range aliasFamilies {
			if _, ok := g.match(example); ok {
				if j != i {
					t.Errorf("%s: %s is taken for %s", f.form, example, g.form)
				}
				break
			} else if j == i {
				t.Errorf("%s: %s does not fit", f.form, example)
			}
		}
	}
	for name := range aliasNumbers {
		if !used[name] {
			t.Errorf("{%s} is in no family", name)
		}
	}
}

func fieldsOf(s string) (fields []string) {
	for _, part := range strings.Split(s, "{")[1:] {
		name, _, _ := strings.Cut(part, "}")
		fields = append(fields, name)
	}
	return fields
}

// FuzzMeaning: any text has words that can be shown, or none.
func FuzzMeaning(f *testing.F) {
	for _, family := range aliasFamilies {
		f.Add(family.form)
	}
	f.Add("net-pf-16-proto--1-type-7")
	f.Add("pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00")
	f.Fuzz(func(t *testing.T, alias string) {
		got := meaning(alias)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q: %q", alias, got)
		}
		if got != "" && len(got) > len(alias)+150 {
			t.Errorf("%q: %d bytes", alias, len(got))
		}
	})
}
