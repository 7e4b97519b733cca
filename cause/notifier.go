package cause

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// Who refused a module when it was complete: see tracer.Callback. The kernel tells the errno
// and not the callback, so the refuser is found by leaving out who cannot have been it.

// ownCallbacks are the kernel's own callbacks on the chain of module notifiers (from its
// source, 5.10 to 7.3), and whether they can refuse: because memory is short, or not at all.
var ownCallbacks = map[string]callbackKind{
	"jump_label_module_notify":           needsMemory,
	"static_call_module_notify":          needsMemory,
	"tracepoint_module_notify":           needsMemory,
	"srcu_module_notify":                 needsMemory,
	"bpf_event_notify":                   needsMemory,
	"ddebug_module_notify":               needsMemory,
	"btf_module_notify":                  saysSo,
	"trace_module_notify":                neverRefuses,
	"module_trace_bprintk_format_notify": neverRefuses,
	"trace_kprobe_module_callback":       neverRefuses,
	"trace_fprobe_module_cb":             neverRefuses,
	"__tracepoint_probe_module_cb":       neverRefuses,
	"__tprobe_event_module_cb":           neverRefuses,
	"fprobe_module_callback":             neverRefuses,
	"kprobes_module_callback":            neverRefuses,
	"ei_module_callback":                 neverRefuses,
	"pi_module_notify":                   neverRefuses,
	"kunit_module_notify":                neverRefuses,
	"gcov_module_notifier":               neverRefuses,
}

// callbackKind says how one of the kernel's own callbacks can refuse.
type callbackKind uint8

const (
	neverRefuses callbackKind = iota
	needsMemory               // ENOMEM only
	saysSo                    // with a message, which has a rule of its own, or for ENOMEM
)

// mayRefuse tells whether it can have been this callback that gave the errno.
func mayRefuse(c *tracer.Callback) bool {
	if c.Module != "" {
		return true
	}
	kind, known := ownCallbacks[c.Function]
	if !known {
		return true
	}
	return kind != neverRefuses && c.Errno == unix.ENOMEM
}

// maxRefusers bounds the callbacks that a sentence names.
const maxRefusers = 3

// refusedByCallback: the chain was seen to refuse. Where only the kernel's own callbacks can have
// done so, which they do when memory is short, the cause is memory.
func refusedByCallback(s *scene) answer {
	all := s.action.Callbacks
	if len(all) == 0 {
		if s.heardAll() {
			return no
		}
		return unsure
	}
	var can, foreign []string
	cut, left := false, 0
	for i := range all {
		cut = cut || all[i].Cut
		if !mayRefuse(&all[i]) {
			left++
			continue
		}
		text := callbackText(&all[i])
		can = append(can, text)
		if _, own := ownCallbacks[all[i].Function]; all[i].Module != "" || !own {
			foreign = append(foreign, text)
		}
	}
	if len(foreign) == 0 && !cut && all[0].Errno == unix.ENOMEM {
		return no
	}
	s.name("returned", tracer.ErrnoName(all[0].Errno))
	s.name("refuser", "another part of the kernel")
	switch {
	case cut || len(can) == 0:
	case len(can) == 1:
		s.name("refuser", can[0])
	case len(can) <= maxRefusers:
		s.name("refuser", "one of "+strings.Join(can, ", "))
	}
	s.name("callbacks", fmt.Sprint(len(all)))
	for _, text := range can[:min(len(can), 2*maxRefusers)] {
		s.prove("can have refused: %s", text)
	}
	if left > 0 {
		s.prove("%d other callbacks are the kernel's own, and do not answer %s without a message", left, tracer.ErrnoName(all[0].Errno))
	}
	return yes
}

// callbackText names a callback as far as it is known.
func callbackText(c *tracer.Callback) string {
	switch {
	case c.Function != "" && c.Module != "":
		return fmt.Sprintf("%s of %s", c.Function, c.Module)
	case c.Module != "":
		return "a callback of " + c.Module
	case c.Function != "":
		return c.Function + " of the kernel"
	}
	return "the function at " + c.Address.String()
}

// lookCallback quotes what was printed while the chain ran: a callback that refuses may say so.
func lookCallback(s *scene) {
	began := stageBegan(s.action, tracer.StageFinalize)
	for i, m := range s.action.Messages {
		if i < len(s.action.MessageTimes) && s.action.MessageTimes[i] >= began && !isRemark(firstLine(m)) {
			s.name("said", strings.TrimSpace(firstLine(m)))
			s.prove("printed meanwhile: %s", strings.TrimSpace(firstLine(m)))
		}
	}
}

// lookLivepatch finds the reason, which the kernel prints before it names the patch.
func lookLivepatch(s *scene) { s.find(livepatchText) }

// lookTypes names the errno, and says what is known of the kernel's types.
func lookTypes(s *scene) {
	var errno int
	if _, err := fmt.Sscan(strings.TrimPrefix(s.names["problem"], "-"), &errno); err == nil {
		s.name("problem", tracer.ErrnoName(unix.Errno(errno)))
	}
	if value, err := s.ask("whether the kernel takes a mismatch").Config("CONFIG_MODULE_ALLOW_BTF_MISMATCH"); err == nil && value != "y" {
		s.prove("this kernel was built without CONFIG_MODULE_ALLOW_BTF_MISMATCH")
	}
}

// livepatchUnknown: it is a livepatch, and this kernel has none.
func livepatchUnknown(s *scene) answer {
	file, err := s.inspect()
	if err == nil && file.Value("livepatch") != "Y" {
		return no
	}
	value, configErr := s.ask("whether the kernel has livepatches").Config("CONFIG_LIVEPATCH")
	switch {
	case configErr == nil && value == "y":
		return no
	case err != nil || configErr != nil:
		return unsure
	}
	return yes
}
