// Package record joins all that is known of an action: what the kernel's events say of
// it, why it failed, and where its file comes from. It is what every output shows.
//
// It joins what [github.com/kmodtrace/kmodtrace/tracer],
// [github.com/kmodtrace/kmodtrace/cause] and
// [github.com/kmodtrace/kmodtrace/provenance] find out; none of these knows the others'
// consumers.
package record

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/oops"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Record is an action with all that was found out about it. As JSON it is what
// docs/schema/action.schema.json describes.
type Record struct {
	tracer.Action
	// Cause is why it failed; nil where it did not.
	Cause *cause.Cause `json:"cause,omitempty"`
	// Warnings are what went wrong without making it fail.
	Warnings []cause.Cause `json:"warnings,omitempty"`
	// Reports are the kernel's own on what went wrong meanwhile: warnings, oopses, backtraces. Their
	// lines are among Messages.
	Reports []oops.Report `json:"kernel_reports,omitempty"`
	// NotLookedUp says why nobody looked for its cause and its origin; empty where somebody
	// did.
	NotLookedUp string `json:"not_looked_up,omitempty"`
	// Cut says that the journal had to shorten it: texts that end in … were longer, and
	// lists may lack their middle.
	Cut bool `json:"cut,omitempty"`
	// Origin is where the file of a load comes from; nil where there is none.
	Origin *provenance.Origin `json:"origin,omitempty"`
	// Copy tells whether a copy of what was loaded is kept; nil where none was wanted.
	Copy *Copy `json:"copy,omitempty"`
}

// Copy tells whether the contents of a load are kept.
type Copy struct {
	Kept bool `json:"kept"`
	// Why says why they are not, or why they are not of the file.
	Why string `json:"why,omitempty"`
	// From says what is kept: empty for the file's bytes, whose SHA-256 is the origin's.
	From CopySource `json:"from,omitempty"`
	// SHA256 is of what is kept, where that is not the file.
	SHA256 provenance.Digest `json:"sha256,omitempty"`
}

// CopySource is what a copy is of.
type CopySource string

// FromKernel is a copy of the bytes that the kernel made the module of: decompressed where the
// kernel does that, while the file was compressed.
const FromKernel CopySource = "kernel"

// Content is the SHA-256 of what was loaded: of its file, or else of the kernel's own bytes. It is
// empty where neither is known.
func (r *Record) Content() provenance.Digest {
	switch {
	case r.Origin != nil && r.Origin.SHA256 != "":
		return r.Origin.SHA256
	case r.Copy != nil:
		return r.Copy.SHA256
	default:
		return ""
	}
}

// CopySum is the SHA-256 by which the copy of a record is kept; empty where none is.
func (r *Record) CopySum() provenance.Digest {
	switch {
	case r.Copy == nil || !r.Copy.Kept:
		return ""
	case r.Copy.From == FromKernel || r.Origin == nil:
		return r.Copy.SHA256
	default:
		return r.Origin.SHA256
	}
}

// Keep keeps the contents of a record's load, where it wants them. contents writes those of its file, or errs where they cannot be
// read as the kernel had them; where it errs, somebody may still be writing. There is no file where the record has no Origin. It
// gives nil for what it does not want.
type Keep func(ctx context.Context, r *Record, contents func(ctx context.Context, to io.Writer) error) *Copy

// New makes a record of what an action says itself.
func New(a *tracer.Action) Record {
	r := Record{Action: *a}
	r.readReports()
	return r
}

// Inquiry finds out what an action does not say itself. It is for one goroutine, Health,
// Hung and Refused excepted.
type Inquiry struct {
	kernel  *kernel.Kernel
	causes  *cause.Explainer
	origins *provenance.Lookup
	names   *containerNames // nil for a brief one
	// Keep keeps contents of files; nil for none. It may be set before the first question.
	Keep Keep
}

// Within is how long [Inquiry.All] of an Inquiry by [NewInquiry] may take to look things up,
// whatever the file systems do that it asks: what has had no answer by then is left behind,
// and said.
const Within = provenance.DefaultTimeout + cause.DefaultTimeout + containerTimeout

// NewInquiry returns an Inquiry on this machine. A brief one reads no files: it gives no
// hash, no signer and no package, and the origins say so.
func NewInquiry(k *kernel.Kernel, brief bool) *Inquiry { return newInquiry(k, brief, 0) }

// Patience is how long somebody waits to be told why, who has nothing else waiting.
const Patience = time.Minute

// NewPatientInquiry is NewInquiry for a command whose user waits for what it says, and behind
// whom nothing waits to be recorded: facts about the kernel may take a minute, as on machines that
// are emulated. Files have no more time than ever.
func NewPatientInquiry(k *kernel.Kernel, brief bool) *Inquiry { return newInquiry(k, brief, Patience) }

func newInquiry(k *kernel.Kernel, brief bool, within time.Duration) *Inquiry {
	origins := provenance.NewLookup(&provenance.Options{Brief: brief})
	q := &Inquiry{
		kernel:  k,
		causes:  cause.NewExplainer(k, &cause.Options{Lookup: origins, Timeout: within}),
		origins: origins,
	}
	if !brief {
		q.names = newContainerNames("/")
	}
	return q
}

// All finds out everything: the origin first, because a file may go at any time. The
// file is found once, for the origin and for the cause. It takes no longer than [Within],
// and what this machine needs to compute.
func (q *Inquiry) All(ctx context.Context, a *tracer.Action) Record {
	file := q.origins.Find(a)
	defer file.Close()
	origin := file.Origin(ctx)
	if origin != nil && !origin.InTree && a.Module != "" {
		origin.InPlaceOf = q.kernel.FileOf(a.Module)
	}
	e := q.causes.ExplainFile(ctx, *a, file)
	r := New(a)
	r.Cause, r.Warnings, r.Origin = e.Cause, e.Warnings, origin
	r.nameLines(ctx, file)
	if q.names != nil {
		q.names.all(ctx, &r.Action)
	}
	if q.Keep != nil && r.Kind == tracer.Load {
		r.Copy = q.Keep(ctx, &r, file.CopyTo)
	}
	return r
}

// Cause leaves the origin out.
func (q *Inquiry) Cause(ctx context.Context, a *tracer.Action) Record {
	e := q.causes.Explain(ctx, *a)
	r := New(a)
	r.Cause, r.Warnings = e.Cause, e.Warnings
	return r
}

// Origin gives where the file of a load comes from; nil where there is none.
func (q *Inquiry) Origin(ctx context.Context, a *tracer.Action) *provenance.Origin {
	return q.origins.Of(ctx, a)
}

// Hung gives the lookups that have had no answer and still wait for one, those of origins
// first.
func (q *Inquiry) Hung() []provenance.Hung {
	hung := append(q.origins.Hung(), q.causes.Hung()...)
	if q.names != nil {
		hung = append(hung, q.names.slots.Hung()...)
	}
	return hung
}

// Refused counts the requests whose causes are unknown because too many wanted to ask
// modprobe.
func (q *Inquiry) Refused() uint64 { return q.kernel.Refused() }

// Health errs while lookups hang: further ones of the same user and place are left out when
// there are several. It says how many there are, and what the oldest is.
func (q *Inquiry) Health() error {
	hung := q.Hung()
	if len(hung) == 0 {
		return nil
	}
	oldest := slices.MinFunc(hung, func(a, b provenance.Hung) int { return a.Since.Compare(b.Since) })
	return &HungError{Count: len(hung), Oldest: oldest}
}

// HungError says that lookups hang.
type HungError struct {
	Count  int
	Oldest provenance.Hung
}

func (e *HungError) Error() string {
	return fmt.Sprintf("lookups without an answer: %d; the oldest waits since %s for %s (%s)",
		e.Count, e.Oldest.Since.UTC().Format(time.RFC3339), e.Oldest.What, e.Oldest.Key)
}
