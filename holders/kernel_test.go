package holders

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// TestNetlinkDamaged: what is cut off or has a length that cannot be is left out.
func TestNetlinkDamaged(t *testing.T) {
	message := func(size uint32, payload string) []byte {
		m := binary.NativeEndian.AppendUint32(nil, size)
		return append(append(binary.NativeEndian.AppendUint16(m, 7), make([]byte, 10)...), payload...)
	}
	for name, test := range map[string]struct {
		data []byte
		want []string
	}{
		"nothing":       {nil, nil},
		"two":           {append(message(18, "ab\x00\x00"), message(17, "c")...), []string{"ab", "c"}},
		"too short":     {message(15, "abcd"), nil},
		"too long":      {message(21, "abcd"), nil},
		"no room":       {make([]byte, 15), nil},
		"no end":        {message(0, "abcd"), nil},
		"padding, none": {message(17, "a"), []string{"a"}},
	} {
		var got []string
		for _, payload := range netlinkMessages(test.data) {
			got = append(got, string(payload))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	for _, data := range [][]byte{nil, {1}, {3, 0, 1, 0}, {9, 0, 1, 0, 'x'}, {0, 0, 0, 0, 0, 0, 0, 0}} {
		if value := attribute(data, 1); value != nil {
			t.Errorf("attribute of %v: %v", data, value)
		}
	}
	if value := attribute(append(netlinkAttribute(2, []byte("no")), netlinkAttribute(1|1<<15, []byte("yes"))...), 1); string(value) != "yes" {
		t.Errorf("nested attribute: %q", value)
	}
}

// TestMapperDamaged: lists of the device mapper that end early, or point backwards or out.
func TestMapperDamaged(t *testing.T) {
	entry := func(device uint64, next uint32, name string) []byte {
		e := binary.NativeEndian.AppendUint64(nil, device)
		return append(append(binary.NativeEndian.AppendUint32(e, next), name...), make([]byte, 12-len(name))...)
	}
	for _, test := range []struct {
		list []byte
		want string
	}{
		{nil, ""}, {make([]byte, 300), ""}, {entry(1, 0, "a")[:12], ""},
		{entry(1, 0, "a"), "a"},
		{append(entry(1, 24, "a"), entry(2, 0, "b")...), "a b"},
		{entry(1, 4, "a"), "a"}, {entry(1, 1<<30, "a"), "a"},
	} {
		if got := strings.Join(mapperNames(test.list), " "); got != test.want {
			t.Errorf("%v: %q, want %q", test.list, got, test.want)
		}
	}
	target := func(next uint32, name string) []byte {
		s := binary.NativeEndian.AppendUint32(make([]byte, 20), next)
		return append(append(s, name...), make([]byte, 16-len(name))...)
	}
	for _, test := range []struct {
		status []byte
		want   string
	}{
		{nil, ""}, {make([]byte, 39), ""}, {target(0, "zero"), "zero"},
		{append(target(40, "zero"), target(20, "linear")...), "zero linear"},
		{append(target(1<<30, "zero"), target(0, "linear")...), "zero"},
	} {
		if got := strings.Join(mapperTargets(test.status), " "); got != test.want {
			t.Errorf("%v: %q, want %q", test.status, got, test.want)
		}
	}
}

// TestXtablesDamaged: entries whose offsets point backwards, out or into their own head name nobody,
// and end the walk.
func TestXtablesDamaged(t *testing.T) {
	x := xtablesFamilies()[0]
	entry := func(target, next uint16, match, name string) []byte {
		e := make([]byte, 112+32+40)
		binary.NativeEndian.PutUint16(e[88:], target)
		binary.NativeEndian.PutUint16(e[90:], next)
		binary.NativeEndian.PutUint16(e[112:], 32)
		copy(e[114:], match)
		copy(e[112+32+2:], name)
		return e
	}
	whole := entry(144, 184, "comment", "LOG")
	endless := entry(144, 184, "x", "LOG")
	binary.NativeEndian.PutUint16(endless[112:], 0)
	s := &textSources{root: t.TempDir(), module: "xt_comment"}
	info := &xtInfo{ValidHooks: 1 << 1}
	for name, test := range map[string]struct {
		entries []byte
		want    int
	}{
		"whole":          {whole, 1},
		"twice":          {append(slices.Clone(whole), whole...), 2},
		"nothing":        {nil, 0},
		"cut":            {whole[:183], 0},
		"no target":      {entry(0, 184, "comment", ""), 0},
		"target outside": {entry(170, 184, "comment", ""), 0},
		"no next":        {entry(144, 0, "comment", ""), 0},
		"next outside":   {entry(144, 1<<15, "comment", ""), 0},
		"endless match":  {endless, 0},
	} {
		n := 0
		for _, u := range s.xtablesUsers(&x, "filter", info, test.entries) {
			n += u.Count
			if u.On != "filter INPUT" || test.want == 1 && u.LetGo != "iptables-legacy -t filter -D INPUT 1" || test.want == 2 && u.LetGo != "" {
				t.Errorf("%s: %+v", name, u)
			}
		}
		if n != test.want {
			t.Errorf("%s: %d rules, want %d", name, n, test.want)
		}
	}
}

// TestShellWord: what is not plain is quoted, whatever it is.
func TestShellWord(t *testing.T) {
	for word, want := range map[string]string{
		"": "''", "lo": "lo", "/run/netns/a b": "'/run/netns/a b'", "x;reboot": "'x;reboot'", "it's": `'it'\''s'`, "$(id)": "'$(id)'", "\xff": `'\xff'`,
	} {
		if got := shellWord(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}
