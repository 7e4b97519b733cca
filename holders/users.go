// Package holders finds out who holds a module, so that it cannot be unloaded: [Find] looks for what
// uses it now, as open files, mounts and sockets, and a [Refs] watches who takes and drops references,
// by process and by the place in the kernel. Neither tells who took a reference that nothing exposes.
//
//	refs, err := holders.OpenRefs("loop")
//	if err != nil {
//		return err
//	}
//	defer refs.Close()
//	for report, err := range refs.Watch(ctx, 0) { … }
package holders

import (
	"errors"
	"time"
)

//go:generate go tool stringer -type=Kind -linecomment -output=kind_string.go

// Kind says in what way something uses a module.
type Kind uint8

// The kinds of users.
const (
	OpenFile           Kind = iota + 1 // open file
	OpenBlockDevice                    // block device
	OpenSocket                         // socket
	FileOnMount                        // file on an unmounted file system
	Mounted                            // mount
	LoopDevice                         // loop device
	Protocol                           // protocol
	CryptoAlgorithm                    // crypto algorithm
	NetworkDevice                      // network device
	HolderModule                       // module
	IOScheduler                        // I/O scheduler
	Swap                               // swap
	MapperTarget                       // device-mapper target
	CongestionControl                  // default congestion control
	QueueingDiscipline                 // queueing discipline
	TrafficFilter                      // traffic control filter
	TrafficAction                      // traffic control action
	NftablesRule                       // nftables rule
	NftablesChain                      // nftables chain
	IPTablesRule                       // iptables rule
	IPVSService                        // IPVS service
	BPFProgram                         // BPF program
	Console                            // console
)

// MarshalText gives the name that [UserKind.String] gives.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// User is something that uses a module, as far as the kernel shows it. Which fields
// are set depends on the kind.
type User struct {
	Kind Kind `json:"kind"`
	// Holds says that it keeps the module from being unloaded, by at least one
	// reference. What does not hold it goes when the module goes: a network device.
	Holds bool `json:"holds"`
	// PID is the process that has the file open, in the first pid namespace, and
	// TID its thread, where that has files of its own; of a mount, a process that
	// sees it.
	PID   uint32        `json:"pid,omitempty"`
	TID   uint32        `json:"tid,omitempty"`
	Start time.Duration `json:"start_boottime_ns,string,omitempty"` // since boot
	Comm  string        `json:"comm,omitempty"`
	// FD is the open file's number.
	FD *int `json:"fd,omitempty"`
	// Path is that of the file, or where it is mounted. Of an open file it is
	// looked up after the kernel was asked; Gone says that it was then gone, or
	// another.
	Path string `json:"path,omitempty"`
	Gone bool   `json:"gone,omitempty"`
	// Device is a device's major and minor number: of the device that is open, or
	// that is mounted.
	Device string `json:"device,omitempty"`
	// Name is that of the network device, protocol, algorithm or module.
	Name string `json:"name,omitempty"`
	// On is what it is set on: a disk, a network device, a table and chain.
	On string `json:"on,omitempty"`
	// Network is the network namespace that it is in, where that is another than ours: its
	// file, to be entered by (nsenter --net=FILE).
	Network string `json:"network_namespace,omitempty"`
	// LetGo is a command that lets go of the module, where one alone does.
	LetGo string `json:"let_go,omitempty"`
	// Count is how many: sockets of a protocol, users of an algorithm, rules.
	Count int `json:"count,omitempty"`
	// Detail is what else there is to know, for people.
	Detail string `json:"detail,omitempty"`
}

// Options change how [Find] looks. The zero value, and nil, are the
// default.
type Options struct {
	// Root is the directory that holds proc, sys and lib; empty for /. With any other
	// the running kernel's open files are not asked for.
	Root string
	// FileSystemModule gives the module of a type of file system, or nothing; nil
	// for a look into modules.alias.
	FileSystemModule func(fsType string) string
	// Most bounds the open files that are kept; zero means 4,096.
	Most int
}

// What [Find] could not ask.
var (
	// ErrOpenFiles: nothing is known about open files.
	ErrOpenFiles = errors.New("open files not asked for")
	// ErrNamespace: only the processes of this pid namespace were asked.
	ErrNamespace = errors.New("open files of processes outside this pid namespace not asked for")
	// ErrMoreUsers: there are more open files than were asked for.
	ErrMoreUsers = errors.New("more open files than are kept")
)

// Find looks for what uses a module now: open files, block devices and
// sockets, mounts, other modules, and what the kernel lists as text. It needs the
// privilege of [tracer.Open]; without it, or on a kernel without iterators, the result is
// what text tells, and the error says what could not be asked.
//
// An empty result without an error means that no user is exposed, not that there
// is none: code inside the kernel holds references that nothing shows, and files
// that are only mapped, or on their way through a socket, are in no table of open
// files. [OpenRefs] shows who takes and drops references.
func Find(module string, opts *Options) ([]User, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Root == "" {
		o.Root = "/"
	}
	if o.Most == 0 {
		o.Most = 4096
	}
	if err := checkModuleName(module); err != nil {
		return nil, err
	}
	var opened []openedFile
	err := error(ErrOpenFiles)
	if o.Root == "/" {
		opened, err = findOpened(module, o.Most)
	}
	s := textSources{root: o.Root, module: module, resolve: o.FileSystemModule}
	listed, textErr := s.all()
	return joinUsers(opened, listed), errors.Join(err, textErr)
}

// joinUsers leaves out what would be said twice: files that lie in a file system
// which is mounted, and the count of a protocol whose sockets are listed.
func joinUsers(opened []openedFile, listed []User) []User {
	mounted := make(map[string]bool)
	for _, u := range listed {
		if u.Kind == Mounted {
			mounted[u.Device] = true
		}
	}
	users := []User{}
	sockets := 0
	for _, f := range opened {
		if f.Kind == FileOnMount && mounted[f.onDevice] {
			continue
		}
		if f.Kind == OpenSocket {
			sockets++
		}
		users = append(users, f.User)
	}
	for _, u := range listed {
		if u.Kind == Protocol && u.Count <= sockets {
			continue
		}
		users = append(users, u)
	}
	return users
}
