package kernel

import "errors"

// PerCPUReserve gives how many bytes of per-CPU data all modules together can have
// (PERCPU_MODULE_RESERVE): eight times as many where allocations are profiled, from 6.10 on.
func (k *Kernel) PerCPUReserve() (uint64, error) {
	const reserve, profiled = 8 << 10, 64 << 10
	if !k.AtLeast(6, 10) {
		return reserve, nil
	}
	if value, err := k.Config("CONFIG_MEM_ALLOC_PROFILING"); err == nil {
		if value == "y" {
			return profiled, nil
		}
		return reserve, nil
	}
	_, err := k.Symbol("mem_alloc_profiling_key") // which such kernels export
	switch {
	case err == nil:
		return profiled, nil
	case errors.Is(err, ErrNoSymbol):
		return reserve, nil
	}
	return 0, err
}

// PerCPUUsed gives how many bytes of it the modules that are loaded have, by the files that are
// installed for them: less than that where one is not installed. It reads these files, because the
// kernel shows of no module how much it has.
func (k *Kernel) PerCPUUsed() (uint64, error) {
	if !k.running {
		return 0, nil
	}
	modules, err := k.list()
	if err != nil {
		return 0, err
	}
	var used uint64
	for _, m := range modules {
		if f, err := k.moduleFile(m.Name); err == nil {
			used += f.PerCPUSize()
		}
	}
	return used, nil
}
