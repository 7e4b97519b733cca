package record

import (
	"context"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/containers"
	"github.com/kmodtrace/kmodtrace/internal/slots"
	"github.com/kmodtrace/kmodtrace/tracer"
)

const (
	// containerTimeout is how long the files of a container's runtime, and the kubelet's, may take.
	containerTimeout = time.Second
	// maxContainers bounds the containers that are remembered.
	maxContainers = 1024
)

// containerNames finds the images and the pods of containers. A container has one image and one pod for ever, so each is looked
// for once.
type containerNames struct {
	root  string
	slots *slots.Slots
	known map[containerKey]containerName
}

type containerKey struct{ id, pod string }

// containerName is what is known of a container: no image where no runtime tells, no pod where the kubelet does not.
type containerName struct {
	image string
	pod   *tracer.Pod
}

func newContainerNames(root string) *containerNames {
	return &containerNames{root: root, slots: slots.New(slots.Options{Each: 1, Total: 1}), known: make(map[containerKey]containerName)}
}

// all names those of the actor of an action and of its requesters.
func (n *containerNames) all(ctx context.Context, a *tracer.Action) {
	a.Actor = n.of(ctx, a.Actor)
	for r := &a.Requester; *r != nil; r = &(*r).Requester {
		named := **r
		named.Actor = n.of(ctx, named.Actor)
		*r = &named
	}
}

// of gives an actor with the names of its container. The actor belongs to others too: it is not changed but copied.
func (n *containerNames) of(ctx context.Context, who *tracer.Actor) *tracer.Actor {
	if who == nil {
		return nil
	}
	named := *who
	named.StartedBy = n.of(ctx, who.StartedBy)
	key := containerKey{pod: who.Cgroup.PodUID}
	if who.Cgroup.Container != nil {
		key.id = who.Cgroup.Container.ID
	}
	if key == (containerKey{}) {
		return &named
	}
	name := n.name(ctx, key)
	named.Cgroup.Pod = name.pod
	if name.image != "" {
		container := *who.Cgroup.Container
		container.Image = name.image
		named.Cgroup.Container = &container
	}
	return &named
}

func (n *containerNames) name(ctx context.Context, key containerKey) containerName {
	if name, ok := n.known[key]; ok {
		return name
	}
	ctx, cancel := context.WithTimeout(ctx, containerTimeout)
	defer cancel()
	root := n.root
	job := slots.Job{What: "what a container is", Key: slots.Key{Place: "state of container runtimes"}}
	name, err := slots.Run(ctx, n.slots, job, func(context.Context) (name containerName) {
		name.image = containers.Image(root, key.id)
		if namespace, pod, container := containers.Pod(root, key.pod, key.id); pod != "" {
			name.pod = &tracer.Pod{Namespace: namespace, Name: pod, Container: container}
		}
		return name
	})
	if err != nil {
		return containerName{} // the next one asks again
	}
	if len(n.known) >= maxContainers {
		clear(n.known)
	}
	n.known[key] = name
	return name
}
