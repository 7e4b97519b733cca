package sample

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// FleetHost is one machine of a fleet that Fleet makes.
type FleetHost struct {
	Name    string
	Boot    string
	Journal *journal.Journal
	Start   time.Time
	n       int
}

// NewFleetHost begins a journal for a machine, in a directory of its name, with an inventory.
func NewFleetHost(ctx context.Context, dir, name string, start time.Time) (*FleetHost, error) {
	if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
		return nil, err
	}
	j, err := journal.Open(filepath.Join(dir, name, "journal.db"), nil)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(name + start.String()))
	h := &FleetHost{Name: name, Boot: fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]), Journal: j, Start: start}
	if _, err := j.Append(ctx, journal.Record{ID: h.id("started"), Time: h.now(), Boot: h.Boot, Kind: journal.KindStarted, Body: []byte(`{"schema":1,"text":"kmodtrace began to watch"}`)}); err != nil {
		return nil, err
	}
	var modules []journal.Record
	for _, m := range []string{"ext4", "e1000", "dm_mod", "overlay"} {
		modules = append(modules, journal.Record{ID: h.id("present-" + m), Time: h.now(), Boot: h.Boot, Module: m, Body: []byte(`{"schema":1,"text":"is loaded"}`)})
	}
	_, err = j.AppendInventory(ctx, journal.Record{ID: h.id("inventory"), Time: h.now(), Boot: h.Boot, Body: []byte(`{"schema":1,"text":"all modules that are loaded"}`)}, modules)
	return h, err
}

func (h *FleetHost) now() time.Time { return h.Start.Add(time.Duration(h.n) * time.Second) }

func (h *FleetHost) id(what string) string {
	h.n++
	return fmt.Sprintf("%.8s-%d-%s", h.Boot, h.n, what)
}

// Record makes the record of a load or an unload, as the service would. It is not appended.
func (h *FleetHost) Record(action, module, outcome, user string, content string) (journal.Record, error) {
	one := Loaded()
	one.Module, one.Details.Name, one.Time = module, module, h.now()
	one.Thread.PID = uint32(1000 + h.n)
	one.Actor = LoggedIn("insmod", one.Thread.PID)
	one.Actor.LoginUser = user
	one.Origin = &provenance.Origin{SHA256: provenance.Digest(content)}
	if action == journal.Unload {
		one.Kind, one.Outcome, one.Origin, content = tracer.Unload, tracer.Unloaded, nil, ""
	}
	body, err := jsonline.Marshal(&one)
	if err != nil {
		return journal.Record{}, err
	}
	uid := uint32(0)
	return journal.Record{
		ID: h.id(action), Time: one.Time, Boot: h.Boot, Kind: journal.KindAction, Module: module, Action: action, Outcome: outcome, User: user, UID: &uid,
		File: "/lib/modules/6.12/" + module + ".ko", Content: content, Body: body,
	}, nil
}

// Do appends the record of a load or an unload.
func (h *FleetHost) Do(ctx context.Context, action, module, outcome, user, content string) error {
	r, err := h.Record(action, module, outcome, user, content)
	if err == nil {
		_, err = h.Journal.Append(ctx, r)
	}
	return err
}

// Storm appends n pairs of loads and unloads in batches.
func (h *FleetHost) Storm(ctx context.Context, n int) error {
	for done := 0; done < n; {
		var batch []journal.Record
		for ; done < n && len(batch) < 200; done++ {
			module := fmt.Sprintf("mod%d", done%17)
			content := ContentOf(module)
			for _, step := range [][2]string{{journal.Load, journal.Live}, {journal.Unload, journal.Unloaded}} {
				r, err := h.Record(step[0], module, step[1], "alice", content)
				if err != nil {
					return err
				}
				batch = append(batch, r)
			}
		}
		if _, err := h.Journal.Append(ctx, batch...); err != nil {
			return err
		}
	}
	return nil
}

// ContentOf makes up the SHA-256 of a module's file.
func ContentOf(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
