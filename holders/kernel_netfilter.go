package holders

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/kmodtrace/kmodtrace/internal/wire"
	"golang.org/x/sys/unix"
)

// Messages and attributes of nf_tables (linux/netfilter/nf_tables.h).
const (
	nftables    = unix.NFNL_SUBSYS_NFTABLES << 8
	nfgenmsg    = 4
	ruleTable   = unix.NFTA_RULE_TABLE
	ruleChain   = unix.NFTA_RULE_CHAIN
	ruleHandle  = unix.NFTA_RULE_HANDLE
	expressions = unix.NFTA_RULE_EXPRESSIONS
)

// nftables are the rules that use the module: an expression of its own, or by nft_compat a match or
// target of iptables; and the chains of its type.
func (s *textSources) nftables() ([]User, error) {
	// To ask where nf_tables is not loaded would load it.
	if _, err := os.Stat("/sys/module/nf_tables"); err != nil || s.root != "/" || !s.maybeNetfilter() {
		return nil, nil
	}
	rules := make(map[string]*User) // by chain and what it is: there may be very many
	var users []*User
	for m, err := range dump(unix.NETLINK_NETFILTER, nftables|unix.NFT_MSG_GETRULE, make([]byte, nfgenmsg)) {
		if err != nil {
			return nil, fmt.Errorf("list rules of nftables: %w", err)
		}
		if len(m) < nfgenmsg {
			continue
		}
		for list, nested := range attributes(attribute(m[nfgenmsg:], expressions)) {
			if list != unix.NFTA_LIST_ELEM {
				continue
			}
			name := s.expression(m[0], nested)
			if name == "" {
				continue
			}
			on := nftFamily(m[0]) + " " + textOf(m, ruleTable) + " " + textOf(m, ruleChain)
			key := on + " " + name
			if u := rules[key]; u != nil {
				u.Count++
				u.LetGo = "" // one alone does not
				continue
			}
			u := &User{Kind: NftablesRule, Holds: true, Name: wire.Printable(name), On: wire.Printable(on), Count: 1}
			if handle := attribute(m[nfgenmsg:], ruleHandle); len(handle) == 8 {
				u.LetGo = fmt.Sprintf("nft delete rule %s %s %s handle %d", nftFamily(m[0]), shellWord(textOf(m, ruleTable)), shellWord(textOf(m, ruleChain)), binary.BigEndian.Uint64(handle))
			}
			rules[key] = u
			users = append(users, u)
		}
	}
	chains, err := s.chains()
	all := make([]User, 0, len(users)+len(chains))
	for _, u := range users {
		all = append(all, *u)
	}
	return append(all, chains...), err
}

// maybeNetfilter spares the lists of rules, which may be long, where the module has no part in them.
func (s *textSources) maybeNetfilter() bool {
	for _, prefix := range []string{"nft_", "xt_", "ipt_", "ip6t_", "ebt_", "arpt_"} {
		if strings.HasPrefix(s.module, prefix) {
			return true
		}
	}
	s.serves("") // reads them
	for alias := range s.aliases {
		if strings.HasPrefix(alias, "nft_") || strings.HasPrefix(alias, "ipt_") || strings.HasPrefix(alias, "ip6t_") {
			return true
		}
	}
	return false
}

func textOf(m []byte, number uint16) string {
	return string(wire.UntilNUL(attribute(m[nfgenmsg:], number)))
}

// expression gives the name of an expression of a rule if it is the module's; empty otherwise.
func (s *textSources) expression(family byte, data []byte) string {
	name := string(wire.UntilNUL(attribute(data, unix.NFTA_EXPR_NAME)))
	if name == "" {
		return ""
	}
	if name == "match" || name == "target" { // of iptables
		inner := string(wire.UntilNUL(attribute(attribute(data, unix.NFTA_EXPR_DATA), unix.NFTA_MATCH_NAME)))
		switch {
		case s.module == "nft_compat", s.isXtables(inner):
			return name + " " + inner
		}
		return ""
	}
	if s.serves("nft-expr-"+name) || s.serves("nft-expr-"+strconv.Itoa(int(family))+"-"+name) || len(s.aliases) == 0 && s.is("nft_"+name) {
		return name
	}
	return ""
}

// isXtables: a match or target of iptables, which the kernel asks for by a prefix of its family.
func (s *textSources) isXtables(name string) bool {
	return name != "" && slices.ContainsFunc([]string{"xt_", "ipt_", "ip6t_", "ebt_", "arpt_"}, func(prefix string) bool {
		return s.is(prefix+name) || s.serves(prefix+name)
	})
}

// chains are those of the module's type: nat is nft_chain_nat's.
func (s *textSources) chains() (users []User, err error) {
	if !strings.HasPrefix(s.module, "nft_chain") {
		return nil, nil
	}
	for m, err := range dump(unix.NETLINK_NETFILTER, nftables|unix.NFT_MSG_GETCHAIN, make([]byte, nfgenmsg)) {
		if err != nil {
			return users, fmt.Errorf("list chains of nftables: %w", err)
		}
		if len(m) < nfgenmsg {
			continue
		}
		name := textOf(m, unix.NFTA_CHAIN_TYPE)
		if name == "" || !s.serves("nft-chain-"+strconv.Itoa(int(m[0]))+"-"+name) {
			continue
		}
		family, table, chain := nftFamily(m[0]), textOf(m, unix.NFTA_CHAIN_TABLE), textOf(m, unix.NFTA_CHAIN_NAME)
		users = append(users, User{
			Kind: NftablesChain, Holds: true, Name: wire.Printable(name), On: wire.Printable(family + " " + table + " " + chain),
			LetGo: "nft delete chain " + family + " " + shellWord(table) + " " + shellWord(chain),
		})
	}
	return users, nil
}

// nftFamily is the name of a family as nft has it.
func nftFamily(family byte) string {
	names := map[byte]string{unix.NFPROTO_INET: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_ARP: "arp", unix.NFPROTO_NETDEV: "netdev", unix.NFPROTO_BRIDGE: "bridge", unix.NFPROTO_IPV6: "ip6"}
	if name := names[family]; name != "" {
		return name
	}
	return fmt.Sprintf("family %d", family)
}

// xtables is how the rules of iptables, or of ip6tables, are asked for: the older interface, whose
// rules nftables does not list (linux/netfilter_ipv4/ip_tables.h and ip6_tables.h).
type xtables struct {
	command, names string
	family, level  int
	hooks          []string
	// Of struct ipt_entry: where the offsets of its target and of the next entry are, and its size.
	offsets, size int
}

const (
	xtGetInfo    = 64
	xtGetEntries = 65
	xtHeader     = 40 // struct ipt_get_entries before the entries
	xtMatch      = 32 // struct xt_entry_match and xt_entry_target before their data
	xtMost       = 256 << 20
)

func xtablesFamilies() []xtables {
	hooks := []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
	return []xtables{
		{"iptables-legacy", "ip_tables_names", unix.AF_INET, unix.IPPROTO_IP, hooks, 88, 112},
		{"ip6tables-legacy", "ip6_tables_names", unix.AF_INET6, unix.IPPROTO_IPV6, hooks, 140, 168},
	}
}

// iptables are the rules of the older interface that use the module as a match or target.
func (s *textSources) iptables() ([]User, error) {
	if s.root != "/" || !s.maybeNetfilter() {
		return nil, nil
	}
	var users []User
	var errs []error
	for _, x := range xtablesFamilies() {
		// Only tables that are there already: to ask for another would load it.
		err := s.lines(func(table string) {
			found, err := s.xtablesRules(&x, table)
			users = append(users, found...)
			errs = append(errs, err)
		}, filepath.Join("proc/thread-self/net", x.names))
		if !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return users, errors.Join(errs...)
}

// xtInfo is struct ipt_getinfo.
type xtInfo struct {
	Name       [32]byte
	ValidHooks uint32
	HookEntry  [5]uint32
	Underflow  [5]uint32
	Entries    uint32
	Size       uint32
}

func (s *textSources) xtablesRules(x *xtables, table string) ([]User, error) {
	fd, err := unix.Socket(x.family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	for try := 0; ; try++ {
		var info xtInfo
		copy(info.Name[:len(info.Name)-1], table)
		head := unsafe.Slice((*byte)(unsafe.Pointer(&info)), unsafe.Sizeof(info))
		if err := getOption(fd, x.level, xtGetInfo, head); err != nil {
			return nil, fmt.Errorf("read table %s of %s: %w", wire.Printable(table), x.command, err)
		}
		if info.Size > xtMost {
			return nil, fmt.Errorf("read table %s of %s: %w", wire.Printable(table), x.command, errMoreListed)
		}
		buffer := make([]byte, xtHeader+info.Size)
		copy(buffer[:31], table)
		binary.NativeEndian.PutUint32(buffer[32:], info.Size)
		switch err := getOption(fd, x.level, xtGetEntries, buffer); {
		case errors.Is(err, unix.EAGAIN) && try < 10: // the table was changed meanwhile
			continue
		case err != nil:
			return nil, fmt.Errorf("read table %s of %s: %w", wire.Printable(table), x.command, err)
		}
		return s.xtablesUsers(x, table, &info, buffer[xtHeader:]), nil
	}
}

func getOption(fd, level, option int, value []byte) error {
	size := uint32(len(value))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option), uintptr(unsafe.Pointer(&value[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// xtablesUsers walks the entries of a table. A chain of the user's begins with an entry whose target
// is called ERROR and has the chain's name; the rules of a chain are numbered from one.
func (s *textSources) xtablesUsers(x *xtables, table string, info *xtInfo, entries []byte) []User {
	var users []User
	found := make(map[string]int)
	chain, number := "", 0
	for at := 0; at+x.size <= len(entries); {
		target := int(binary.NativeEndian.Uint16(entries[at+x.offsets:]))
		next := int(binary.NativeEndian.Uint16(entries[at+x.offsets+2:]))
		if target < x.size || next < target+xtMatch || at+next > len(entries) {
			break
		}
		entry := entries[at : at+next]
		for hook, name := range x.hooks {
			if info.ValidHooks&(1<<hook) != 0 && info.HookEntry[hook] == uint32(at) {
				chain, number = name, 0
			}
		}
		at += next
		if xtName(entry[target:]) == "ERROR" {
			chain, number = string(wire.UntilNUL(entry[target+xtMatch:])), 0
			continue
		}
		number++
		for _, what := range s.xtablesNames(entry, x.size, target) {
			on := table + " " + chain
			if i, known := found[on+" "+what]; known {
				users[i].Count++
				users[i].LetGo = "" // one alone does not
				continue
			}
			found[on+" "+what] = len(users)
			users = append(users, User{
				Kind: IPTablesRule, Holds: true, Name: wire.Printable(what), On: wire.Printable(on), Count: 1,
				LetGo: x.command + " -t " + shellWord(table) + " -D " + shellWord(chain) + " " + strconv.Itoa(number),
			})
		}
	}
	return users
}

// xtablesNames gives the matches and the target of an entry that are the module's.
func (s *textSources) xtablesNames(entry []byte, size, target int) (names []string) {
	for at := size; at+xtMatch <= target; {
		if name := xtName(entry[at:]); s.isXtables(name) {
			names = append(names, "match "+name)
		}
		length := int(binary.NativeEndian.Uint16(entry[at:]))
		if length < xtMatch {
			break
		}
		at += length
	}
	if name := xtName(entry[target:]); s.isXtables(name) {
		names = append(names, "target "+name)
	}
	return names
}

// xtName is the name in struct xt_entry_match and xt_entry_target.
func xtName(data []byte) string { return string(wire.UntilNUL(data[2 : xtMatch-1])) }
