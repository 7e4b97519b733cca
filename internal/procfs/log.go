package procfs

import "strings"

// LogText gives the text of a record of the kernel's log as /dev/kmsg has it:
// "priority,number,time,flags;text", and lines with more that begin with a blank.
func LogText(record string) (string, bool) {
	_, text, ok := strings.Cut(record, ";")
	text, _, _ = strings.Cut(text, "\n")
	return text, ok
}
