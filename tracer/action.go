package tracer

import (
	"iter"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

//go:generate go tool stringer -type=ActionKind,Outcome,NameSource -linecomment -output=action_string.go

// ActionKind says what an [Action] attempts.
type ActionKind uint8

// The kinds of actions.
const (
	Load     ActionKind = iota + 1 // load
	Unload                         // unload
	Autoload                       // request
)

// Outcome is what became of an [Action].
type Outcome uint8

// The outcomes. Live and Unloaded are the kernel's answer to the system call,
// never a single event on the way: a module is reported to tracepoints before
// its init runs, and freed after an init that failed too.
const (
	// Pending: not finished when the tracing ended, or its end was lost.
	Pending Outcome = iota // pending
	// Live: the module is in the kernel, its init done.
	Live // live
	// Unloaded: the module is gone.
	Unloaded // unloaded
	// Failed: refused, or its thread died in it (see [Action.Crashed]).
	Failed // failed
	// Answered: the helper that the kernel started for a request exited with
	// status 0. Whether a module came of it, only that load's own action says.
	Answered // answered
)

// NameSource says how an action's module name is known.
type NameSource uint8

// The sources of a name, best first.
const (
	NameUnknown NameSource = iota // unknown
	NameKernel                    // kernel
	NameFile                      // file
	NameClaimed                   // claimed
)

// MarshalText gives the name that [ActionKind.String] gives.
func (k ActionKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
func (o Outcome) MarshalText() ([]byte, error)    { return []byte(o.String()), nil }
func (n NameSource) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads the name that [ActionKind.String] gives.
func (k *ActionKind) UnmarshalText(text []byte) error { return parseName(k, text, Load, Autoload) }
func (o *Outcome) UnmarshalText(text []byte) error    { return parseName(o, text, Pending, Answered) }
func (n *NameSource) UnmarshalText(text []byte) error {
	return parseName(n, text, NameUnknown, NameClaimed)
}

// ID names an attempt, and the action that comes of it: the time, in nanoseconds since boot, at
// which its thread entered the system call. In JSON it is a string, because most readers of
// JSON round numbers of this size.
type ID uint64

func (id ID) String() string { return strconv.FormatUint(uint64(id), 10) }

// MarshalText gives what [ID.String] gives.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what [ID.String] gives.
func (id *ID) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 64)
	*id = ID(n)
	return err
}

// Action is one attempt to load, unload or request a module, from its first
// event to its last.
type Action struct {
	// ID is the attempt's.
	ID   ID         `json:"id"`
	Kind ActionKind `json:"action"`
	// Module is the name. NameFrom tells whether the kernel said it, or it was
	// taken from the file's name or from the caller because the attempt died
	// before the kernel knew it.
	Module   string     `json:"module"`
	NameFrom NameSource `json:"module_from"`
	Outcome  Outcome    `json:"outcome"`
	// Errno is the kernel's refusal; zero if there was none. ErrnoName spells it.
	Errno     unix.Errno `json:"errno,omitempty"`
	ErrnoName string     `json:"errno_name,omitempty"`
	// Crashed says that the thread was killed for a fault inside the attempt.
	Crashed bool `json:"crashed,omitempty"`
	// Stage is the last that a load entered.
	Stage Stage `json:"stage,omitempty"`

	// Start and End are the kernel's times since boot; Time is Start on the wall
	// clock, set by [Tracer.Actions].
	Time  time.Time     `json:"time,omitzero"`
	Start time.Duration `json:"start_boottime_ns,string"`
	End   time.Duration `json:"end_boottime_ns,string,omitempty"`
	Took  time.Duration `json:"took_ns,omitempty"`

	Thread Thread `json:"thread"`
	// Actor is the process that did it, and its ancestors; nil where that event was
	// lost, or came before the tracing.
	Actor *Actor `json:"actor,omitempty"`
	// ForRequest is the ID of the request for whose sake it was made: by the helper
	// that the kernel started, or below that. Requester is who made that request; nil
	// where it is not known any more.
	ForRequest ID         `json:"for_request,omitempty"`
	Requester  *Requester `json:"requester,omitempty"`
	// AwaitedBy are others who waited for a load to give them the module too.
	AwaitedBy []Requester `json:"awaited_by,omitempty"`
	lineage   lineage
	// Call is the system call as made; nil for requests, and where its entry
	// was not seen.
	Call *Enter `json:"call,omitempty"`
	// File is the kernel's own file, or the claimed one if it got no further.
	File *File `json:"file,omitempty"`
	// Image is what kind of bytes the kernel got to judge.
	Image *Image `json:"image,omitempty"`
	// Denial is a security module's refusal of these bytes.
	Denial *Denial `json:"denial,omitempty"`
	// Callbacks are those on the chain of module notifiers of which one refused the module.
	Callbacks []Callback `json:"callbacks,omitempty"`
	// Lookup is the kernel's search for a module of that name, the first that found
	// one: that to unload, or one in the way of the load.
	Lookup *Lookup `json:"lookup,omitempty"`
	// Params is the parameter string that the kernel parsed. Until then only
	// Call.Text has the caller's.
	Params *Params `json:"params,omitempty"`
	// Details are of the last event that showed the module.
	Details *Module     `json:"details,omitempty"`
	Stages  []StageTime `json:"stages,omitempty"`
	// Symbols counts those that the kernel looked up.
	Symbols uint32 `json:"symbols,omitempty"`
	// InitResult is what the module's own init returned; nil if it did not
	// return, or was not seen to.
	InitResult *int64 `json:"init_result,omitempty"`
	// Messages are what the thread printed meanwhile: the kernel's reasons and
	// the module's own words.
	Messages []string `json:"messages,omitempty"`
	// MessageTimes are when each of them was printed, counted from the action's start.
	MessageTimes []time.Duration `json:"messages_after_ns,omitempty"`
	// MessageLevels are how severe the kernel's log has each of them; missing where that
	// is known of none.
	MessageLevels   []Level `json:"message_levels,omitempty"`
	MessagesDropped int     `json:"messages_dropped,omitempty"`
	lastRecord      uint64  // of the last of Messages, which may still grow
	messageBytes    int
	size            int // in bytes, about, while it is under way

	// SharedWith is the attempt whose load gave this one its result: from 6.5
	// the kernel runs concurrent loads of one file once.
	SharedWith ID `json:"shared_with,omitempty"`
	// Rival is another load of a module of that name which was under way when this
	// one began, where that is why this one failed.
	Rival ID `json:"rival,omitempty"`
	// FirstTry is an attempt with the compressed file, which the kernel refused,
	// and which the same thread made again with what is in it: one wish of its
	// user, and this is its outcome.
	FirstTry *FirstTry `json:"first_try,omitempty"`
	// Loads are the loads that the helper of a request made, as far as they ended
	// before it.
	Loads []ID `json:"loads,omitempty"`
	// Request is what the kernel asked for; HelperStatus the wait status of the
	// helper, once it is known.
	Request      *Request `json:"request,omitempty"`
	HelperStatus *int64   `json:"helper_status,omitempty"`

	// Seen lists the kinds of events that the action is built from, in order.
	Seen []Kind `json:"seen"`
	// Partial says that it began before the tracing did.
	Partial bool `json:"partial,omitempty"`
	// Lost counts its events that are known to be missing. An action whose end
	// is missing has EndLost set. Its Outcome is what the kernel was seen to reach
	// before: an init that returned, a module that was freed; else Pending.
	Lost    uint32 `json:"lost,omitempty"`
	EndLost bool   `json:"end_lost,omitempty"`
	// Ongoing is what it was doing when it was looked at while it was under way; nil for what
	// has ended.
	Ongoing *Ongoing `json:"ongoing,omitempty"`
	// Preliminary says that it is given before its end, because that does not come soon. It is
	// given again, with the same ID, when it has ended or the tracing ends.
	Preliminary bool `json:"preliminary,omitempty"`

	// For when its end is missing: see conclude.
	lastReturn *initReturn
	freed      time.Duration // when the module's memory went

	latest  time.Duration // of its events
	noticed bool          // it was given before its end
}

// MessageLevel is how severe the kernel's log has one of the messages.
func (a *Action) MessageLevel(i int) Level {
	if i >= len(a.MessageLevels) {
		return LevelUnknown
	}
	return a.MessageLevels[i]
}

// StageTime is one stage of a load.
type StageTime struct {
	Stage Stage `json:"stage"`
	// After is when it began, counted from the action's start.
	After time.Duration `json:"after_ns"`
	Took  time.Duration `json:"took_ns"`
}

// FirstTry is an attempt that was made again.
type FirstTry struct {
	ID        ID            `json:"id"`
	Format    Format        `json:"format"` // how the file was compressed
	Errno     unix.Errno    `json:"errno"`
	ErrnoName string        `json:"errno_name"`
	Took      time.Duration `json:"took_ns"`
}

// Requesters yields all for whose sake it was done: who asked for it, and for whose sake
// that one did; then the same of those who waited for it too.
func (a *Action) Requesters() iter.Seq[*Requester] {
	return func(yield func(*Requester) bool) {
		chains := []*Requester{a.Requester}
		for i := range a.AwaitedBy {
			chains = append(chains, &a.AwaitedBy[i])
		}
		for _, r := range chains {
			for ; r != nil; r = r.Requester {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// Saw tells whether the action has an event of one of the kinds.
func (a *Action) Saw(kinds ...Kind) bool {
	return slices.ContainsFunc(kinds, func(k Kind) bool { return slices.Contains(a.Seen, k) })
}

// Proven tells whether the events on the way agree with the outcome, beyond the
// system call's own result: an init that returned, for a live module; a free,
// for an unloaded one.
func (a *Action) Proven() bool {
	switch a.Outcome {
	case Live:
		return a.SharedWith != 0 || a.Saw(KindInit, KindModuleLoad) && a.Saw(KindInitReturn)
	case Unloaded:
		return a.Saw(KindFree, KindModuleFree)
	case Answered:
		return a.Saw(KindRequestReturn)
	case Failed:
		return a.Saw(KindLeave, KindDied, KindRequestReturn)
	default:
		return false
	}
}
