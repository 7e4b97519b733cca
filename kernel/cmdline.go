package kernel

import (
	"iter"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// readCmdline gives the running kernel's command line, which does not change.
func (k *Kernel) readCmdline() string {
	text, err := procfs.ReadFile(k.path("proc/cmdline"), maxConfig)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

// cmdline gives the options on the running kernel's command line. Double quotes keep
// blanks together, around the value or the whole; after `--` come init's.
func (k *Kernel) cmdline() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if !k.running {
			return
		}
		line := k.bootLine()
		quoted := false
		for word := range strings.FieldsFuncSeq(line, func(c rune) bool {
			if c == '"' {
				quoted = !quoted
			}
			return !quoted && (c == ' ' || c == '\t')
		}) {
			if word == "--" {
				return
			}
			key, value, _ := strings.Cut(strings.Trim(word, `"`), "=")
			if !yield(key, strings.Trim(value, `"`)) {
				return
			}
		}
	}
}

// CmdlineBlacklist tells whether the running kernel itself refuses a module of that
// name (module_blacklist= on its command line), however it is loaded. The kernel compares with the name
// as it is: with dashes in the list it refuses nothing. Of several lists the last counts.
func (k *Kernel) CmdlineBlacklist(name string) bool {
	if !k.running {
		return false
	}
	list := k.line("sys/module/kernel/parameters/module_blacklist") // for root only
	if list == "" {
		for key, value := range k.cmdline() {
			if modname.Normal(key) == "module_blacklist" {
				list = value
			}
		}
	}
	for refused := range strings.SplitSeq(list, ",") {
		if refused == modname.Normal(name) {
			return true
		}
	}
	return false
}
