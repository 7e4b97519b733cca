package doctor

import (
	"context"
	"errors"
	"testing"

	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
)

func TestListCheck(t *testing.T) {
	hidden := kernel.HiddenFile{Path: "/m/a.ko", Taken: "/m/updates/a.ko"}
	later := hidden
	later.Later = true
	for name, test := range map[string]struct {
		tree kernel.Tree
		have Have
		note string
	}{
		"as it should be": {have: yes},
		"gone":            {kernel.Tree{Gone: []string{"/m/a.ko"}}, no, "it is stale: it lists /m/a.ko, not there any more: run depmod -a as root (kmodtrace explain depmod-stale)"},
		"both": {
			kernel.Tree{Gone: []string{"/m/a.ko", "/m/b.ko"}, Unlisted: []string{"/m/c.ko", "/m/d.ko", "/m/e.ko"}}, no,
			"it is stale: it lists /m/a.ko and 1 more, not there any more; it does not list /m/c.ko and 2 more: run depmod -a as root (kmodtrace explain depmod-stale)",
		},
		"hidden":        {kernel.Tree{Hidden: []kernel.HiddenFile{hidden}}, yes, "modprobe takes /m/updates/a.ko, and not /m/a.ko (kmodtrace explain file-hidden)"},
		"hidden, later": {kernel.Tree{Hidden: []kernel.HiddenFile{later}}, yes, "modprobe takes /m/updates/a.ko, and not /m/a.ko, which was put there after depmod ran (kmodtrace explain file-hidden)"},
		"no list":       {kernel.Tree{NoList: true, Unlisted: []string{"/m/a.ko", "/m/b.ko"}}, no, "there is none, and modprobe does not find /m/a.ko and 1 more: run depmod -a as root (kmodtrace explain depmod-stale)"},
		"no index":      {kernel.Tree{Broken: []kernel.BrokenIndex{{List: "/m/modules.dep", Index: "/m/modules.dep.bin", Why: "is empty"}}}, no, "modprobe's index /m/modules.dep.bin is empty: run depmod -a as root (kmodtrace explain depmod-stale)"},
		"too many":      {kernel.Tree{Partial: true}, yes, "there are more files than were looked at"},
	} {
		if c := listCheck(&test.tree, nil); c.Have != test.have || c.Note != test.note {
			t.Errorf("%s: %+v", name, c)
		}
	}
	want := check{Name: "modules.dep", Have: Unknown, Note: "two lines"}
	if tracer.HaveModules() != nil {
		want.Have, want.Note = yes, "this kernel has no modules"
	}
	if c := listCheck(nil, errors.New("two\nlines")); c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
}

func TestConfigurationCheck(t *testing.T) {
	line := kernel.Ineffective{Place: "/f:1", Text: "blacklist x", Why: "x is loaded all the same"}
	const says = `/f:1 says "blacklist x": x is loaded all the same`
	for name, test := range map[string]struct {
		found []kernel.Ineffective
		err   error
		have  Have
		note  string
	}{
		"as it should be": {have: yes},
		"one":             {[]kernel.Ineffective{line}, nil, no, says + " (kmodtrace explain config-ignored)"},
		"six":             {[]kernel.Ineffective{line, line, line, line, line, line}, nil, no, says + "; " + says + "; " + says + "; " + says + "; and 2 more (kmodtrace explain config-ignored)"},
		"one, late":       {[]kernel.Ineffective{line}, context.DeadlineExceeded, no, says + " (kmodtrace explain config-ignored)"},
		"late":            {nil, context.DeadlineExceeded, Unknown, "modprobe did not answer in time"},
		"no kernel":       {nil, errors.New("two\nlines"), Unknown, "two lines"},
	} {
		if c := configurationCheck(test.found, test.err); c.Have != test.have || c.Note != test.note {
			t.Errorf("%s: %+v", name, c)
		}
	}
}
