package tracer

import (
	"errors"
	"reflect"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/kmodtrace/kmodtrace/tracer/internal/kerneltypes"
)

// TestChosenTypes: each program, also the ones that this kernel would not get, finds in the chosen
// types what it finds in all of them.
func TestChosenTypes(t *testing.T) {
	all, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skip(err)
	}
	for build, load := range map[string]func() (*ebpf.CollectionSpec, error){"bpf": loadBpf, "loops": loadLoops} {
		spec, err := load()
		if err != nil {
			t.Fatal(err)
		}
		names, err := kerneltypes.NamesOf(spec.Types)
		if err != nil {
			t.Fatal(err)
		}
		chosen, err := kerneltypes.Read(names)
		if err != nil {
			t.Fatal(err)
		}
		if n := count(t, chosen); n > 10_000 {
			t.Errorf("%s: %d types are chosen; a kernel has some 130,000", build, n)
		}
		var found int
		for name, p := range spec.Programs {
			var relos []*btf.CORERelocation
			for i := range p.Instructions {
				if r := btf.CORERelocationMetadata(&p.Instructions[i]); r != nil {
					relos = append(relos, r)
				}
			}
			noID := func(btf.Type) (btf.TypeID, error) { return 0, errors.New("a type's own number") }
			want, wantErr := btf.CORERelocate(relos, []*btf.Spec{all}, spec.ByteOrder, noID)
			got, err := btf.CORERelocate(relos, []*btf.Spec{chosen}, spec.ByteOrder, noID)
			if !reflect.DeepEqual(got, want) || (err == nil) != (wantErr == nil) {
				t.Errorf("%s, %s: %v, %v; in all types %v, %v", build, name, got, err, want, wantErr)
			}
			found += len(got)
		}
		if found < 500 {
			t.Errorf("%s: %d relocations", build, found)
		}
	}
}

func count(t *testing.T, spec *btf.Spec) (n int) {
	t.Helper()
	for _, err := range spec.All() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}
