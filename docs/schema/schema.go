// Package schema holds the JSON Schemas (draft 2020-12) of what kmodtrace prints
// with --json: the published contract of its field names.
//
//	action    a line of kmodtrace watch --json
//	event     a line of kmodtrace watch --events --json
//	result    a line of kmodtrace load --json and kmodtrace unload --json
//	reload    kmodtrace reload --json
//	module    kmodtrace list --json
//	file      kmodtrace info --json
//	doctor    kmodtrace doctor --json
//	refs      a line of kmodtrace refs --json
//	record    a line of kmodtrace history --json, history show --json, and of an output of kmodtrace serve
//	first     a line of kmodtrace history --first-seen --json
//	loaded    kmodtrace history --loaded-at TIME --json
//	anchor    kmodtrace audit anchor --json
//	verification  kmodtrace audit verify --json
//	trial     kmodtrace try --json
//	verdict   a line of kmodtrace check --json
//	build     kmodtrace build --json
//	meaning   a line of kmodtrace explain --json, or of kmodtrace explain CODE --json
//	rule      a line of kmodtrace rules list --json, or kmodtrace rules explain RULE --json
//	finding   a line of kmodtrace watch --findings --json and of kmodtrace rules test --json
//	cause     what action, result and verdict have of a cause
//	report    what action and trial have of a warning, an oops or a backtrace of the kernel's
//	origin    what action has of where a file comes from
//	coverage  what doctor has of the hooks
package schema

import (
	"embed"
	"io/fs"
)

//go:embed *.schema.json
var files embed.FS

// Files gives the schemas, each as NAME.schema.json. They refer to each other by
// these names.
func Files() fs.FS { return files }
