package tracer

import (
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/wire"
)

func decodeActor(w *bpfActorEvent) ActorDetails {
	d := ActorDetails{Of: ID(w.Of), Capabilities: Capabilities(w.Capabilities), Generation: int(w.Generation), ArgsCut: has(&w.H, bpfFlagFLAG_CUT)}
	if !has(&w.H, bpfFlagFLAG_UNREADABLE) {
		d.Args = arguments(w.Args[:min(int(w.Length), len(w.Args))])
	}
	return d
}

func decodeAncestor(w *bpfAncestorEvent) Ancestor {
	return Ancestor{Of: ID(w.Of), ForRequest: ID(w.Request), Index: int(w.Index), Generation: int(w.Generation), AncestorsCut: has(&w.H, bpfFlagFLAG_CUT), Process: processOf(&w.Process)}
}

// arguments takes a command line apart, each argument of which is ended by NUL,
// but perhaps the last.
func arguments(memory []byte) []string {
	text := strings.TrimSuffix(string(memory), "\x00")
	if len(memory) == 0 {
		return nil
	}
	args := strings.Split(text, "\x00")
	for i := range args {
		args[i] = wire.Printable(args[i])
	}
	return args
}

func processOf(w *bpfProcess) Process {
	p := Process{
		PID: w.Pid, Start: time.Duration(w.Start), Execs: w.Exec, Comm: wire.Text(w.Comm[:]),
		UID: w.Uid, EUID: w.Euid, LoginUID: idOf(w.Loginuid), Session: idOf(w.Session),
		Cgroup: Cgroup{ID: w.Cgroup},
	}
	p.Namespaces.Mount.ID, p.Namespaces.User.ID = w.MntNs, w.UserNs
	return p
}

func idOf(id uint32) *uint32 {
	if id == noID {
		return nil
	}
	return &id
}

func decodeProcess(w *bpfProcessEvent) Process {
	trait := func(t bpfTrait) bool { return w.Traits&uint32(t) != 0 }
	p := processOf(&w.Process)
	p.KernelThread = trait(bpfTraitTRAIT_KTHREAD)
	p.Worker = trait(bpfTraitTRAIT_WORKER)
	p.Namespaces.PID = Namespace{ID: w.PidNs, Initial: trait(bpfTraitTRAIT_FIRST_PID_NS)}
	p.Namespaces.User.Initial = trait(bpfTraitTRAIT_FIRST_USER_NS)
	p.Terminal = wire.Text(w.Tty[:])
	cut := trait(bpfTraitTRAIT_CGROUP_CUT)
	p.Cgroup = parseCgroup(w.Process.Cgroup, joinPath(w.Cgroup[:min(int(w.CgroupLength), len(w.Cgroup))], cut), cut)
	if w.Exe.Ino != 0 {
		exe := fileOf(&w.H, &w.Exe)
		p.Exe = &exe
	}
	return p
}
