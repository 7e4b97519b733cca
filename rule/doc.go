// Package rule finds what a security monitor should look at among records: rules are conditions on
// what the kernel really did, with who asked for it, and not on what somebody tried or typed.
//
//	set, err := rule.Builtin()
//	findings := set.Begin()
//	for each record {
//		for _, f := range findings.Add(record) { … }
//	}
//
// A condition is an expression in CEL (https://cel.dev) over one record, whose fields have the names
// that they have as JSON (docs/schema/action.schema.json). A field that a record does not have is
// absent, and not false: a condition that needs it does not hold, and neither does its opposite.
// has(record.file) asks for it.
//
// The same records, in the same order, give the same findings: everything that a finding says comes
// from them, and so does the time by which findings are counted.
package rule
