package cause

import (
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
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

// lookLSM says which security module refused, and in which words.
func lookLSM(s *scene) {
	s.name("lsm", "a security module")
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
	active := s.ask("the security modules").LSMs()
	if active != "" {
		s.prove("active security modules: %s", active)
	}
	if !s.live {
		return
	}
	if s.lookAudit() {
		return
	}
	if d := s.action.Denial; d != nil && active != "" {
		switch asked := asked(d, strings.Split(active, ",")); len(asked) {
		case 0:
		case 1:
			s.name("lsm", lsmNames[asked[0]])
			s.prove("no other active security module is asked at %s", d.Door)
		default:
			s.prove("asked at %s: %s", d.Door, strings.Join(asked, ", "))
		}
	}
}

// asked gives the security modules that can have refused. IMA is not in the list of active ones
// before 6.9, and refuses by EACCES only.
func asked(d *tracer.Denial, active []string) []string {
	var all []string
	for _, lsm := range askedAt[d.Door] {
		switch {
		case lsm == "ima":
			if d.Errno == unix.EACCES {
				all = append(all, lsm)
			}
		case slices.Contains(active, lsm):
			all = append(all, lsm)
		}
	}
	return all
}

// lookAudit finds the audit record of the refusal.
func (s *scene) lookAudit() bool {
	a := s.action
	if a.Time.IsZero() {
		return false
	}
	denials, err := s.ask("the audit records").Denials(a.Thread.TID, a.Time, a.Time.Add(a.Took+time.Second))
	if err != nil {
		s.prove("not all audit records could be read: %v", err)
	}
	if len(denials) == 0 {
		return false
	}
	first := denials[0]
	s.name("lsm", lsmNames[first.LSM])
	s.name("said", first.Text)
	for _, d := range denials {
		s.prove("audit record of %s: %s", lsmNames[d.LSM], d.Text)
	}
	return true
}
