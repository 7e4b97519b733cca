// Command fleet makes twenty simulated machines with real journals, and sends their records to a
// VictoriaLogs as kmodtrace serve does. One of the machines has a module that no other has, one is
// a copy of another with its machine-id, and of one some records never arrive.
//
//	fleet --directory DIR --endpoint http://127.0.0.1:9428/insert/opentelemetry/v1/logs
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/output"
	"github.com/kmodtrace/kmodtrace/record"
)

const machines = 20

func main() {
	dir := flag.String("directory", "", "write the journals below `DIR`")
	endpoint := flag.String("endpoint", "", "send the records to this `URL`")
	flag.Parse()
	if err := run(context.Background(), *dir, *endpoint); err != nil {
		fmt.Fprintf(os.Stderr, "fleet: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, endpoint string) error {
	for i := range machines {
		if err := machine(ctx, dir, endpoint, i); err != nil {
			return fmt.Errorf("machine %d: %w", i, err)
		}
	}
	return nil
}

func machine(ctx context.Context, dir, endpoint string, i int) error {
	name := fmt.Sprintf("web%02d", i+1)
	h, err := sample.NewFleetHost(ctx, dir, name, time.Now().Add(-2*time.Hour))
	if err != nil {
		return err
	}
	defer h.Journal.Close()
	if err := h.Storm(ctx, 50); err != nil {
		return err
	}
	if err := h.Do(ctx, journal.Load, "wireguard", journal.Live, "root", sample.ContentOf("wireguard")); err != nil {
		return err
	}
	id := i
	switch i {
	case 6:
		err = h.Do(ctx, journal.Load, "rootkit", journal.Live, "mallory", sample.ContentOf("rootkit"))
	case 12:
		id = 11 // a copy, which was given no machine-id of its own
	}
	if err != nil {
		return err
	}
	lost := func(seq int64) bool { return i == 3 && seq >= 40 && seq <= 44 }
	return send(ctx, endpoint, h, fmt.Sprintf("%032x", id+1), lost)
}

// send sends the records of a journal, but for those that get lost.
func send(ctx context.Context, endpoint string, h *sample.FleetHost, id string, lost func(int64) bool) error {
	o, err := output.Config{Type: "otlp", Endpoint: endpoint}.Open(output.Surroundings{Journal: h.Journal.Name(), Host: &output.Host{ID: id, Name: h.Name, Kernel: "6.12.0-1-amd64"}})
	if err != nil {
		return err
	}
	defer o.Close()
	records, err := h.Journal.ReadFrom(ctx, 1, 1000)
	if err != nil {
		return err
	}
	var entries []output.Entry
	for _, r := range records {
		if lost(r.Seq) {
			continue
		}
		e := output.Entry{Record: r, Text: filepath.Base(h.Name) + ": " + string(r.Kind) + " " + r.Module}
		if r.Kind == journal.KindAction {
			if e.Known, err = record.Parse(r.Body); err != nil {
				return err
			}
		}
		entries = append(entries, e)
	}
	return o.Send(ctx, entries)
}
