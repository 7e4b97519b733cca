package kernel

import (
	"errors"
	"io/fs"
	"strings"
)

// Config gives an option of the kernel's configuration: "CONFIG_MODULES" is "y", "m",
// "n", a number, or a text without its quotes. "n" also for an option that this kernel
// does not have. It errs with [ErrUnknown] where the configuration is not installed.
func (k *Kernel) Config(option string) (string, error) {
	config, err := k.config()
	if err != nil {
		return "", k.fail("configuration", option, err)
	}
	if value, ok := config[option]; ok {
		return value, nil
	}
	return "n", nil
}

// configured is Config where any doubt is a no.
func (k *Kernel) configured(option string) bool {
	value, err := k.Config(option)
	return err == nil && value == "y"
}

// readConfig takes the first source that has it: only the running kernel can tell its own.
func (k *Kernel) readConfig() (map[string]string, error) {
	paths := []string{
		"boot/config-" + k.release,
		"lib/modules/" + k.release + "/config",
		"lib/modules/" + k.release + "/build/.config",
		"usr/src/linux-headers-" + k.release + "/.config",
	}
	if k.running {
		paths = append([]string{"proc/config.gz"}, paths...)
	}
	for _, path := range paths {
		text, err := readMaybeGzip(k.path(path))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, unknown("%w", err)
		}
		if config := parseConfig(string(text)); len(config) > 0 {
			return config, nil
		}
	}
	return nil, unknown("no configuration of it is installed (%s)", strings.Join(paths, ", "))
}

// parseConfig reads the lines that set an option. Those that say "is not set" add
// nothing: an option that is not there is off.
func parseConfig(text string) map[string]string {
	config := make(map[string]string)
	for line := range strings.Lines(text) {
		option, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "=")
		if !ok || !strings.HasPrefix(option, "CONFIG_") {
			continue
		}
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		config[option] = value
	}
	return config
}
