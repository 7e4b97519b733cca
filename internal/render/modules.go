package render

import (
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// ModuleTable lists modules as lsmod does, with more columns.
func ModuleTable(modules []kmod.Module, width int) *term.Table {
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

func taintWords(taints []kmod.Taint) string {
	words := make([]string, len(taints))
	for i, taint := range taints {
		words[i] = taint.Word
	}
	return strings.Join(words, ",")
}
