package oops

import (
	"fmt"
	"strings"
)

// Words is the kind as a reader knows it.
func (k Kind) Words() string {
	switch k {
	case Bug:
		return "BUG"
	case KASAN, KFENCE, KCSAN, KMSAN, UBSAN:
		return strings.ToUpper(string(k)) + " report"
	case Lockdep:
		return "lockdep report"
	case AtomicSleep:
		return "sleep in atomic context"
	case AtomicSchedule:
		return "scheduling while atomic"
	}
	return strings.ReplaceAll(string(k), "-", " ")
}

// Summary says in a line what was reported, where and by whom.
func (r *Report) Summary() string {
	text := r.kindAndPlace()
	if task := r.Task(); task != "" {
		text += ", by " + task
	}
	if r.Incomplete {
		text += ", its end was not printed"
	}
	if said := r.Said(); said != "" {
		text += `: "` + said + `"`
	}
	return text
}

func (r *Report) kindAndPlace() string {
	if where := r.Where(); where != "" {
		return r.Kind.Words() + " in " + where
	}
	return r.Kind.Words()
}

// Said is what the kernel says beside the place: the text of a WARN, or its first line on what
// went wrong; empty where it says nothing.
func (r *Report) Said() string {
	switch {
	case r.Message != "":
		return strings.Join(strings.Fields(r.Message), " ")
	case r.Kind == Backtrace, r.Kind == Bug && r.Place.Source != "", r.Kind == Warning && r.marked():
		return "" // that is the place
	}
	return r.Text
}

// maxCallers bounds the callers that [Report.Callers] gives as text.
const maxCallers = 4

// CalledBy names the callers that the kernel vouches for, the innermost first, as far as one that is
// of a module, or the first few; empty where none is known.
func (r *Report) CalledBy() string {
	sure := r.Callers()
	n := min(len(sure), 2)
	for i := range sure[:min(len(sure), 2*maxCallers)] {
		if sure[i].Module != "" {
			n = i + 1
		}
	}
	texts := make([]string, 0, maxCallers+1)
	for i := range sure[:n] {
		if i == maxCallers && n > maxCallers+1 { // the last one is of a module
			texts = append(texts, "…", sure[n-1].Where())
			break
		}
		texts = append(texts, sure[i].Where())
	}
	if len(texts) == 0 {
		return ""
	}
	return fmt.Sprintf("called by %s", strings.Join(texts, ", "))
}
