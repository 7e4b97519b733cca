package main

import (
	"context"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// inquiry finds out what an action does not say itself. It is for one goroutine.
type inquiry struct {
	causes  *cause.Explainer
	origins *provenance.Lookup
	sites   *tracer.Sites
}

// newInquiry returns an inquiry on this machine. A brief one reads no files: text has
// no room for what that finds.
func newInquiry(k *kernel.Kernel, brief bool) *inquiry {
	return &inquiry{
		causes:  cause.NewExplainer(k, nil),
		origins: provenance.NewLookup(&provenance.Options{Brief: brief}),
		sites:   tracer.NewSites(),
	}
}

// all finds out everything: the origin first, for nobody knows how long a file stays.
func (q *inquiry) all(ctx context.Context, a *tracer.Action) traced {
	origin := q.origins.Of(ctx, a)
	t := q.cause(ctx, a)
	t.Origin = origin
	return t
}

// cause leaves the origin out.
func (q *inquiry) cause(ctx context.Context, a *tracer.Action) traced {
	q.sites.Name(a)
	return traced{Explained: q.causes.Explain(ctx, *a)}
}
