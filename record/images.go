package record

import (
	"context"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/containers"
	"github.com/kmodtrace/kmodtrace/internal/slots"
	"github.com/kmodtrace/kmodtrace/tracer"
)

const (
	// imageTimeout is how long the files of a container's runtime may take.
	imageTimeout = time.Second
	// maxImages bounds the containers that are remembered.
	maxImages = 1024
)

// images names the images of containers. A container is made from one image for ever, so each is looked for once.
type images struct {
	root  string
	slots *slots.Slots
	known map[string]string // by the container's id; empty where no runtime tells
}

func newImages(root string) *images {
	return &images{root: root, slots: slots.New(slots.Options{Each: 1, Total: 1}), known: make(map[string]string)}
}

// of gives an actor whose container has its image. What the actor belongs to others too: it is not changed but copied.
func (m *images) of(ctx context.Context, who *tracer.Actor) *tracer.Actor {
	if who == nil || who.Cgroup.Container == nil {
		return who
	}
	image := m.image(ctx, who.Cgroup.Container.ID)
	if image == "" {
		return who
	}
	named, container := *who, *who.Cgroup.Container
	container.Image = image
	named.Cgroup.Container = &container
	return &named
}

func (m *images) image(ctx context.Context, id string) string {
	if image, ok := m.known[id]; ok {
		return image
	}
	ctx, cancel := context.WithTimeout(ctx, imageTimeout)
	defer cancel()
	root := m.root
	image, err := slots.Run(ctx, m.slots, slots.Job{What: "the image of a container", Key: slots.Key{Place: "state of container runtimes"}},
		func(context.Context) string { return containers.Image(root, id) })
	if err != nil {
		return "" // the next one asks again
	}
	if len(m.known) >= maxImages {
		clear(m.known)
	}
	m.known[id] = image
	return image
}

// all names those of the actor of an action and of its requesters.
func (m *images) all(ctx context.Context, a *tracer.Action) {
	a.Actor = m.of(ctx, a.Actor)
	for r := &a.Requester; *r != nil; r = &(*r).Requester {
		named := **r
		named.Actor = m.of(ctx, named.Actor)
		*r = &named
	}
}
