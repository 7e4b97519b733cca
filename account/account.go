// Package account gives the whole account of an action: what the kernel's events say of
// it, why it failed, and where its file comes from. It is what every output shows.
//
// It joins what [github.com/kmodtrace/kmodtrace/tracer],
// [github.com/kmodtrace/kmodtrace/cause] and
// [github.com/kmodtrace/kmodtrace/provenance] find out; none of these knows the others'
// consumers.
package account

import (
	"context"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Account is an action with all that was found out about it. As JSON it is what
// docs/schema/action.schema.json describes.
type Account struct {
	cause.Explained
	// Cut says that the journal had to shorten it: texts that end in … were longer, and
	// lists may lack their middle.
	Cut bool `json:"cut,omitempty"`
	// Origin is where the file of a load comes from; nil where there is none.
	Origin *provenance.Origin `json:"origin,omitempty"`
}

// Inquiry finds out what an action does not say itself. It is for one goroutine.
type Inquiry struct {
	causes  *cause.Explainer
	origins *provenance.Lookup
	sites   *tracer.Sites
}

// NewInquiry returns an Inquiry on this machine. A brief one reads no files: it gives no
// hash, no signer and no package.
func NewInquiry(k *kernel.Kernel, brief bool) *Inquiry {
	return &Inquiry{
		causes:  cause.NewExplainer(k, nil),
		origins: provenance.NewLookup(&provenance.Options{Brief: brief}),
		sites:   tracer.NewSites(),
	}
}

// All finds out everything: the origin first, for nobody knows how long a file stays.
func (q *Inquiry) All(ctx context.Context, a *tracer.Action) Account {
	origin := q.Origin(ctx, a)
	t := q.Cause(ctx, a)
	t.Origin = origin
	return t
}

// Cause leaves the origin out.
func (q *Inquiry) Cause(ctx context.Context, a *tracer.Action) Account {
	q.sites.Name(a)
	return Account{Explained: q.causes.Explain(ctx, *a)}
}

// Origin gives where the file of a load comes from; nil where there is none.
func (q *Inquiry) Origin(ctx context.Context, a *tracer.Action) *provenance.Origin {
	return q.origins.Of(ctx, a)
}
