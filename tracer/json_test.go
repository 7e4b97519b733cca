package tracer

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// fill sets every field of a value, each differently, and enums to one of theirs.
func fill(v reflect.Value, n *int) {
	*n++
	switch at := v.Addr().Interface().(type) {
	case *time.Time:
		*at = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
		return
	case *Kind:
		*at = KindMessage
		return
	case *Call:
		*at = DeleteModule
		return
	case *Stage:
		*at = StageParams
		return
	case *Level:
		*at = LevelErr
		return
	case *Door:
		*at = LoadData
		return
	case *State:
		*at = StateGoing
		return
	case *Taints:
		*at = 1<<12 | 1<<63
		return
	case *ActionKind:
		*at = Unload
		return
	case *Outcome:
		*at = Failed
		return
	case *NameSource:
		*at = NameFile
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Struct:
		for i := range v.NumField() {
			endless := v.Field(i).Type() == reflect.PointerTo(v.Type())
			if v.Field(i).CanSet() && !endless {
				fill(v.Field(i), n)
			}
		}
	case reflect.String:
		v.SetString("a\x1b\"\\\u2028<ü>" + string(rune('a'+*n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(-*n % 100))
	case reflect.Uint64, reflect.Uintptr:
		v.SetUint(1<<63 + uint64(*n)) // more than a float has
	default:
		v.SetUint(uint64(*n % 100))
	}
}

// roundTrip compares a value with what comes of its JSON.
func roundTrip[T any](t *testing.T, want T) {
	t.Helper()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got T
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Action{})); diff != "" {
		t.Errorf("%s\n%s", diff, text)
	}
}

// TestEventRoundTrip: JSON tells all of every kind of event, whole and empty.
func TestEventRoundTrip(t *testing.T) {
	n := 0
	var all Event
	fill(reflect.ValueOf(&all).Elem(), &n)
	payloads := map[string][]Kind{
		"Enter": {KindEnter}, "Return": {KindLeave, KindInitcall, KindInitReturn, KindRequestReturn, KindDied}, "File": {KindFile},
		"Image": {KindImage}, "Denial": {KindDenied}, "Lookup": {KindLookup}, "Step": {KindStage}, "Params": {KindParams},
		"Module": {KindModuleLoad, KindInit, KindFree, KindModuleFree}, "Request": {KindRequest, KindRequestFormat}, "Message": {KindMessage},
		"Callback": {KindCallback}, "Helper": {KindHelper}, "Directory": {KindDirectory}, "Actor": {KindActor}, "Ancestor": {KindAncestor}, "Process": {KindProcess},
	}
	tested := make(map[Kind]bool)
	for field, kinds := range payloads {
		for _, kind := range kinds {
			tested[kind] = true
			e := Event{Kind: kind, Time: all.Time, Attempt: all.Attempt, Thread: all.Thread, CPU: all.CPU, Lost: all.Lost}
			reflect.ValueOf(&e).Elem().FieldByName(field).Set(reflect.ValueOf(all).FieldByName(field))
			roundTrip(t, e)
			roundTrip(t, Event{Kind: kind})
		}
	}
	for kind := KindEnter; kind <= KindDirectory; kind++ {
		if !tested[kind] {
			t.Errorf("kind %v is not tested", kind)
		}
	}
	roundTrip(t, all)
}

// TestActionRoundTrip: the same of actions, of every kind and outcome.
func TestActionRoundTrip(t *testing.T) {
	n := 0
	var all Action
	fill(reflect.ValueOf(&all).Elem(), &n)
	for kind := Load; kind <= Autoload; kind++ {
		for outcome := Pending; outcome <= Answered; outcome++ {
			for source := NameUnknown; source <= NameClaimed; source++ {
				a := all
				a.Kind, a.Outcome, a.NameFrom = kind, outcome, source
				roundTrip(t, a)
				roundTrip(t, Action{Kind: kind, Outcome: outcome, NameFrom: source})
			}
		}
	}
}

// TestEnumRoundTrip: every value of every enum has a name of its own.
func TestEnumRoundTrip(t *testing.T) {
	for kind := KindEnter; kind <= KindDirectory; kind++ {
		roundTrip(t, kind)
	}
	for call := InitModule; call <= DeleteModule; call++ {
		roundTrip(t, call)
	}
	for stage := StageRead; stage <= StageInit; stage++ {
		roundTrip(t, stage)
	}
	for door := ReadFile; door <= PostLoadData; door++ {
		roundTrip(t, door)
	}
	for state := StateLive; state <= StateUnformed+1; state++ {
		roundTrip(t, state)
	}
	for bit := range 64 {
		roundTrip(t, Taints(1<<bit))
	}
	for _, text := range []string{`"nonsense"`, `""`, `7`, `"Kind(0)"`} {
		var v struct {
			K Kind
			C Call
			S Stage
			D Door
			T State
			A ActionKind
			O Outcome
			N NameSource
		}
		for i := range reflect.TypeOf(v).NumField() {
			field := reflect.ValueOf(&v).Elem().Field(i)
			if err := json.Unmarshal([]byte(text), field.Addr().Interface()); err == nil {
				t.Errorf("%T of %s: %v", field.Interface(), text, field.Interface())
			}
		}
	}
}
