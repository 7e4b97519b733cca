package holders

import (
	"errors"
	"testing"
)

func TestRefCount(t *testing.T) {
	root := fakeRoot(t, map[string]string{"sys/module/a/refcnt": "3\n", "sys/module/b/parameters/x": "", "sys/module/c/refcnt": "many\n"})
	if n, err := refCount(root, "a"); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := refCount(root, "b"); !errors.Is(err, ErrNotCounted) {
		t.Errorf("built in: %v", err)
	}
	if _, err := refCount(root, "none"); !errors.Is(err, ErrNotLoaded) {
		t.Errorf("not there: %v", err)
	}
	if _, err := refCount(root, "c"); err == nil {
		t.Error("a count that is not a number")
	}
	if _, err := refCount(root, "../module/a"); err == nil {
		t.Error("a path is a name")
	}
}
