package tracer

import (
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

//go:generate go tool stringer -type=Kind,Call,Stage -linecomment -output=event_string.go

// Kind says which hook an [Event] comes from.
type Kind uint16

// The kinds of events, in the order in which a load produces them.
const (
	KindEnter         = Kind(bpfKindKIND_ENTER)          // enter
	KindLeave         = Kind(bpfKindKIND_LEAVE)          // leave
	KindFile          = Kind(bpfKindKIND_FILE)           // file
	KindStage         = Kind(bpfKindKIND_STAGE)          // stage
	KindParams        = Kind(bpfKindKIND_PARAMS)         // parse_args
	KindModuleLoad    = Kind(bpfKindKIND_MODULE_LOAD)    // module_load
	KindInit          = Kind(bpfKindKIND_INIT)           // do_init_module
	KindInitcall      = Kind(bpfKindKIND_INITCALL)       // do_one_initcall_return
	KindInitReturn    = Kind(bpfKindKIND_INIT_RETURN)    // do_init_module_return
	KindFree          = Kind(bpfKindKIND_FREE)           // free_module
	KindModuleFree    = Kind(bpfKindKIND_MODULE_FREE)    // module_free
	KindRequest       = Kind(bpfKindKIND_REQUEST)        // module_request
	KindRequestReturn = Kind(bpfKindKIND_REQUEST_RETURN) // module_request_return
	KindMessage       = Kind(bpfKindKIND_MESSAGE)        // message
	KindDied          = Kind(bpfKindKIND_DIED)           // died
)

// Call is the system call of an attempt.
type Call uint32

// The three system calls that load and unload modules.
const (
	InitModule   = Call(bpfCallCALL_INIT_MODULE)   // init_module
	FinitModule  = Call(bpfCallCALL_FINIT_MODULE)  // finit_module
	DeleteModule = Call(bpfCallCALL_DELETE_MODULE) // delete_module
)

// Stage is a step of a load.
type Stage uint32

// The stages, in kernel order. Verify covers the signature, the ELF headers and
// everything else between the file's bytes and the first symbol.
const (
	StageRead     = Stage(bpfStageSTAGE_READ)     // read
	StageVerify   = Stage(bpfStageSTAGE_VERIFY)   // verify
	StageResolve  = Stage(bpfStageSTAGE_RESOLVE)  // resolve
	StageRelocate = Stage(bpfStageSTAGE_RELOCATE) // relocate
	StageFinalize = Stage(bpfStageSTAGE_FINALIZE) // finalize
	StageParams   = Stage(bpfStageSTAGE_PARAMS)   // params
	StageSysfs    = Stage(bpfStageSTAGE_SYSFS)    // sysfs
	StageInit     = Stage(bpfStageSTAGE_INIT)     // init
)

// MarshalText gives the name that [Kind.String] gives.
func (k Kind) MarshalText() ([]byte, error)  { return []byte(k.String()), nil }
func (c Call) MarshalText() ([]byte, error)  { return []byte(c.String()), nil }
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Event is one thing that the kernel did, as one hook saw it. It states facts
// and no outcome: see [Action] for what they amount to. Of the payloads, only
// the one of its Kind is set.
type Event struct {
	Kind Kind `json:"event"`
	// Time is the kernel's time of the event since boot (CLOCK_BOOTTIME).
	Time time.Duration `json:"boottime_ns"`
	// Attempt names the system call that the thread is inside, by the time at
	// which it entered; zero outside one, or where the entry was not seen.
	Attempt uint64 `json:"attempt,omitempty"`
	// Thread is the one that did it. All events of an attempt share it.
	Thread Thread `json:"thread"`
	CPU    uint32 `json:"cpu"`
	// Lost counts the events that this CPU could not deliver before this one.
	Lost uint64 `json:"lost"`

	Enter   *Enter   `json:"enter,omitempty"`   // enter
	Return  *Return  `json:"return,omitempty"`  // leave, *_return, died
	File    *File    `json:"file,omitempty"`    // file
	Step    *Step    `json:"stage,omitempty"`   // stage
	Params  *Params  `json:"params,omitempty"`  // parse_args
	Module  *Module  `json:"module,omitempty"`  // module_load, do_init_module, free_module, module_free
	Request *Request `json:"request,omitempty"` // module_request
	Message *Message `json:"message,omitempty"` // message
}

// Thread is who did something, as the kernel knew it at that moment. IDs are
// those of the initial namespaces, whatever container the thread is in.
type Thread struct {
	TID uint32 `json:"tid"`
	PID uint32 `json:"pid"`
	// Start is when its process began, since boot: with PID it names the
	// process even after the number is used again.
	Start    time.Duration `json:"start_boottime_ns"`
	UID      uint32        `json:"uid"`
	GID      uint32        `json:"gid"`
	Comm     string        `json:"comm"`
	CgroupID uint64        `json:"cgroup_id"`
}

// Enter is a system call as its caller made it. Every field is the caller's
// word: another thread can change the memory behind Text, and the file behind
// FD, before the kernel reads them.
type Enter struct {
	Call Call `json:"call"`
	// Compat tells a call that came in by the 32-bit table.
	Compat bool   `json:"compat"`
	Flags  uint32 `json:"flags"`
	FD     int32  `json:"fd"`   // finit_module; -1 otherwise
	Size   uint64 `json:"size"` // init_module: bytes of the image
	// Text is the parameter string, or for delete_module the module's name.
	Text string `json:"text"`
	// TextCut says that the text was longer than what was kept of it.
	TextCut bool `json:"text_cut,omitempty"`
	// TextUnreadable says that the memory was not resident, or not the caller's.
	TextUnreadable bool `json:"text_unreadable,omitempty"`
}

// Return is what a function returned.
type Return struct {
	// Value is 0 or -errno for a system call and an init (whose positive
	// results the kernel takes for success, with a warning); for
	// module_request_return the wait status of the helper, or -errno; for died
	// the signal number.
	Value int64 `json:"value"`
	// Call, Lost and Symbols close an attempt (leave, died): its system call,
	// its events that were not delivered, and the symbols that the kernel
	// looked up for it.
	Call    Call   `json:"call,omitempty"`
	Lost    uint32 `json:"lost_in_attempt,omitempty"`
	Symbols uint32 `json:"symbols,omitempty"`
}

// File identifies the file of a load.
type File struct {
	// Path is from the root of the mount namespace that the file was opened in.
	Path string `json:"path"`
	// PathCut says that only the last names of the path were kept.
	PathCut bool `json:"path_cut,omitempty"`
	// Device is of the superblock: for an overlay the overlay's own.
	Device Device `json:"device"`
	Inode  uint64 `json:"inode"`
	Size   uint64 `json:"size"` // bytes
	// FSMagic is the file system's magic number (statfs(2)).
	FSMagic uint64 `json:"fs_magic"`
	// Memfd tells a file that only ever lived in memory.
	Memfd bool `json:"memfd,omitempty"`
	// Deleted tells a file whose name is gone.
	Deleted bool `json:"deleted,omitempty"`
	// Claimed says that this is what the caller's descriptor meant when it
	// called. Otherwise it is the very file that the kernel used.
	Claimed bool `json:"claimed,omitempty"`
}

// Device is a device number.
type Device struct {
	Major uint32 `json:"major"`
	Minor uint32 `json:"minor"`
}

// Step is the beginning of a stage.
type Step struct {
	Stage   Stage  `json:"stage"`
	Symbols uint32 `json:"symbols,omitempty"` // looked up so far
}

// Params is what the kernel's parse_args received.
type Params struct {
	Module string `json:"module"`
	Text   string `json:"text"`
	Cut    bool   `json:"cut,omitempty"`
}

// Module is a module as the kernel's structure had it at the moment of the event.
type Module struct {
	Name       string `json:"name"`
	State      State  `json:"state"`
	Taints     Taints `json:"taints"`
	Version    string `json:"version,omitempty"`
	SrcVersion string `json:"srcversion,omitempty"`
	// Signed says that the kernel found a valid signature; nil where the kernel
	// keeps no such record (no CONFIG_MODULE_SIG).
	Signed  *bool   `json:"signed,omitempty"`
	Address Address `json:"address"`
	// Size counts the bytes that stay; InitSize those that are freed after the init.
	Size     uint32 `json:"size"`
	InitSize uint32 `json:"init_size"`
	// ID is the kernel's pointer to the structure: the same for the same module,
	// for as long as it is there.
	ID Address `json:"id"`
}

// Request is the kernel's wish for a module.
type Request struct {
	// Name is the module or alias asked for, "rtnl-link-dummy".
	Name string `json:"name"`
	// Wait says that the requester waits for the helper.
	Wait bool `json:"wait"`
	// Site is the kernel address that asked.
	Site Address `json:"site"`
}

// Address is a kernel address. In JSON it is a string of hexadecimal digits:
// most readers of JSON round numbers of this size.
type Address uint64

func (a Address) String() string { return fmt.Sprintf("0x%016x", uint64(a)) }

// MarshalText gives what [Address.String] gives.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Message is a kernel message that a thread inside a load or unload printed.
type Message struct {
	Text string `json:"text"`
	Cut  bool   `json:"cut,omitempty"`
	// Record is where the kernel's log keeps it: a later message of the same
	// record has grown, and replaces this one. Zero where not known.
	Record uint64 `json:"record,omitempty"`
}

// State is a module's state.
type State uint32

// The states (enum module_state, unchanged from 5.10 to 7.3).
const (
	StateLive State = iota
	StateComing
	StateGoing
	StateUnformed
)

func (s State) String() string {
	names := [...]string{"live", "coming", "going", "unformed"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// MarshalText gives the name that [State.String] gives.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ErrnoName gives the name of an errno, "ENOENT", or its number.
func ErrnoName(e unix.Errno) string {
	if name := unix.ErrnoName(e); name != "" {
		return name
	}
	return "errno " + strconv.Itoa(int(e))
}
