package tracer

import (
	"testing"
)

func TestPreemption(t *testing.T) {
	for _, test := range []struct {
		version, modes string
		ok             bool
	}{
		{"#1 SMP Debian 5.10.2", "", true},
		{"#1 SMP PREEMPT_DYNAMIC Debian 6.12", "none (voluntary) full \n", true},
		{"#1 SMP PREEMPT_DYNAMIC Debian 6.12", "(none) voluntary full", true},
		{"#1 SMP PREEMPT_DYNAMIC Debian 7.3", "full (lazy) \n", false},
		{"#1 SMP PREEMPT_DYNAMIC Debian 6.12", "none voluntary (full)", false},
		{"#1 SMP PREEMPT_DYNAMIC Debian 6.12", "", false},
		{"#1 SMP PREEMPT_RT Debian 6.12", "", false},
		{"#1 SMP PREEMPT Arch", "garbage", false},
	} {
		if err := preemption(test.version, test.modes); (err == nil) != test.ok {
			t.Errorf("preemption(%q, %q) = %v", test.version, test.modes, err)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for in, want := range map[string]version{
		"6.12.117+deb13-cloud-amd64": {6, 12},
		"5.10.0-46-cloud-amd64":      {5, 10},
		"7.3-rc1":                    {7, 3},
		"":                           {},
		"six":                        {},
		"6":                          {},
	} {
		got, err := parseVersion(in)
		if got != want || (err != nil) != (want == version{}) {
			t.Errorf("parseVersion(%q) = %v, %v", in, got, err)
		}
	}
}
