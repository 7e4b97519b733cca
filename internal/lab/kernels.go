package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// kernelRecord is the file kernel.json beside a fetched kernel. It is written
// last: a directory without it is not a kernel.
const kernelRecord = "kernel.json"

// kernelDir is the directory that holds one fetched kernel.
func kernelDir(cache, arch, release string) string {
	return filepath.Join(cache, "kernels", arch, release)
}

// fetchedKernels lists the complete kernels in the cache.
func fetchedKernels(cache string) ([]Kernel, error) {
	records, err := filepath.Glob(kernelDir(cache, "*", "*") + "/" + kernelRecord)
	if err != nil {
		return nil, fmt.Errorf("list fetched kernels: %w", err)
	}
	var kernels []Kernel
	for _, record := range records {
		k, err := readKernel(filepath.Dir(record))
		if err != nil {
			return nil, err
		}
		kernels = append(kernels, k)
	}
	return kernels, nil
}

// readKernel reads a fetched kernel's record. Its paths are relative to its
// directory, so that a cache can be moved.
func readKernel(dir string) (Kernel, error) {
	text, err := os.ReadFile(filepath.Join(dir, kernelRecord))
	if err != nil {
		return Kernel{}, fmt.Errorf("read kernel: %w", err)
	}
	var k Kernel
	if err := json.Unmarshal(text, &k); err != nil {
		return Kernel{}, fmt.Errorf("read kernel %s: %w (remove the directory and fetch it again)", dir, err)
	}
	k.Image = filepath.Join(dir, k.Image)
	k.Modules = filepath.Join(dir, k.Modules)
	k.Config = filepath.Join(dir, k.Config)
	if headers := filepath.Join(dir, "headers"); exists(headers) {
		k.Headers = headers
	}
	return k, nil
}
