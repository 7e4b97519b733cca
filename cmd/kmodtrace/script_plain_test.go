//go:build !race

package main

import "testing"

// TestScriptsOfQuestions runs those of testdata/script that TestScripts leaves out: two hundred
// commands, each a process that the race detector makes five times as slow.
func TestScriptsOfQuestions(t *testing.T) {
	runScripts(t, isQuestion)
}
