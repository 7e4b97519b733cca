package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kmod"
)

func TestIsFrom(t *testing.T) {
	file := func(id, source string) *kmod.File {
		return &kmod.File{BuildID: id, Fields: []kmod.Field{{Key: "srcversion", Value: source}}}
	}
	for name, c := range map[string]struct {
		m    kmod.Module
		f    *kmod.File
		want bool
	}{
		"same":             {kmod.Module{BuildID: "ab", SrcVersion: "1"}, file("ab", "1"), true},
		"rebuilt":          {kmod.Module{BuildID: "ab", SrcVersion: "1"}, file("cd", "1"), false},
		"no id, same":      {kmod.Module{SrcVersion: "1"}, file("", "1"), true},
		"no id, other":     {kmod.Module{SrcVersion: "1"}, file("", "2"), false},
		"nothing known":    {kmod.Module{}, file("", ""), false},
		"only one has one": {kmod.Module{SrcVersion: "1"}, file("ab", "1"), false},
	} {
		if got := isFrom(&c.m, c.f); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestValueOf(t *testing.T) {
	params := kmod.Params{"a=1", "b", "a=2", "ab=3"}
	for name, want := range map[string]string{"a": "a=2", "b": "b", "ab": "ab=3", "c": "", "": ""} {
		if got := valueOf(params, name); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}

// What a reload did not do well is said, with the status that fits.
func TestReloadFailure(t *testing.T) {
	part := func(v verdict, why string) *result {
		r := newResult("load", "x.ko")
		r.set(v, &kmod.Error{Op: "load", Module: "x", Err: errors.New(why)})
		return r
	}
	good := newResult("unload", "x")
	for name, c := range map[string]struct {
		r      reload
		status int
		notes  string
	}{
		"replaced":      {reload{InKernel: newCopy, Unload: good, Load: good, WayBack: "/x", replaced: true}, exitOK, ""},
		"back":          {reload{InKernel: oldCopy, Unload: good, Load: part(refused, "no"), Restore: good, WayBack: "/x", replaced: true}, exitRefused, ""},
		"gone":          {reload{InKernel: noCopy, Unload: good, Load: part(refused, "no"), replaced: true}, exitUnconfirmed, "no way back"},
		"gone for ever": {reload{InKernel: noCopy, Unload: good, Load: part(refused, "no"), Restore: part(refused, "no"), WayBack: "/x", replaced: true}, exitUnconfirmed, ""},
		"in use":        {reload{InKernel: oldCopy, Unload: part(refused, "in use"), WayBack: "/x", replaced: true}, exitRefused, ""},
		"not known":     {reload{InKernel: unknownCopy, Unload: part(unconfirmed, "hm"), WayBack: "/x", replaced: true}, exitUnconfirmed, ""},
		"first":         {reload{InKernel: noCopy, Load: part(refused, "no")}, exitRefused, ""},
		"unfit":         {reload{InKernel: oldCopy, Check: &cause.Verdict{Cause: &cause.Cause{Code: cause.NotELF}}, replaced: true}, exitRefused, ""},
		"params":        {reload{InKernel: newCopy, Load: good, WayBack: "/x", Hidden: []string{"a"}, Gone: []string{"b"}, replaced: true}, exitOK, "has no parameter b"},
	} {
		c.r.Module = "x"
		if got := statusOf(c.r.failure()); got != c.status {
			t.Errorf("%s: status %d, want %d", name, got, c.status)
		}
		if got := strings.Join(c.r.notes(), "\n"); !strings.Contains(got, c.notes) || c.notes == "" && got != "" {
			t.Errorf("%s: it notes %q", name, got)
		}
	}
}
