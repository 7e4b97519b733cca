package tracer

import (
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

//go:generate go tool stringer -type=Kind,Call,Stage,Door -linecomment -output=event_string.go

// Kind says which hook an [Event] comes from.
type Kind uint16

// The kinds of events, in the order in which a load produces them.
const (
	KindEnter         = Kind(bpfKindKIND_ENTER)          // enter
	KindLeave         = Kind(bpfKindKIND_LEAVE)          // leave
	KindFile          = Kind(bpfKindKIND_FILE)           // file
	KindImage         = Kind(bpfKindKIND_IMAGE)          // image
	KindDenied        = Kind(bpfKindKIND_DENIED)         // denied
	KindLookup        = Kind(bpfKindKIND_LOOKUP)         // lookup
	KindStage         = Kind(bpfKindKIND_STAGE)          // stage
	KindParams        = Kind(bpfKindKIND_PARAMS)         // parse_args
	KindModuleLoad    = Kind(bpfKindKIND_MODULE_LOAD)    // module_load
	KindInit          = Kind(bpfKindKIND_INIT)           // do_init_module
	KindInitcall      = Kind(bpfKindKIND_INITCALL)       // do_one_initcall_return
	KindInitReturn    = Kind(bpfKindKIND_INIT_RETURN)    // do_init_module_return
	KindFree          = Kind(bpfKindKIND_FREE)           // free_module
	KindModuleFree    = Kind(bpfKindKIND_MODULE_FREE)    // module_free
	KindRequest       = Kind(bpfKindKIND_REQUEST)        // module_request
	KindRequestFormat = Kind(bpfKindKIND_REQUEST_FORMAT) // request_refused
	KindRequestReturn = Kind(bpfKindKIND_REQUEST_RETURN) // module_request_return
	KindMessage       = Kind(bpfKindKIND_MESSAGE)        // message
	KindDied          = Kind(bpfKindKIND_DIED)           // died
	KindActor         = Kind(bpfKindKIND_ACTOR)          // actor
	KindAncestor      = Kind(bpfKindKIND_ANCESTOR)       // ancestor
	KindProcess       = Kind(bpfKindKIND_PROCESS)        // process
	KindCallback      = Kind(bpfKindKIND_CALLBACK)       // callback
	KindHelper        = Kind(bpfKindKIND_HELPER)         // helper
	KindDirectory     = Kind(bpfKindKIND_DIRECTORY)      // directory
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

// Door is where a security module is asked about the bytes of a module.
type Door uint32

// The doors, by the kernel's names for them.
const (
	ReadFile     = Door(bpfDoorDOOR_READ_FILE)      // kernel_read_file
	PostReadFile = Door(bpfDoorDOOR_POST_READ_FILE) // kernel_post_read_file
	LoadData     = Door(bpfDoorDOOR_LOAD_DATA)      // kernel_load_data
	PostLoadData = Door(bpfDoorDOOR_POST_LOAD_DATA) // kernel_post_load_data
)

// MarshalText gives the name that [Kind.String] gives.
func (k Kind) MarshalText() ([]byte, error)  { return []byte(k.String()), nil }
func (c Call) MarshalText() ([]byte, error)  { return []byte(c.String()), nil }
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
func (d Door) MarshalText() ([]byte, error)  { return []byte(d.String()), nil }

// UnmarshalText reads the name that [Kind.String] gives.
func (k *Kind) UnmarshalText(text []byte) error  { return parseName(k, text, KindEnter, KindDirectory) }
func (c *Call) UnmarshalText(text []byte) error  { return parseName(c, text, InitModule, DeleteModule) }
func (s *Stage) UnmarshalText(text []byte) error { return parseName(s, text, StageRead, StageInit) }
func (d *Door) UnmarshalText(text []byte) error  { return parseName(d, text, ReadFile, PostLoadData) }

// parseName finds the value of that name among those from first to last.
func parseName[T interface {
	~uint8 | ~uint16 | ~uint32
	String() string
}](v *T, text []byte, first, last T) error {
	for c := first; c <= last; c++ {
		if c.String() == string(text) {
			*v = c
			return nil
		}
	}
	return fmt.Errorf("no %T is called %.80q", first, text)
}

// Event is one thing that the kernel did, as one hook saw it. It states facts
// and no outcome: see [Action] for what they amount to. Of the payloads, only
// the one of its Kind is set.
type Event struct {
	Kind Kind `json:"event"`
	// Time is the kernel's time of the event since boot (CLOCK_BOOTTIME).
	Time time.Duration `json:"boottime_ns,string"`
	// Attempt names the system call that the thread is inside, by the time at
	// which it entered; zero outside one, or where the entry was not seen.
	Attempt ID `json:"attempt,omitempty"`
	// Thread is the one that did it. All events of an attempt share it.
	Thread Thread `json:"thread"`
	CPU    uint32 `json:"cpu"`
	// Lost counts the events that this CPU could not deliver before this one.
	Lost uint64 `json:"lost"`

	Enter     *Enter        `json:"enter,omitempty"`     // enter
	Return    *Return       `json:"return,omitempty"`    // leave, *_return, died
	File      *File         `json:"file,omitempty"`      // file
	Image     *Image        `json:"image,omitempty"`     // image
	Denial    *Denial       `json:"denial,omitempty"`    // denied
	Lookup    *Lookup       `json:"lookup,omitempty"`    // lookup
	Step      *Step         `json:"stage,omitempty"`     // stage
	Params    *Params       `json:"params,omitempty"`    // parse_args
	Module    *Module       `json:"module,omitempty"`    // module_load, do_init_module, free_module, module_free
	Request   *Request      `json:"request,omitempty"`   // module_request, request_refused
	Message   *Message      `json:"message,omitempty"`   // message
	Callback  *Callback     `json:"callback,omitempty"`  // callback
	Actor     *ActorDetails `json:"actor,omitempty"`     // actor
	Helper    *Helper       `json:"helper,omitempty"`    // helper
	Ancestor  *Ancestor     `json:"ancestor,omitempty"`  // ancestor
	Process   *Process      `json:"process,omitempty"`   // process
	Directory *Directory    `json:"directory,omitempty"` // directory

	// Unprivileged says of a process that it was told for the sake of a thread without
	// CAP_SYS_MODULE in the first user namespace.
	Unprivileged bool `json:"unprivileged,omitempty"`
}

// Thread is who did something, as the kernel knew it at that moment. IDs are
// those of the initial namespaces, whatever container the thread is in.
type Thread struct {
	TID uint32 `json:"tid"`
	PID uint32 `json:"pid"`
	// Start is when its process began, since boot: with PID it names the
	// process even after the number is used again.
	Start    time.Duration `json:"start_boottime_ns,string"`
	UID      uint32        `json:"uid"`
	GID      uint32        `json:"gid"`
	Comm     string        `json:"comm"`
	CgroupID uint64        `json:"cgroup_id,string"`
}

// Enter is a system call as its caller made it. Every field is the caller's
// word: another thread can change the memory behind Text, and the file behind
// FD, before the kernel reads them.
type Enter struct {
	Call Call `json:"call"`
	// Compat tells a call that came in by the 32-bit table.
	Compat bool `json:"compat"`
	// Capable tells whether the caller had CAP_SYS_MODULE in the first user
	// namespace, which is what the kernel asks for first.
	Capable bool   `json:"capable"`
	Flags   uint32 `json:"flags"`
	FD      int32  `json:"fd"`          // finit_module; -1 otherwise
	Size    uint64 `json:"size,string"` // init_module: bytes of the image
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
	Inode  uint64 `json:"inode,string"`
	Size   uint64 `json:"size"` // bytes
	// FSMagic is the file system's magic number (statfs(2)).
	FSMagic uint64 `json:"fs_magic"`
	// Mode is its type and permissions (inode(7)), UID and GID its owners.
	Mode uint32 `json:"mode,omitempty"`
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
	// ChangeTimeNS is its change time in nanoseconds since 1970; zero for unknown.
	ChangeTimeNS int64 `json:"change_time_ns,string,omitempty"`
	// Memfd tells a file that only ever lived in memory.
	Memfd bool `json:"memfd,omitempty"`
	// Deleted tells a file whose name is gone.
	Deleted bool `json:"deleted,omitempty"`
	// Claimed says that this is what the caller's descriptor meant when it
	// called. Otherwise it is the very file that the kernel used.
	Claimed bool `json:"claimed,omitempty"`
}

// Format is a kind of file that may be taken for a module.
type Format string

// The formats.
const (
	FormatELF     Format = "elf"
	FormatGzip    Format = "gzip"
	FormatXz      Format = "xz"
	FormatZstd    Format = "zstd"
	FormatUnknown Format = "unknown"
)

// Compressed tells whether it is a compressed file.
func (f Format) Compressed() bool { return f == FormatGzip || f == FormatXz || f == FormatZstd }

// Image is what the kernel's load_module was given: its own copy of the bytes,
// decompressed where the kernel does that, with the signature. Whatever the
// caller or a file says, this is what was judged.
type Image struct {
	Size uint64 `json:"size"` // bytes
	// Format is told by the first bytes.
	Format Format `json:"format"`
	// Of an ELF file: 32 or 64 bits, the kind (1 is relocatable, as a module must
	// be) and the machine (see elf(5)).
	Bits    uint8  `json:"bits,omitempty"`
	Type    uint16 `json:"type,omitempty"`
	Machine uint16 `json:"machine,omitempty"`
	// Signed says that it ends with the mark of a signature, of SignatureSize
	// bytes as the signature's own trailer has it: nothing about its worth.
	Signed        bool   `json:"signed"`
	SignatureSize uint32 `json:"signature_size,omitempty"`
}

// Denial is a security module's refusal of the bytes of a module.
type Denial struct {
	Door  Door       `json:"door"`
	Errno unix.Errno `json:"errno"`
}

// Lookup is the kernel's search for a module by name, when a load or unload makes
// it: under the lock under which it decides.
type Lookup struct {
	Name  string `json:"name"`
	Found bool   `json:"found"`
	State State  `json:"state"` // of the module found
	// The rest is for an unload, of the module found. Refs is nil where the kernel
	// does not count (no CONFIG_MODULE_UNLOAD).
	HasInit bool   `json:"has_init,omitempty"`
	HasExit bool   `json:"has_exit,omitempty"`
	Refs    *int32 `json:"refs,omitempty"`
	// Holders are loaded modules that depend on it, the first eight.
	Holders    []string `json:"holders,omitempty"`
	HoldersCut bool     `json:"holders_cut,omitempty"`
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
	// InitAddress is where that memory begins; zero where there is none, and in recordings of
	// earlier releases.
	InitAddress Address `json:"init_address,omitempty"`
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
	// Denied says that a security module refused it. No helper was started then.
	Denied bool `json:"denied,omitempty"`
	// Refused says that it came to no helper, for another reason than Denied: its
	// name is put together here of what request_module was given.
	Refused bool `json:"refused,omitempty"`
	// Unprivileged says that the thread had no CAP_SYS_MODULE in the first user namespace.
	Unprivileged bool `json:"unprivileged,omitempty"`
	// Site is the kernel address that asked. Symbol names the function that was there at that
	// moment: "get_fs_type+0xe4", and of a module "settle+0x1e [taker]". Kernels before 5.13 tell
	// only the module: "[taker]+0x1e", or "[taker].init+0x1e" in what goes after its init. Empty
	// where it is not certain.
	Site   Address `json:"site"`
	Symbol string  `json:"symbol,omitempty"`
	// Meaning says in words what was asked for: "filesystem xfs".
	Meaning string `json:"meaning,omitempty"`
	// Helper is the program that the kernel started for it, where that is not /sbin/modprobe: what
	// kernel.modprobe named at that moment.
	Helper string `json:"helper,omitempty"`
}

// Helper is the program that the kernel starts for a request, where that is not /sbin/modprobe.
type Helper struct {
	Path string `json:"path"`
}

// Address is a kernel address. In JSON it is a string of hexadecimal digits:
// most readers of JSON round numbers of this size.
type Address uint64

func (a Address) String() string { return fmt.Sprintf("0x%016x", uint64(a)) }

// MarshalText gives what [Address.String] gives.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what [Address.String] gives.
func (a *Address) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 0, 64)
	*a = Address(n)
	return err
}

// Message is a kernel message that a thread inside a load or unload printed.
type Message struct {
	Text string `json:"text"`
	Cut  bool   `json:"cut,omitempty"`
	// Level is how severe the kernel's log has it; missing where that was not seen.
	Level Level `json:"level,omitzero"`
	// Record is where the kernel's log keeps it: a later message of the same
	// record has grown, and replaces this one. Zero where not known.
	Record uint64 `json:"record,string,omitempty"`
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

// UnmarshalText reads the name that [State.String] gives.
func (s *State) UnmarshalText(text []byte) error {
	return parseName(s, text, StateLive, StateUnformed+1)
}

// ERESTARTSYS is the kernel's own errno for a system call that a signal broke off
// and that may be made again (include/linux/errno.h). Programs never see it; a hook
// does.
const ERESTARTSYS = unix.Errno(512)

// ErrnoName gives the name of an errno, "ENOENT", or its number.
func ErrnoName(e unix.Errno) string {
	if e == ERESTARTSYS {
		return "ERESTARTSYS"
	}
	if name := unix.ErrnoName(e); name != "" {
		return name
	}
	return "errno " + strconv.Itoa(int(e))
}
