//go:build !race

package kmod

// raceEnabled: the race detector takes memory of its own.
const raceEnabled = false
