package holders

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/internal/wire"
	"golang.org/x/sys/unix"
)

// maxNetworks bounds the network namespaces that are looked into.
const maxNetworks = 1024

// ErrMoreNetworks: there are more network namespaces than were looked into.
var ErrMoreNetworks = errors.New("more network namespaces than are looked into")

// network is one network namespace.
type network struct {
	file string // that opens it; empty for this process's own
	id   string // net:[4026531840]
}

// networks are the users in all network namespaces that have a process or a file.
func (s *textSources) networks() ([]User, error) {
	if s.root != "/" {
		return s.inNetwork(network{})
	}
	all, err := s.networkNamespaces()
	var users []User
	errs := []error{err}
	inThread(func() {
		for i, n := range all {
			if i > 0 { // the first is where the thread is
				if err := n.enter(); err != nil {
					if !errors.Is(err, fs.ErrNotExist) { // its process has ended
						errs = append(errs, fmt.Errorf("network namespace %s: %w", n.file, err))
					}
					continue
				}
			}
			found, err := s.inNetwork(n)
			if err != nil && n.file != "" {
				err = fmt.Errorf("network namespace %s: %w", n.file, err)
			}
			errs = append(errs, err)
			for i := range found {
				if found[i].Network = n.file; n.file != "" && found[i].LetGo != "" {
					found[i].LetGo = "nsenter --net=" + shellWord(n.file) + " " + found[i].LetGo
				}
			}
			users = append(users, found...)
		}
	})
	return users, errors.Join(errs...)
}

// inThread runs do in a thread of its own, which ends then: it may change its namespace. It is
// never the first, whose namespaces are taken for those of the process.
func inThread(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with it
		if unix.Gettid() == os.Getpid() {
			defer runtime.UnlockOSThread() // the first does not end
			inThread(do)
			return
		}
		do()
	}()
	<-done
}

// networkNamespaces lists this process's own first, then those of other processes, then those
// that only a file keeps, as ip netns makes them.
func (s *textSources) networkNamespaces() ([]network, error) {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return []network{{}}, fmt.Errorf("network namespaces: %w", err)
	}
	all := []network{{id: own}}
	seen := map[string]bool{own: true}
	add := func(file, id string) {
		if id != "" && !seen[id] {
			seen[id] = true
			all = append(all, network{file: file, id: id})
		}
	}
	// A file outlives processes, and has a name that people know.
	_ = s.lines(func(line string) {
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if len(fields) > 4 && strings.HasPrefix(after, "nsfs ") && strings.HasPrefix(fields[3], "net:[") {
			add(unescapeMount(fields[4]), fields[3])
		}
	}, "proc/self/mountinfo")
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			file := filepath.Join("/proc", e.Name(), "ns/net")
			id, _ := os.Readlink(file) // of one that has ended, or of a stranger
			add(file, id)
		}
	}
	if len(all) > maxNetworks {
		return all[:maxNetworks], fmt.Errorf("%w: %d of %d", ErrMoreNetworks, maxNetworks, len(all))
	}
	return all, nil
}

// enter moves the calling thread there. That the file still is that namespace the inode tells.
func (n network) enter() error {
	f, err := os.Open(n.file)
	if err != nil {
		return err
	}
	defer f.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return err
	}
	if n.id != fmt.Sprintf("net:[%d]", stat.Ino) {
		return fs.ErrNotExist
	}
	return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
}

// inNetwork asks in the namespace in which the calling thread is.
func (s *textSources) inNetwork(network) ([]User, error) {
	var users []User
	var errs []error
	for _, source := range []func() ([]User, error){
		s.congestionControl, s.defaultDiscipline, s.disciplines, s.actions, s.ipvs, s.nftables, s.iptables,
	} {
		found, err := source()
		users = append(users, found...)
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return users, errors.Join(errs...)
}

// congestionControl is what new TCP sockets get. The kernel asks for tcp_NAME.
func (s *textSources) congestionControl() ([]User, error) {
	const sysctl = "proc/sys/net/ipv4/tcp_"
	name := procfs.FirstLine(s.path(sysctl + "congestion_control"))
	if name == "" || !s.is("tcp_"+name) && !s.serves("tcp_"+name) {
		return nil, nil
	}
	other := "reno" // which is in every kernel
	for _, available := range strings.Fields(procfs.FirstLine(s.path(sysctl + "available_congestion_control"))) {
		if available == "cubic" && name != available {
			other = available
		}
	}
	return []User{{
		Kind: CongestionControl, Holds: true, Name: wire.Printable(name), LetGo: "sysctl -w net.ipv4.tcp_congestion_control=" + other,
	}}, nil
}

// defaultDiscipline is what new network devices get. Only the first network namespace has it.
func (s *textSources) defaultDiscipline() ([]User, error) {
	name := procfs.FirstLine(s.path("proc/sys/net/core/default_qdisc"))
	if name == "" || !s.isDiscipline(name) {
		return nil, nil
	}
	return []User{{
		Kind: QueueingDiscipline, Holds: true, Name: wire.Printable(name), On: "new network devices", LetGo: "sysctl -w net.core.default_qdisc=pfifo_fast",
	}}, nil
}

// isDiscipline: the kernel asks for sch_NAME, from 6.8 on for net-sch-NAME.
func (s *textSources) isDiscipline(name string) bool {
	return s.is("sch_"+name) || s.serves("sch_"+name) || s.serves("net-sch-"+name)
}

// ipvs are the services of IP virtual servers. Each holds ip_vs, and its scheduler's module:
//
//	TCP  0A000001:0050 rr
//	FWM  00000001 wlc
func (s *textSources) ipvs() ([]User, error) {
	var users []User
	err := s.lines(func(line string) {
		fields := strings.Fields(line)
		if len(fields) < 3 || strings.HasPrefix(line, " ") {
			return
		}
		flag := map[string]string{"TCP": "-t", "UDP": "-u", "SCTP": "--sctp-service", "FWM": "-f"}[fields[0]]
		scheduler := strings.TrimPrefix(fields[2], "[")
		if flag == "" || s.module != "ip_vs" && !s.is("ip_vs_"+scheduler) {
			return
		}
		address := ipvsAddress(fields[1])
		u := User{Kind: IPVSService, Holds: true, Name: wire.Printable(scheduler), On: fields[0] + " " + wire.Printable(address)}
		if address != "" {
			u.LetGo = "ipvsadm -D " + flag + " " + address
		}
		users = append(users, u)
	}, "proc/thread-self/net/ip_vs")
	return users, err
}

// ipvsAddress writes an address as ipvsadm takes it; one of IPv6 stands there as such.
func ipvsAddress(text string) string {
	host, port, found := strings.Cut(text, ":")
	if strings.HasPrefix(text, "[") {
		i := strings.LastIndex(text, "]:")
		if i < 0 {
			return ""
		}
		host, port, found = text[:i+1], text[i+2:], true
	}
	if n, err := strconv.ParseUint(host, 16, 32); err == nil {
		if !found {
			return strconv.FormatUint(n, 10) // a mark of the firewall
		}
		host = fmt.Sprintf("%d.%d.%d.%d", n>>24, n>>16&0xff, n>>8&0xff, n&0xff)
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return ""
	}
	return host + ":" + strconv.FormatUint(n, 10)
}
