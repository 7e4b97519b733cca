package record

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestContainerNames: an action and the requests behind it get the images of their containers, and their pods, from a state that is read once, and what
// belongs to others is left as it was.
func TestContainerNames(t *testing.T) {
	root, id, other := t.TempDir(), strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	dir := filepath.Join(root, "var/lib/docker/containers", id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.v2.json"), []byte(`{"ID":"`+id+`","Config":{"Image":"nginx:1.27"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	in := func(id string) *tracer.Actor {
		a := new(tracer.Actor)
		a.Cgroup.Container = &tracer.Container{Runtime: "docker", ID: id}
		return a
	}
	const uid = "0b1c2d3e-0000-4000-8000-000000000001"
	if err := os.MkdirAll(filepath.Join(root, "var/log/pods/shop_web_"+uid), 0o755); err != nil {
		t.Fatal(err)
	}
	first, second := in(id), in(id)
	second.Comm = "second"
	first.Cgroup.PodUID, second.Cgroup.PodUID = uid, uid
	a := tracer.Action{Actor: new(tracer.Actor), Requester: &tracer.Requester{Actor: in(other), Requester: &tracer.Requester{Actor: second}}}
	chain := a.Requester
	m := newContainerNames(root)
	m.all(context.Background(), &a)
	if got := a.Requester.Requester.Actor; got.Cgroup.Container.Image != "nginx:1.27" || got.Comm != "second" || got.Cgroup.Pod == nil || got.Cgroup.Pod.Name != "web" {
		t.Errorf("%+v, %+v", got, got.Cgroup.Pod)
	}
	if got := a.Requester.Actor.Cgroup.Container; got.Image != "" || got.ID != other || a.Actor.Cgroup.Container != nil {
		t.Errorf("%+v, %+v", got, a.Actor)
	}
	if second.Cgroup.Container.Image != "" || second.Cgroup.Pod != nil || chain.Requester.Actor != second {
		t.Error("what others have was changed")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if got := m.of(context.Background(), first); got.Cgroup.Container.Image != "nginx:1.27" {
		t.Errorf("looked for again: %+v", got.Cgroup.Container)
	}
	ended, end := context.WithCancel(context.Background())
	end()
	if m.of(ended, in(strings.Repeat("ef", 32))); len(m.known) != 2 {
		t.Errorf("no answer is taken for none: %v", m.known)
	}
}
