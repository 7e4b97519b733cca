package procfs

import "testing"

func TestLogText(t *testing.T) {
	for record, want := range map[string]string{
		"6,123,4567,-;hello: Hello!\n":                            "hello: Hello!",
		"4,1,2,-,caller=T1;a;b\n SUBSYSTEM=pci\n DEVICE=+pci:0\n": "a;b",
		"6,1,2,-;\n":             "",
		"6,1,2,-;odd\\x1b[31m\n": "odd\\x1b[31m",
	} {
		if got, ok := LogText(record); !ok || got != want {
			t.Errorf("%q: %q, %t", record, got, ok)
		}
	}
	if got, ok := LogText("no record"); ok {
		t.Errorf("%q is a line", got)
	}
}
