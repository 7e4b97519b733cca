package tracer

import (
	"fmt"
	"iter"
	"strconv"
	"time"
)

// Actor is who did something, as the kernel knew it at that moment: nothing of it
// was looked up later, so that it is the same for a process that is gone.
type Actor struct {
	Process
	// Args is the head of its command line, as its memory had it: a program can
	// rewrite that. ArgsCut says that there was more.
	Args    []string `json:"args,omitempty"`
	ArgsCut bool     `json:"args_cut,omitempty"`
	// WorkingDirectory is its thread's. It is nil for who asks for a module, and in what earlier
	// releases recorded.
	WorkingDirectory *Directory `json:"working_directory,omitempty"`
	// Capabilities are its thread's effective ones.
	Capabilities Capabilities `json:"capabilities"`
	// Ancestors are its parent, the parent of that, and so on, up to the first
	// process or the thread that makes kernel threads. AncestorsCut says that there
	// were more than are kept: 32 at most, and none for what one user without the
	// capability asks for beyond four requests a second.
	Ancestors    []Process `json:"ancestors,omitempty"`
	AncestorsCut bool      `json:"ancestors_cut,omitempty"`
	// StartedBy is who had the kernel make this kernel thread (kthread_create), as it was at
	// that moment, without its arguments. Nil for other processes, for the worker of a
	// workqueue, which does what anybody has queued, and where nobody saw it: the thread is
	// older than the tracer, or too many were made since.
	StartedBy *Actor `json:"started_by,omitempty"`
}

// Behind is the process that a kernel thread works for, as far as that is known: who had it
// made, or who had that thread made in turn. Of any other actor, and where no such process
// is known, it is the actor itself.
func (a *Actor) Behind() *Actor {
	if a == nil {
		return nil
	}
	for by := range a.Creators() {
		if !by.KernelThread {
			return by
		}
	}
	return a
}

// Creators yields who had a kernel thread made, who had that one's thread made, and so on.
func (a *Actor) Creators() iter.Seq[*Actor] {
	return func(yield func(*Actor) bool) {
		for ; a != nil && a.StartedBy != nil; a = a.StartedBy {
			if !yield(a.StartedBy) {
				return
			}
		}
	}
}

// Thread is the actor as a thread. Which of its threads it was is not known, nor its group.
func (a *Actor) Thread() Thread {
	return Thread{PID: a.PID, Start: a.Start, UID: a.UID, Comm: a.Comm, CgroupID: a.Cgroup.ID}
}

// alone is the actor without its ancestors.
func (a *Actor) alone() *Actor {
	if a == nil || len(a.Ancestors) == 0 && a.StartedBy == nil {
		return a
	}
	only := *a
	if len(a.Ancestors) > 0 {
		only.Ancestors, only.AncestorsCut = nil, true
	}
	only.StartedBy = a.StartedBy.alone()
	return &only
}

// Process is a process as the kernel knew it at the moment of an action. Numbers
// are those of the first namespaces, whatever container it is in.
type Process struct {
	PID uint32 `json:"pid"`
	// Start is when it began, since boot: with PID it names the process even after
	// the number is used again.
	Start time.Duration `json:"start_boottime_ns,string"`
	Comm  string        `json:"comm"`
	// Execs counts the programs that it was before, and those that its ancestors were.
	Execs uint32 `json:"execs"`
	// Exe is the file of its program, as a path in the mount namespace in which
	// that was started; nil for a kernel thread.
	Exe          *File `json:"exe,omitempty"`
	KernelThread bool  `json:"kernel_thread,omitempty"`
	// Worker says that it is the thread of a workqueue: it does what others have queued, and
	// the kernel does not keep who.
	Worker bool `json:"workqueue_worker,omitempty"`

	// UID and EUID are its user and the one whose rights it uses. User and
	// EffectiveUser are their names here, where this machine knows them.
	UID           uint32 `json:"uid"`
	User          string `json:"user,omitempty"`
	EUID          uint32 `json:"euid"`
	EffectiveUser string `json:"effective_user,omitempty"`
	// LoginUID is who logged in, which sudo and su leave as it is; nil for what no
	// login began, and where the kernel does not audit.
	LoginUID  *uint32 `json:"loginuid,omitempty"`
	LoginUser string  `json:"login_user,omitempty"`
	// LoginDoubtful says that the login uid does not fit the line of processes: by all
	// that is known of them, no login has set it, but a process that had none, which takes
	// no right at all. Set of actors and their ancestors.
	LoginDoubtful bool `json:"loginuid_doubtful,omitempty"`
	// Session is the number of that login; nil as LoginUID is.
	Session *uint32 `json:"session,omitempty"`
	// Terminal is the terminal that controls it, "pts/0".
	Terminal string `json:"terminal,omitempty"`
	// Incomplete says that the event that describes the process was lost or dropped: its
	// program, terminal, control group and pid namespace are not known.
	Incomplete bool `json:"incomplete,omitempty"`

	Cgroup     Cgroup     `json:"cgroup"`
	Namespaces Namespaces `json:"namespaces"`
}

// identity tells a process from others, and from what it was before: one that
// execs, or changes its user or its namespaces, has another.
type identity struct {
	pid      uint32
	start    time.Duration
	execs    uint32
	uid      uint32
	euid     uint32
	loginUID uint32
	session  uint32
	cgroup   uint64
	mount    uint32
	user     uint32
}

// noID stands for no login (AUDIT_UID_UNSET, AUDIT_SID_UNSET).
const noID = 1<<32 - 1

func (p *Process) identity() identity {
	id := identity{
		pid: p.PID, start: p.Start, execs: p.Execs, uid: p.UID, euid: p.EUID, loginUID: noID, session: noID,
		cgroup: p.Cgroup.ID, mount: p.Namespaces.Mount.ID, user: p.Namespaces.User.ID,
	}
	if p.LoginUID != nil {
		id.loginUID = *p.LoginUID
	}
	if p.Session != nil {
		id.session = *p.Session
	}
	return id
}

// ActorDetails is the payload of an event actor: what is known of the thread that makes an
// attempt or a request, beside its process. Events ancestor follow it.
type ActorDetails struct {
	// Of is the attempt's or the request's [Action.ID].
	Of           ID           `json:"of"`
	Capabilities Capabilities `json:"capabilities"`
	Args         []string     `json:"args,omitempty"`
	ArgsCut      bool         `json:"args_cut,omitempty"`
	// Generation is 0 for the actor, 1 for who had the actor's kernel thread made, 2 for who
	// had that one's made, and so on.
	Generation int `json:"generation,omitempty"`
}

// Ancestor is the payload of an event ancestor: the process of an actor (Index 0), its parent
// (Index 1), and so on.
type Ancestor struct {
	// Of is the attempt's or the request's [Action.ID].
	Of    ID  `json:"of"`
	Index int `json:"index"`
	// Generation says whose line it is, as that of [ActorDetails].
	Generation int `json:"generation,omitempty"`
	// ForRequest is the [Action.ID] of the request whose helper this process is: the kernel
	// started it.
	ForRequest ID `json:"for_request,omitempty"`
	// AncestorsCut says that none of its ancestors follow: see [Actor].
	AncestorsCut bool `json:"ancestors_cut,omitempty"`
	// Process lacks the fields that the event process has: Exe, Terminal, the path of its
	// Cgroup, and most of Namespaces. That event comes before the end of the first action in
	// which the process has a part. It is repeated only when the process execs, or changes its
	// user or namespaces.
	Process Process `json:"process"`
}

// maxProcesses is how many processes of an actor the kernel side reports (ANCESTRY).
const maxProcesses = 32

// Namespaces are those that a process is in.
type Namespaces struct {
	PID   Namespace `json:"pid"`
	Mount Namespace `json:"mount"`
	User  Namespace `json:"user"`
}

// Namespace is one namespace.
type Namespace struct {
	ID uint32 `json:"id"` // as in /proc/PID/ns
	// Initial says that it is the machine's first of its kind.
	Initial bool `json:"initial"`
}

// Contained tells a process that is not in the machine's first namespaces, as far as they
// are known.
func (n Namespaces) Contained() bool {
	return n.PID.ID != 0 && !n.PID.Initial || !n.Mount.Initial || !n.User.Initial
}

// Requester is who needed a module, as against the helper that the kernel started
// to load it.
type Requester struct {
	// ID is that of the request's own action.
	ID ID `json:"id"`
	// Request is what was asked for.
	Request Request `json:"request"`
	Thread  Thread  `json:"thread"`
	Actor   *Actor  `json:"actor,omitempty"`
	// Requester is who needed the module whose load then asked for this one.
	Requester *Requester `json:"requester,omitempty"`
}

// Capabilities is a set of capabilities, a bit for each (capabilities(7)). In JSON
// it is a string of hexadecimal digits, as in /proc/PID/status.
type Capabilities uint64

// CapSysModule is what it takes to load and unload modules.
const CapSysModule = 16

// Has tells whether a capability is in the set.
func (c Capabilities) Has(capability int) bool { return c>>capability&1 != 0 }

func (c Capabilities) String() string { return fmt.Sprintf("%016x", uint64(c)) }

// MarshalText gives what [Capabilities.String] gives.
func (c Capabilities) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what [Capabilities.String] gives.
func (c *Capabilities) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 64)
	*c = Capabilities(n)
	return err
}
