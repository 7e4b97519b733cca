// Command bench measures, on kernels of the lab, what watching modules costs by
// kmodtrace and by what people use today, and what each of them misses, doing the same
// work under each in turn.
//
//	go run ./scripts/bench [--rounds N] [--json FILE] [--page FILE] [--only REGEXP] [--parts REGEXP] [--less N] [--against REV] SERIES...
//	go run ./scripts/bench --from [--page FILE] FILE...      shows what earlier runs wrote by --json
//
// Times under emulation mean little; ratios to the same work without any tracer, of the
// same round, mean something. They are what it prints first.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// options are those that the guest's part has too.
type options struct {
	rounds      int
	less        int
	only, parts string
	against     string // an earlier revision of kmodtrace, which is a contender too; empty for none
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var o options
	flags.IntVar(&o.rounds, "rounds", 5, "do the work so often under each")
	flags.IntVar(&o.less, "less", 1, "make storms and crowds so many times smaller, to try the benchmark itself")
	flags.StringVar(&o.only, "only", "", "only the contenders that match, and none")
	flags.StringVar(&o.parts, "parts", "", "only the parts that match: start, tax, share, loss, latency, growth, profile")
	flags.StringVar(&o.against, "against", "", "compare with kmodtrace of this revision too")
	out := flags.String("json", "", "write each measurement to this file too, a line each")
	page := flags.String("page", "", "put the results into this page")
	from := flags.Bool("from", false, "measure nothing: the arguments are files of --json")
	guest := flags.Bool("guest", false, "be the part inside the guest")
	work := flags.String("work", "", "in the guest: do this work, and print the seconds that one piece took")
	storm := flags.String("storm", "", "in the guest: make this storm, and print what was done")
	n := flags.Int("n", 0, "how large the storm is")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case o.rounds < 1 || o.less < 1:
		return fmt.Errorf("%d rounds, %d times smaller: want at least one", o.rounds, o.less)
	case *work != "":
		return doWork(*work, stdout)
	case *storm != "":
		return doStorm(*storm, *n, stdout)
	case *guest:
		return o.measureAll(ctx, stdout)
	case flags.NArg() == 0:
		return errors.New("no kernels named: want SERIES, as in 6.12")
	}
	measure := func(_ context.Context, name string) ([]byte, error) { return os.ReadFile(name) }
	if !*from {
		self, err := build(ctx)
		if err != nil {
			return err
		}
		if o.against != "" {
			if o.against, err = buildEarlier(ctx, o.against); err != nil {
				return err
			}
		}
		measure = func(ctx context.Context, series string) ([]byte, error) {
			return o.onKernel(ctx, self, series, stderr)
		}
	}
	return show(ctx, flags.Args(), measure, *out, *page, stdout)
}

// show measures on each kernel, on as many at once as there are processors, for a machine
// has one. It prints and keeps the results in order, as far as they come.
func show(ctx context.Context, kernels []string, measure func(context.Context, string) ([]byte, error), out, page string, stdout io.Writer) error {
	type result struct {
		lines []byte
		err   error
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	results := make([]chan result, len(kernels))
	free := make(chan struct{}, runtime.NumCPU())
	for i, k := range kernels {
		results[i] = make(chan result, 1)
		running.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			lines, err := measure(ctx, k)
			results[i] <- result{lines, err}
		})
	}
	var all bytes.Buffer
	var reports []report
	for i, k := range kernels {
		got := <-results[i]
		all.Write(got.lines)
		if out != "" {
			if err := os.WriteFile(out, all.Bytes(), 0o644); err != nil {
				return err
			}
		}
		if got.err != nil {
			return fmt.Errorf("%s: %w", k, got.err)
		}
		r, err := newReport(ctx, got.lines)
		if err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
		reports = append(reports, r)
		if _, err := io.WriteString(stdout, r.text()); err != nil {
			return err
		}
	}
	if page == "" {
		return nil
	}
	return putInto(page, reports)
}
