package tracer

import (
	"slices"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/modname"
)

// add writes what e states into a.
func add(a *Action, e Event) {
	if !slices.Contains(a.Seen, e.Kind) {
		a.Seen = append(a.Seen, e.Kind)
	}
	switch e.Kind {
	case KindEnter:
		addEnter(a, e.Enter)
	case KindFile:
		addFile(a, e.File)
	case KindImage:
		a.Image = e.Image
	case KindDenied:
		a.Denial = e.Denial
	case KindLookup:
		// A load that finds another of its name waits and looks again: the first
		// is the one that tells what was in its way.
		if a.Lookup == nil || !a.Lookup.Found {
			a.Lookup = e.Lookup
		}
		name(a, e.Lookup.Name, NameKernel)
	case KindStage:
		addStage(a, e.Step.Stage, e.Time)
	case KindParams:
		a.Params = e.Params
		name(a, e.Params.Module, NameKernel)
	case KindModuleLoad, KindInit, KindFree, KindModuleFree:
		a.Details = e.Module
		name(a, e.Module.Name, NameKernel)
		if a.freed == 0 && (e.Kind == KindFree || e.Kind == KindModuleFree) {
			a.freed = e.Time
		}
	case KindInitcall:
		a.InitResult = &e.Return.Value
	case KindInitReturn:
		closeStage(a, e.Time)
		a.lastReturn = &initReturn{at: e.Time, value: e.Return.Value}
	case KindCallback:
		a.Callbacks = append(a.Callbacks, *e.Callback)
	case KindDirectory:
		a.lineage.directory = e.Directory
	case KindMessage:
		addMessage(a, e.Message, e.Time)
	}
}

func addEnter(a *Action, call *Enter) {
	a.Call = call
	if call.Call == DeleteModule {
		a.Kind = Unload
		name(a, call.Text, NameClaimed)
	}
}

// addFile prefers the kernel's own file to the claimed one.
func addFile(a *Action, f *File) {
	if a.File == nil || a.File.Claimed {
		a.File = f
		name(a, moduleOfPath(f.Path), NameFile)
	}
}

func addStage(a *Action, s Stage, at time.Duration) {
	closeStage(a, at)
	a.Stage = s
	a.Stages = append(a.Stages, StageTime{Stage: s, After: at - a.Start})
}

// closeStage ends the stage that is open, if any.
func closeStage(a *Action, at time.Duration) {
	if n := len(a.Stages); n > 0 && a.Stages[n-1].Took == 0 {
		s := &a.Stages[n-1]
		s.Took = at - a.Start - s.After
	}
}

// addMessage takes a message at the time at which it began: the rest of its line
// replaces the text, and not the time.
func addMessage(a *Action, m *Message, at time.Duration) {
	n := len(a.Messages)
	switch {
	case n > 0 && m.Record != 0 && m.Record == a.lastRecord:
		a.Messages[n-1] = m.Text
	case n == maxMessages || a.messageBytes+len(m.Text) > maxMessageBytes:
		a.MessagesDropped++
	default:
		a.Messages = append(a.Messages, m.Text)
		a.MessageTimes = append(a.MessageTimes, at-a.Start)
		addLevel(a, m.Level)
		a.messageBytes += len(m.Text)
	}
	a.lastRecord = m.Record
}

// addLevel keeps the level of the last message. While none is known there is no list.
func addLevel(a *Action, l Level) {
	if l == LevelUnknown && a.MessageLevels == nil {
		return
	}
	for len(a.MessageLevels) < len(a.Messages)-1 {
		a.MessageLevels = append(a.MessageLevels, LevelUnknown)
	}
	a.MessageLevels = append(a.MessageLevels, l)
}

// name keeps the best name: sources are numbered best first.
func name(a *Action, text string, from NameSource) {
	if text == "" || a.NameFrom != NameUnknown && a.NameFrom < from {
		return
	}
	a.Module, a.NameFrom = text, from
}

// moduleOfPath is the name that a module in such a file has by convention, and empty for
// any other file.
func moduleOfPath(file string) string {
	if name, ok := modname.OfFile(file); ok {
		return name
	}
	return ""
}
