package render

import (
	"slices"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// ModuleTable lists modules as lsmod does, with more columns. against are the lines of modprobe's
// configuration that did not keep a module out, by its name.
func ModuleTable(modules []kmod.Module, against map[string][]kernel.ConfigLine, width int) *term.Table {
	t := &term.Table{Width: width, Header: []string{"MODULE", "SIZE", "REFS", "STATE", "ADDRESS", "TAINTS", "VERSION", "USED BY"}, Right: map[int]bool{1: true, 2: true}}
	for _, m := range modules {
		refs, address := "-", "hidden"
		if m.Refs != nil {
			refs = strconv.Itoa(*m.Refs)
		}
		if m.Address != 0 {
			address = m.Address.String()
		}
		state := m.State.String()
		if m.RefsNegative {
			state += ", " + refcountNegative
		}
		if lines := against[m.Name]; len(lines) > 0 {
			state += ", " + againstWord(lines)
		}
		users := m.Holders
		if m.Permanent {
			users = append(users[:len(users):len(users)], "[permanent]")
		}
		t.Rows = append(t.Rows, []string{
			m.Name, strconv.FormatUint(m.Size, 10), refs, state, address,
			cells.OrDash(taintWords(m.Taints)), cells.OrDash(m.Version), cells.OrDash(strings.Join(users, ",")),
		})
	}
	return t
}

// refcountNegative marks a module that no tool may unload.
const refcountNegative = "refcount negative"

// againstWord marks a module that is loaded all the same.
func againstWord(lines []kernel.ConfigLine) string {
	if slices.ContainsFunc(lines, func(line kernel.ConfigLine) bool { return line.Blacklist }) {
		return "blacklisted"
	}
	return "blocked"
}

func taintWords(taints []kmod.Taint) string {
	words := make([]string, len(taints))
	for i, taint := range taints {
		words[i] = taint.Word
	}
	return strings.Join(words, ",")
}
