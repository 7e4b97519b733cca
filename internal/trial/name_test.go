package trial

import "testing"

// TestFileOf: a fault in a module whose name has a dot is a fault of its file.
func TestFileOf(t *testing.T) {
	j := &judge{plan: Plan{Files: []string{"/x/a.c.ko", "/x/a.b.ko", "/x/my-own.ko.xz"}}}
	for module, want := range map[string]string{"a.b": "/x/a.b.ko", "my_own": "/x/my-own.ko.xz", "a": ""} {
		if got := j.fileOf(module); got != want {
			t.Errorf("%s: %q, want %q", module, got, want)
		}
	}
}
