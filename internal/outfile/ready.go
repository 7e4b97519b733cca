package outfile

import (
	"errors"
	"fmt"
	"os"
)

// WriteReady makes a file, which says that everything that begins from now on will be seen.
func WriteReady(name string) error {
	if name == "" {
		return nil
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() && !info.IsDir() { // a pipe is waited for
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString("ready\n")
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return fmt.Errorf("ready file: %w", err)
		}
		return nil
	}
	file, err := Create(name)
	if err == nil {
		err = file.Commit([]byte("ready\n"))
	}
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}

// RemoveStale takes away the ready file of an earlier run. Anything but a plain
// file (a pipe, /dev/null) is only ever written to.
func RemoveStale(name string) error {
	info, err := os.Lstat(name)
	if name == "" || err != nil || !info.Mode().IsRegular() {
		return nil
	}
	if err := os.Remove(name); err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}
