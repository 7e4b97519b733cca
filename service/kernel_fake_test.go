package service

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// quietKernel is a kernel in which nothing happens but what a test sets.
type quietKernel struct {
	mu        sync.Mutex
	loss      tracer.Loss
	folded    []tracer.Folded
	disturbed []tracer.Disturbance
	backlog   int
	untested  error // what a self-test finds
	images    map[tracer.ID][]byte
}

func (*quietKernel) ActionsPending(ctx context.Context, _ time.Duration) iter.Seq2[tracer.Action, error] {
	return func(func(tracer.Action, error) bool) { <-ctx.Done() }
}

func (k *quietKernel) set(f func(*quietKernel)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(k)
}

func (k *quietKernel) Backlog() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.backlog
}

func (k *quietKernel) Loss() (tracer.Loss, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.loss, nil
}

func (k *quietKernel) Folded() ([]tracer.Folded, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.folded, nil
}

func (k *quietKernel) Disturbances() []tracer.Disturbance {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.disturbed
}

func (k *quietKernel) Image(id tracer.ID) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if image, ok := k.images[id]; ok {
		return image, nil
	}
	return nil, fmt.Errorf("%w: none of them arrived", tracer.ErrNoImage)
}

func (k *quietKernel) DropImage(id tracer.ID) { k.set(func(k *quietKernel) { delete(k.images, id) }) }

func (k *quietKernel) SelfTest(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.untested
}

func (*quietKernel) Coverage() tracer.Coverage { return tracer.Coverage{} }
func (*quietKernel) Close() error              { return nil }
