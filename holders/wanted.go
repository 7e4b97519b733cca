package holders

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/kmodtrace/kmodtrace/internal/memory"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// haveReading asks for what reading the kernel's memory takes; kprobes are not
// among it.
func haveReading() error {
	for _, have := range []func() error{tracer.HaveModules, tracer.HaveBTF, tracer.HavePrivilege, tracer.HaveNoLockdown} {
		if err := have(); err != nil {
			return err
		}
	}
	return nil
}

// loadWanted loads the programs for one module.
func loadWanted(spec *ebpf.CollectionSpec, module string) (*ebpf.Collection, error) {
	var name [maxModuleName + 1]byte
	copy(name[:maxModuleName], module)
	if err := spec.Variables[refsVarWantedName].Set(name); err != nil {
		return nil, fmt.Errorf("set module name: %w", err)
	}
	memory.AllowLocked()
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load programs: %w", err)
	}
	return coll, nil
}
