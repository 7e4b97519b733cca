package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// ErrBusy: modprobe was not asked, because too many others want to ask it.
var ErrBusy = errors.New("too many requests wait for modprobe")

// answers remembers what modprobe said, and what its configuration says, for as long as
// the index of the modules, the configuration and modprobe itself are the same files.
// Anybody can have the kernel ask for a module, as often as they like, and for each
// somebody wants to know what it was.
type answers struct {
	flights singleflight.Group
	running chan struct{} // one for each modprobe that has not ended

	mu       sync.Mutex
	looked   time.Time
	of       state
	known    map[string]answer
	lines    []fileLine
	read     bool // lines is of that state
	complete *bool
	limits   map[bool]*rate.Limiter // of the trusted, and of all others
	refused  uint64

	holds   time.Duration // for which a look at the files does
	settles time.Duration // in which a file may change again unnoticed
	within  time.Duration // for one question, after which modprobe is killed
}

type answer struct {
	names []string
	err   error // ErrNotFound
}

// The bounds.
const (
	maxAnswers  = 4096    // that are remembered
	maxAnswer   = 1 << 10 // bytes of one, the question included
	maxRuns     = 8       // of modprobe at a time, those that cannot be killed included
	runsASecond = 20      // of new questions
)

// state is a hash of what the files are that answers come from.
type state struct {
	sum     uint64
	settled bool // none of them was written just now
}

func newAnswers() *answers {
	return &answers{
		running: make(chan struct{}, maxRuns), known: make(map[string]answer), holds: 10 * time.Millisecond, settles: time.Second, within: 4 * time.Second,
		limits: map[bool]*rate.Limiter{
			false: rate.NewLimiter(runsASecond, runsASecond), true: rate.NewLimiter(runsASecond, runsASecond),
		},
	}
}

// trusted marks contexts.
type trusted struct{}

// Trusted marks a context as that of a question which was not caused by an unprivileged
// user: those who are cannot use up its share of modprobe's runs.
func Trusted(ctx context.Context) context.Context { return context.WithValue(ctx, trusted{}, true) }

// Modules gives the modules that a name or an alias stands for, whatever the
// configuration forbids, as the system's modprobe knows them. It errs with
// [kmod.ErrNotFound] for one that nothing stands for, and with [ErrBusy] where modprobe
// has been asked too often.
//
// An answer is remembered until the index of modules, modprobe's configuration or
// modprobe itself changes.
func (k *Kernel) Modules(ctx context.Context, alias string) ([]string, error) {
	names, err := k.modulesOf(ctx, alias)
	if err != nil {
		return nil, k.fail("modules of", alias, err)
	}
	return slices.Clone(names), nil
}

func (k *Kernel) modulesOf(ctx context.Context, alias string) ([]string, error) {
	now := k.stateNow()
	if known, ok := k.answers.find(now, alias); ok {
		return known.names, known.err
	}
	result := k.answers.flights.DoChan(fmt.Sprint(now.sum, " ", alias), func() (any, error) {
		return k.askModprobe(ctx, now, alias)
	})
	select {
	case r := <-result:
		names, _ := r.Val.([]string)
		return names, r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// askModprobe runs it. Others may wait for the same answer: that the first who asked gave up
// does not end it. It has the time that the first has, where that is more than the usual: on a machine
// that is emulated or busy, modprobe takes seconds.
func (k *Kernel) askModprobe(ctx context.Context, now state, alias string) ([]string, error) {
	if err := kmod.CheckLookup(alias); err != nil {
		return nil, err
	}
	if err := k.answers.admit(ctx); err != nil {
		return nil, err
	}
	defer func() { <-k.answers.running }()
	within := k.answers.within
	if end, ok := ctx.Deadline(); ok {
		within = max(within, time.Until(end))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	opts := &kmod.ResolveOptions{Modprobe: k.modprobe, Complete: k.namesBlacklisted(ctx, now)}
	if k.root != "/" {
		opts.Root = k.root
	}
	if !k.running || k.root != "/" {
		opts.Release = k.release
	}
	names, err := kmod.Resolve(ctx, alias, opts)
	if err == nil || errors.Is(err, kmod.ErrNotFound) {
		k.answers.keep(now, alias, answer{names, err})
	}
	return names, err
}

// namesBlacklisted asks modprobe for its version, once.
func (k *Kernel) namesBlacklisted(ctx context.Context, now state) bool {
	a := k.answers
	a.mu.Lock()
	known := a.complete
	a.mu.Unlock()
	if known != nil {
		return *known
	}
	complete := kmod.NamesBlacklisted(ctx, k.modprobe)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == now && ctx.Err() == nil {
		a.complete = &complete
	}
	return complete
}

// admit takes a run, where there is one left.
func (a *answers) admit(ctx context.Context) error {
	mark, _ := ctx.Value(trusted{}).(bool)
	if a.limits[mark].Allow() {
		select {
		case a.running <- struct{}{}:
			return nil
		default:
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused++
	return ErrBusy
}

// Refused counts the questions that ended with [ErrBusy].
func (k *Kernel) Refused() uint64 {
	k.answers.mu.Lock()
	defer k.answers.mu.Unlock()
	return k.answers.refused
}

func (a *answers) find(now state, alias string) (answer, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of != now {
		return answer{}, false
	}
	known, ok := a.known[alias]
	return known, ok
}

// keep remembers an answer of files that had settled before it was asked for.
func (a *answers) keep(now state, alias string, to answer) {
	size := len(alias)
	for _, name := range to.names {
		size += len(name)
	}
	if to.err != nil {
		size += len(to.err.Error())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of != now || !now.settled || size > maxAnswer {
		return
	}
	if len(a.known) >= maxAnswers {
		clear(a.known)
	}
	a.known[alias] = to
}

// stateNow looks at the files, at most once in some milliseconds: what was changed before a
// request was made must count for it. What is remembered of another state
// is forgotten.
func (k *Kernel) stateNow() state {
	a := k.answers
	a.mu.Lock()
	of, looked := a.of, a.looked
	a.mu.Unlock()
	if of.settled && time.Since(looked) < a.holds {
		return of
	}
	looked = time.Now()
	now := k.look() // without the lock: the files' disk may not answer
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.looked = looked; a.of != now {
		a.of, a.lines, a.read, a.complete = now, nil, false, nil
		clear(a.known)
	}
	return now
}

// look hashes what identifies the files that modprobe reads, and modprobe.
func (k *Kernel) look() state {
	var hash maphash.Hash
	hash.SetSeed(k.seed)
	s := state{settled: true}
	var number [8]byte
	add := func(path string) {
		var st unix.Stat_t
		err := unix.Stat(path, &st)
		_, _ = hash.WriteString(path + "\x00")
		if err != nil {
			_, _ = hash.WriteString(err.Error())
			return
		}
		for _, n := range []uint64{uint64(st.Dev), st.Ino, uint64(st.Size), uint64(st.Mtim.Nano()), uint64(st.Ctim.Nano())} {
			binary.NativeEndian.PutUint64(number[:], n)
			_, _ = hash.Write(number[:])
		}
		if since := time.Since(time.Unix(st.Ctim.Unix())); since < k.answers.settles { // or in the future
			s.settled = false
		}
	}
	dir := k.path("lib/modules/" + k.release)
	add(dir)
	for _, index := range []string{"dep", "alias", "symbols", "builtin.alias", "builtin"} {
		add(filepath.Join(dir, "modules."+index+".bin"))
	}
	for _, directory := range modprobeDirectories {
		add(k.path(directory))
		entries, _ := os.ReadDir(k.path(directory))
		for _, entry := range entries {
			add(filepath.Join(k.path(directory), entry.Name()))
		}
	}
	add(k.modprobePath())
	s.sum = hash.Sum64()
	return s
}

func (k *Kernel) modprobePath() string {
	if k.modprobe != "" {
		return k.modprobe
	}
	path, err := kmod.FindModprobe()
	if errors.Is(err, exec.ErrNotFound) {
		return ""
	}
	return path
}

// configLines gives the lines of modprobe's configuration that matter here.
func (k *Kernel) configLines() []fileLine {
	now := k.stateNow()
	a := k.answers
	a.mu.Lock()
	lines, ok := a.lines, a.read && a.of == now
	a.mu.Unlock()
	if ok {
		return lines
	}
	lines = k.readConfigLines()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == now && now.settled {
		a.lines, a.read = lines, true
	}
	return lines
}
