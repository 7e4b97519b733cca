package oops

import (
	"slices"
	"strings"
	"sync"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

// headline is how the first line of a report begins.
type headline struct {
	kind Kind
	// Such a line begins with one of the texts in begins, and contains has. That excludes most lines without
	// the expression.
	begins []string
	has    string
	text   *lazyregexp.Regexp
	// whole says that the line alone is a report: nobody else prints such a line. Of others a
	// driver may print the like, and they count when the kernel's lines follow.
	whole bool
}

// headlines are tried in this order. Groups: source, function, offset, size, module, cpu, pid, comm.
var headlines = []headline{
	lined(Panic, true, `^Kernel panic - not syncing: `),
	lined(Warning, true, `^WARNING: CPU: (?P<cpu>\d+) PID: (?P<pid>\d+) at (?:(?P<source>\S+:\d+) )?`+position),
	lined(Warning, true, `^WARNING: (?:\[.*\] )?(?P<source>\S+:\d+) at `+position+`, CPU#(?P<cpu>\d+): (?P<comm>.*)/(?P<pid>\d+)$`),
	lined(Lockdep, true, `^WARNING: (?:possible (?:circular|recursive|irq) lock|inconsistent lock state|bad unlock balance|suspicious RCU usage|lock held when returning|Nested lock was not taken|chain cache|.*lock order inversion|.*-safe -> .*-unsafe lock order)`),
	lined(Lockdep, true, `^INFO: (?:possible (?:circular|recursive|irq) lock|trying to register non-static key)`),
	lined(Lockdep, true, `^(?:\[ )?BUG: (?:held lock freed|Invalid wait context|MAX_LOCKDEP|looking up invalid|\S+/\d+ still has locks held)`, `BUG: `, `[ BUG: `),
	lined(KASAN, true, `^BUG: KASAN: .*? in `+position),
	lined(KASAN, true, `^BUG: KASAN: `),
	lined(KFENCE, true, `^BUG: KFENCE: .*? in `+position),
	lined(KFENCE, true, `^BUG: KFENCE: `),
	lined(KCSAN, true, `^BUG: KCSAN: `),
	lined(KMSAN, true, `^BUG: KMSAN: .*? in `+position),
	lined(KMSAN, true, `^BUG: KMSAN: `),
	lined(UBSAN, true, `^UBSAN: .* in (?P<source>\S+:\d+):\d+$`),
	lined(UBSAN, true, `^UBSAN: `),
	lined(AtomicSleep, true, `^BUG: sleeping function called from invalid context at (?P<source>\S+:\d+)`),
	lined(AtomicSchedule, true, `^BUG: scheduling while atomic: (?P<comm>.*)/(?P<pid>\d+)/0x`),
	lined(SoftLockup, true, `^(?:watchdog: )?BUG: soft lockup - CPU#(?P<cpu>\d+) stuck for \d+s! \[(?P<comm>.*):(?P<pid>\d+)\]`, `BUG: soft lockup`, `watchdog: `),
	lined(HardLockup, true, `^(?:watchdog: )?(?:CPU(?P<cpu>\d+): )?Watchdog detected hard LOCKUP|^NMI watchdog: Watchdog detected hard LOCKUP`, `watchdog: `, `CPU`, `Watchdog detected`, `NMI watchdog: `),
	lined(RCUStall, true, `^(?:rcu: )?INFO: (?:rcu\S* (?:self-)?detected|rcu\S* detected expedited) `, `rcu: `, `INFO: rcu`),
	lined(HungTask, true, `^INFO: task (?P<comm>.*):(?P<pid>\d+) (?:is )?blocked .*for more than \d+ seconds`),
	lined(Bug, true, `^kernel BUG at (?P<source>\S+:\d+)!`),
	lined(Bug, true, `^Unexpected kernel BRK exception at EL1|^kernel BUG at `, `Unexpected kernel BRK`, `kernel BUG at `),
	lined(Oops, true, `^BUG: (?:kernel NULL pointer dereference|unable to handle (?:kernel |page )|stack guard page|TASK stack guard page|IRQ stack guard page)`),
	lined(Oops, true, `^(?:Oops(?: - .*)?: |Internal error: |Unable to handle kernel |general protection fault|invalid opcode: |(?:PANIC: )?double fault|divide error: |stack segment: |int3: |traps: PANIC|Kernel stack overflow|kernel stack overflow|Insufficient stack space to handle exception|kernel tried to execute |Unhandled fault|Bad mode in )`, `Oops`, `Internal error: `, `Unable to handle kernel `, `general protection fault`, `invalid opcode: `, `PANIC: double fault`, `double fault`, `divide error: `, `stack segment: `, `int3: `, `traps: PANIC`, `Kernel stack overflow`, `kernel stack overflow`, `Insufficient stack space to handle exception`, `kernel tried to execute `, `Unhandled fault`, `Bad mode in `),
	holding(" invoked oom-killer: ", OutOfMemory, true, `^(?P<comm>.{1,16}) invoked oom-killer: `),
	lined(OutOfMemory, true, `^Out of memory(?:: Killed process| and no killable processes)`),
	holding(" allocation failure", NoAllocation, false, `^(?P<comm>.{1,16}): (?:page allocation failure: order:\d|vmalloc: allocation failure)`),
	holding(": vmalloc error: ", NoAllocation, false, `^(?P<comm>.{1,16}): vmalloc error: size \d`),
	// What is followed by a backtrace, and by no end.
	lined(Warning, false, `^(?:refcount_t: |list_(?:add|del) corruption|sysfs: cannot create duplicate |remove_proc_entry: |proc_dir_entry .* already registered|debugfs: .* already present|kobject: .* does not have a release|(?:Object|slab) .*corrupt)`, `refcount_t: `, `list_`, `sysfs: cannot`, `remove_proc_entry: `, `proc_dir_entry `, `debugfs: `, `kobject: `, `Object `, `slab `),
	lined(Warning, false, `^(?:WARNING|BUG|INFO): `, `WARNING: `, `BUG: `, `INFO: `),
}

// lined makes the entry of an expression, which begins with ^. Lines that it matches begin with one of the
// texts; without any, with what the expression begins with.
func lined(kind Kind, whole bool, text string, begins ...string) headline {
	if len(begins) == 0 {
		literal := strings.TrimPrefix(text, "^")
		if i := strings.IndexAny(literal, `\.+*?()|[]{}^$`); i >= 0 {
			literal = literal[:i]
		}
		begins = []string{literal}
	}
	return headline{kind: kind, begins: begins, text: lazyregexp.New(text), whole: whole}
}

// holding is lined for lines that begin with anything, and have a text.
func holding(has string, kind Kind, whole bool, text string) headline {
	return headline{kind: kind, begins: []string{""}, has: has, text: lazyregexp.New(text), whole: whole}
}

// headlinesBy gives the headlines that a line with this first byte may have, in their order.
var headlinesBy = sync.OnceValue(func() *[256][]*headline {
	var by [256][]*headline
	for i := range headlines {
		h := &headlines[i]
		for first := range by {
			if slices.ContainsFunc(h.begins, func(text string) bool { return text == "" || text[0] == byte(first) }) {
				by[first] = append(by[first], h)
			}
		}
	}
	return &by
})

// maybe tells whether the line can match the expression.
func (h *headline) maybe(line string) bool {
	for _, text := range h.begins {
		if strings.HasPrefix(line, text) {
			return strings.Contains(line, h.has)
		}
	}
	return false
}

const (
	// function is how the kernel writes an address in code; newer ones have a build ID in the
	// brackets too.
	function = `(?P<function>[A-Za-z_$][\w.$]*)\+0x(?P<offset>[0-9a-f]{1,16})/0x(?P<size>[0-9a-f]{1,16})`
	position = function + `(?: \[(?P<module>\w+)[^\]]*\])?`
)

// shape is what a line inside a report looks like.
var shape = lazyregexp.New(`^(?:` +
	// Of all: what runs where.
	`CPU: \d|Tainted: |\s+(?:Not tainted|Tainted: )|Hardware name: |Modules linked in:|Workqueue: |Sched_ext: |Stopper: |Process .*\(pid: |Kernel Offset: |Preemption disabled at:|` +
	// x86-64.
	`RIP: | ORIG_RAX: |Code: |RSP: |R(?:AX|DX|BP|\d\d): |[FC]S: |CR\d: |DR\d: |PKRU: |#PF: |P[G4UM]D |BAD$|SHSTK|Oops: |` +
	// arm64.
	`Mem abort info:|Data abort info:|  (?:ESR|EC|SET|EA|FSC|ISV|CM|GCS|TagAccess|WnR|ISS2?) ?=|(?:user|swapper) pgtable: |\[[0-9a-f]{16}\] (?:pgd|address)|Internal error: |pstate: |(?:pc|lr|sp|x\d{1,2}) ?: |pmr_save: |` +
	// Traces.
	`[Cc]all [Tt]race:| ?(?:\[ )?</?(?:TASK|IRQ|NMI|SOFTIRQ|ENTRY|EOI|EXCEPTION|#\w+)>|---\[ end |------------\[ cut here \]|note: .* exited with |` +
	// Checkers.
	`in_atomic\(\): |preempt_count: |RCU nest depth: |(?:\d+ locks?|no locks) held by |INFO: lockdep is turned off|irq event stamp: |(?:hard|soft)irqs last |stack backtrace:| #\d+: |={30,}$|-{30,}$|` +
	`(?:Read|Write) of size \d|(?:Allocated|Freed) by task |The buggy address | which belongs to |\s+\^$|Memory state around |page dumped |Last potentially related work |>? ?[0-9a-f]{16}: |` +
	`task:.* state:|"echo 0 > /proc/sys/kernel/hung_task_timeout_secs"|Sending NMI |NMI backtrace for cpu |` +
	// Memory.
	`Mem-Info:|active_anon:| [a-z_]+:\d|Node \d|lowmem_reserve|\d+ total pagecache|\d+ pages |Total swap|Free swap|Swap cache stats:|Tasks state|\[ *\d+\] |\[  pid  \]|oom-kill:|Out of memory: ` +
	`)`)

var (
	frameLine = lazyregexp.New(`^\s+(?P<guess>\? )?` + position + `(?: \([A-Z]+\))*\s*$`)
	bareFrame = lazyregexp.New(`^\s+(?:\? )?0x[0-9a-f]{8,16}(?: \([A-Z]+\))*\s*$`)
	// faultLine has the instruction that failed. 0010 is the kernel's code segment; a later RIP line
	// has the program's registers.
	faultLine = lazyregexp.New(`^(?:RIP: 0010:|pc : )` + position)
	taskLine  = lazyregexp.New(`^CPU: (?P<cpu>\d+) (?:UID: \d+ )?PID: (?P<pid>\d+) Comm: (?P<comm>.*?) (?:Tainted: |Not tainted)`)
	endLine   = lazyregexp.New(`^---\[ end (?:trace|Kernel panic)`)
	asideLine = lazyregexp.New(`^\s+(?:[\w-]+(?:\([\w+-]*\))?\s*)+(?:\[last unloaded: .*\])?$|^\s*\[last unloaded: `)
)

// machinery are functions that print backtraces, and what they call on the way.
var machinery = lazyregexp.New(`^(?:__?)?(?:dump_stack(?:_lvl)?|dump_stack_print_info|dump_backtrace|show_stack|show_trace_log_lvl|print_report|print_address_description|kasan_report|ubsan_epilogue|__ubsan_handle_\w+|__schedule_bug|__schedule|schedule\w*|might_resched|might_sleep|dump_header|warn_alloc|sysfs_warn_dup|panic|vpanic|warn|report_bug|handle_bug|exc_\w+|asm_exc_\w+)(?:\.\w+)*$`)
