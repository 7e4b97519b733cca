package kernel

import "testing"

func TestPerCPUReserve(t *testing.T) {
	const config = "boot/config-" + release
	for name, c := range map[string]struct {
		files files
		want  uint64
	}{
		"profiled":     {files{config: "CONFIG_MODULES=y\nCONFIG_MEM_ALLOC_PROFILING=y\n"}, 64 << 10},
		"not profiled": {files{config: "CONFIG_MODULES=y\n# CONFIG_MEM_ALLOC_PROFILING is not set\n"}, 8 << 10},
		"not known":    {files{}, 0},
	} {
		k, err := Open(&Options{Root: running(c.files).write(t)})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.PerCPUReserve(); got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
}
