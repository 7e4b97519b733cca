package jsonline

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestMarshal(t *testing.T) {
	for _, test := range []struct {
		v    any
		want string
	}{
		{struct{}{}, `{"schema":1}`},
		{map[string]string{"text": "<&>"}, `{"schema":1,"text":"<&>"}`},
		{[]map[string]int{{"a": 1}, {}}, `[{"schema":1,"a":1},{"schema":1}]`},
		{[]int{}, `[]`},
		{"text", `"text"`},
		{map[string]any{"inner": Object{map[string]int{"a": 1}}}, `{"schema":1,"inner":{"schema":1,"a":1}}`},
	} {
		if got, err := Marshal(test.v); err != nil || string(got) != test.want {
			t.Errorf("%s, %v; want %s", got, err, test.want)
		}
	}
	if text, err := Marshal(make(chan int)); err == nil {
		t.Errorf("a channel became %s", text)
	}
	if got, err := MarshalIndent(map[string]int{"a": 1}); err != nil || string(got) != "{\n  \"schema\": 1,\n  \"a\": 1\n}" {
		t.Errorf("%s, %v", got, err)
	}
}

// TestUpgrade: what version 0 had as numbers becomes strings, to the last digit, and only that.
func TestUpgrade(t *testing.T) {
	for old, want := range map[string]string{
		`{}`: `{"schema":1}`,
		`{"id":18446744073709551615,"action":"load","pid":7,"took_ns":5}`:           `{"schema":1,"action":"load","id":"18446744073709551615","pid":7,"took_ns":5}`,
		`{"actions":[{"id":9007199254740993,"loads":[9007199254740993,2]}]}`:        `{"schema":1,"actions":[{"id":"9007199254740993","loads":["9007199254740993","2"]}]}`,
		`{"namespaces":{"pid":{"id":4026531836,"initial":true}}}`:                   `{"schema":1,"namespaces":{"pid":{"id":4026531836,"initial":true}}}`,
		`{"cgroup":{"id":7,"path":"/"},"container":{"id":"ab"}}`:                    `{"schema":1,"cgroup":{"id":"7","path":"/"},"container":{"id":"ab"}}`,
		`{"call":{"call":"init_module","compat":false,"size":1},"file":{"size":1}}`: `{"schema":1,"call":{"call":"init_module","compat":false,"size":"1"},"file":{"size":1}}`,
		`{"event":"kin","boottime_ns":1,"kin":{"of":2,"process":{"untold":true}}}`:  `{"schema":1,"ancestor":{"of":"2","process":{"incomplete":true}},"boottime_ns":"1","event":"ancestor"}`,
		`{"seen":["enter","kin"],"messages":["kin"],"comm":"kin"}`:                  `{"schema":1,"comm":"kin","messages":["kin"],"seen":["enter","ancestor"]}`,
		`{"file":{"inode":3,"change_time_ns":-1}}`:                                  `{"schema":1,"file":{"change_time_ns":"-1","inode":"3"}}`,
	} {
		got, err := Upgrade([]byte(old))
		if err != nil || string(got) != want {
			t.Errorf("%s became\n%s, %v; want\n%s", old, got, err, want)
		}
		if again, err := Upgrade(got); err != nil || string(again) != want {
			t.Errorf("a second time it became %s, %v", again, err)
		}
	}
}

// TestUpgradeStays: an object of this version stays as it is, wherever its version stands.
func TestUpgradeStays(t *testing.T) {
	for _, text := range []string{`{"schema":1}`, `{"schema":1,"id":"1"}`, `{"id":7,"schema":1,"untold":1}`} {
		if got, err := Upgrade([]byte(text)); err != nil || string(got) != text {
			t.Errorf("%s became %s, %v", text, got, err)
		}
	}
}

func TestUpgradeRefuses(t *testing.T) {
	for _, text := range []string{`{"schema":2}`, `{"schema":10,"id":"1"}`, `{"schema":-1}`} {
		var e *VersionError
		if got, err := Upgrade([]byte(text)); !errors.As(err, &e) {
			t.Errorf("%s became %s, %v", text, got, err)
		}
	}
	for _, text := range []string{``, `{`, `[]`, `"x"`, `{"schema":"1"}`} {
		if got, err := Upgrade([]byte(text)); err == nil {
			t.Errorf("%q became %s", text, got)
		}
	}
}

func TestUnmarshal(t *testing.T) {
	var v struct {
		ID uint64 `json:"id,string"`
	}
	for _, text := range []string{`{"id":7}`, `{"schema":1,"id":"7"}`} {
		if v.ID = 0; Unmarshal([]byte(text), &v) != nil || v.ID != 7 {
			t.Errorf("%s: %d", text, v.ID)
		}
	}
	if err := Unmarshal([]byte(`{"schema":2,"id":"7"}`), &v); err == nil {
		t.Error("a later version was read")
	}
}

func FuzzUpgrade(f *testing.F) {
	f.Add([]byte(`{"id":1,"kin":{},"seen":["kin",null],"loads":[1,[2]]}`))
	f.Add([]byte(`{"schema":1,"id":"1"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Upgrade(text)
		if err == nil && json.Valid(text) && !json.Valid(got) {
			t.Errorf("%q became %q", text, got)
		}
	})
}
