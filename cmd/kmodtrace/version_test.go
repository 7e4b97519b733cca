package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestVersionOf(t *testing.T) {
	platform := " " + runtime.GOOS + "/" + runtime.GOARCH
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for want, info := range map[string]*debug.BuildInfo{
		"devel go1.26" + platform:  {GoVersion: "go1.26"},
		"v1.2.3 go1.26" + platform: {GoVersion: "go1.26", Main: debug.Module{Version: "v1.2.3"}},
		"devel (commit 0123456789ab of 2026-01-02T03:04:05Z, modified) go1.26" + platform: {
			GoVersion: "go1.26", Main: debug.Module{Version: "(devel)"},
			Settings: []debug.BuildSetting{
				setting("vcs.revision", "0123456789abcdef"), setting("vcs.time", "2026-01-02T03:04:05Z"), setting("vcs.modified", "true"),
			},
		},
	} {
		if got := versionOf(info); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
