package cause

import (
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Which security module refused: by what it printed, by its audit record, or because no other
// is asked there.

// lsmTexts are what security modules print in the thread that they refuse.
var lsmTexts = []struct {
	lsm  string
	text *lazyregexp.Regexp
}{
	{"loadpin", lazyregexp.New(`LoadPin: (?P<said>\S+ (?:old-api-denied|denied|pinning-\S+) obj=.*)`)},
	{"ima", lazyregexp.New(`(?:ima|integrity): (?P<said>impossible to appraise a (?:kernel )?module without a file descriptor.*)`)},
}

// lsmNames are the names that people know security modules by.
var lsmNames = map[string]string{
	"selinux": "SELinux", "apparmor": "AppArmor", "loadpin": "LoadPin", "ima": "IMA", "smack": "Smack",
	"tomoyo": "TOMOYO", "ipe": "IPE", "landlock": "Landlock", "bpf": "a BPF program (LSM)",
}

// askedAt are the security modules that look at the bytes of modules, by the hook at which they are
// asked (from the kernel's source, 5.10 to 7.3).
var askedAt = map[tracer.Door][]string{
	tracer.ReadFile:     {"selinux", "loadpin", "ima", "bpf", "ipe"},
	tracer.PostReadFile: {"ima", "bpf"},
	tracer.LoadData:     {"selinux", "loadpin", "ima", "bpf", "ipe"},
	tracer.PostLoadData: {"ima", "bpf"},
}

// guard is a place where security modules are asked.
type guard struct {
	where string
	asked []string // those that are asked there
	// record is in the audit records of SELinux and AppArmor about it: theirs have one type for all that they
	// refuse.
	record *lazyregexp.Regexp
}

// The places besides askedAt (security_capable and security_kernel_module_request of the same kernels).
var (
	capabilityGuard = guard{"for a capability", []string{"selinux", "apparmor", "bpf"}, lazyregexp.New(`(?:^|\s)capability=16(?:\s|$)`)}
	requestGuard    = guard{"for it", []string{"selinux", "bpf"}, lazyregexp.New(`\{ module_request \}`)}
	loadRecord      = lazyregexp.New(`\{ module_load \}`)
)

// lookLSM says which security module refused the bytes, and in which words.
func lookLSM(s *scene) {
	if c := s.action.Call; c != nil && c.Call == tracer.InitModule {
		s.name("file", "bytes that came without a file (by init_module)")
		s.prove("init_module hands over bytes: security modules that go by the file have nothing to go by")
	}
	for _, known := range lsmTexts {
		if s.find(known.text) {
			s.name("lsm", lsmNames[known.lsm])
			return
		}
	}
	g := guard{asked: askedAt[tracer.ReadFile], record: loadRecord} // all of them
	if d := s.action.Denial; d != nil {
		g.where, g.asked = "at "+d.Door.String(), askedAt[d.Door]
	}
	s.lookRefuser(&g, s.action.Time)
}

// lookRequestLSM says which security module refused a request.
func lookRequestLSM(s *scene) { s.lookRefuser(&requestGuard, s.action.Time) }

// lookCapability says which security module refused the use of CAP_SYS_MODULE. AppArmor does not write the
// same record again (audit_caps), so that one of an earlier try of the process counts.
func lookCapability(s *scene) {
	a := s.action
	s.lookRefuser(&capabilityGuard, a.Time.Add(min(0, a.Thread.Start-a.Start)))
}

// lookRefuser names the security module by its audit record, from a time on, or because no other that
// is active is asked.
func (s *scene) lookRefuser(g *guard, from time.Time) {
	s.name("lsm", "a security module")
	active := s.activeLSMs()
	if s.live && !s.lookAudit(g, from) && g.where != "" {
		s.lookAsked(g, active)
	}
}

// activeLSMs are the security modules that are active, as far as that can be read.
func (s *scene) activeLSMs() []string {
	active := s.ask("the security modules").LSMs()
	if active == "" {
		return nil
	}
	s.prove("active security modules: %s", active)
	return strings.Split(active, ",")
}

// lookAsked names the security module where no other that is active is asked.
func (s *scene) lookAsked(g *guard, active []string) {
	errno := s.action.Errno
	if d := s.action.Denial; d != nil {
		errno = d.Errno
	}
	switch asked := s.asked(g.asked, errno, active); len(asked) {
	case 0:
	case 1:
		s.name("lsm", lsmNames[asked[0]])
		s.prove("no other active security module is asked %s", g.where)
	default:
		s.prove("asked %s: %s", g.where, strings.Join(asked, ", "))
	}
}

// asked gives the security modules that can have refused. IMA is not in the list of active ones
// before 6.9, and refuses by EACCES only; BPF refuses by programs.
func (s *scene) asked(askable []string, errno syscall.Errno, active []string) []string {
	var all []string
	for _, lsm := range askable {
		switch {
		case lsm == "ima":
			if errno == unix.EACCES {
				all = append(all, lsm)
			}
		case !slices.Contains(active, lsm):
		case lsm == "bpf" && s.noLSMPrograms():
			s.prove("no BPF program of the kind that security hooks ask is loaded")
		default:
			all = append(all, lsm)
		}
	}
	return all
}

func (s *scene) noLSMPrograms() bool {
	has, err := s.ask("the BPF programs").HasLSMPrograms()
	return err == nil && !has
}

// lookAudit finds the audit record of the refusal, from a time on.
func (s *scene) lookAudit(g *guard, from time.Time) bool {
	a := s.action
	if a.Time.IsZero() {
		return false
	}
	denials, err := s.ask("the audit records").Denials(s.ctx, a.Thread.PID, a.Thread.TID, from, a.Time.Add(a.Took))
	if err != nil {
		s.prove("not all audit records could be read: %v", err)
	}
	denials = slices.DeleteFunc(denials, func(d kernel.Denial) bool {
		ofAll := d.LSM == "selinux" || d.LSM == "apparmor"
		return !slices.Contains(g.asked, d.LSM) || ofAll && !g.record.MatchString(d.Text)
	})
	if len(denials) == 0 {
		return false
	}
	last := denials[len(denials)-1]
	s.name("lsm", lsmNames[last.LSM])
	s.name("said", last.Text)
	for _, d := range denials {
		s.prove("audit record of %s: %s", lsmNames[d.LSM], d.Text)
	}
	return true
}
