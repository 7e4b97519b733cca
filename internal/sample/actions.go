package sample

import (
	"reflect"
	"time"

	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Events gives an event for each of the payloads that there are, and one of none.
func Events(text string) map[string]*tracer.Event {
	whole := reflect.ValueOf(New[tracer.Event](text)).Elem()
	thread := whole.FieldByName("Thread").Interface().(tracer.Thread)
	all := map[string]*tracer.Event{"nothing": {Thread: thread}}
	for field, value := range whole.Fields() {
		if field.Type.Kind() != reflect.Pointer {
			continue
		}
		e := &tracer.Event{Thread: thread}
		reflect.ValueOf(e).Elem().FieldByIndex(field.Index).Set(value)
		all[field.Name] = e
	}
	return all
}

// Loaded is a load that went well.
func Loaded() record.Record {
	zero := int64(0)
	return record.Record{Action: tracer.Action{
		Kind: tracer.Load, Module: "hello", NameFrom: tracer.NameKernel, Outcome: tracer.Live, Stage: tracer.StageInit,
		Time: time.Date(2026, 1, 2, 14, 3, 22, 0, time.Local), End: time.Second, Took: 3100 * time.Microsecond,
		Thread:     tracer.Thread{PID: 4121, TID: 4121, UID: 4000000001, Comm: "insmod"},
		File:       &tracer.File{Path: "/home/alice/src/hello/hello.ko"},
		Params:     &tracer.Params{Module: "hello", Text: `whom="big world"`},
		Details:    &tracer.Module{Name: "hello", Taints: 1<<12 | 1<<13, Address: 0xffffffffc0801000, Size: 12288},
		Stages:     []tracer.StageTime{{Stage: tracer.StageVerify, Took: 100 * time.Microsecond}, {Stage: tracer.StageInit, After: 100 * time.Microsecond, Took: 3 * time.Millisecond}},
		InitResult: &zero, Messages: []string{"hello: Hello, big world!"},
	}}
}

// Process is a process of a user.
func Process(comm string, pid, uid uint32) tracer.Process {
	p := tracer.Process{Comm: comm, PID: pid, Start: time.Duration(pid), UID: uid, EUID: uid}
	first := tracer.Namespace{ID: 1, Initial: true}
	p.Namespaces = tracer.Namespaces{PID: first, Mount: first, User: first}
	p.User = [...]string{"root", "alice"}[uid]
	return p
}

// LoggedIn is who did something below a login of alice's, through sudo.
func LoggedIn(comm string, pid uint32) *tracer.Actor {
	login := uint32(1)
	a := &tracer.Actor{Process: Process(comm, pid, 0), Args: []string{comm, "x"}, Ancestors: []tracer.Process{
		Process("sudo", 12, 0), Process("bash", 11, 1), Process("sshd", 10, 0), Process("systemd", 1, 0),
	}}
	a.LoginUID, a.LoginUser = &login, "alice"
	return a
}

// Requested is a load that a helper made for ip's sake, and the request.
func Requested() (load, request record.Record) {
	ask := tracer.Request{Name: "rtnl-link-dummy", Meaning: "network link type dummy", Wait: true, Symbol: "rtnl_newlink+0x1"}
	load = Loaded()
	load.Module, load.Params, load.Messages, load.ForRequest = "dummy", nil, nil, 7
	load.Actor = &tracer.Actor{Process: Process("modprobe", 21, 0), Ancestors: []tracer.Process{Process("kworker/u8:0", 20, 0)}}
	load.Thread = tracer.Thread{PID: 21, TID: 21, Comm: "modprobe"}
	load.Requester = &tracer.Requester{ID: 7, Request: ask, Actor: LoggedIn("ip", 13)}
	load.AwaitedBy = []tracer.Requester{{ID: 8, Request: ask, Actor: LoggedIn("ip", 14)}}
	request = load
	request.ID, request.Kind, request.Module, request.Outcome = 7, tracer.Autoload, ask.Name, tracer.Answered
	request.Actor, request.Request = LoggedIn("ip", 13), &ask
	request.ForRequest, request.Requester, request.AwaitedBy, request.File, request.Details = 0, nil, nil, nil, nil
	return load, request
}
