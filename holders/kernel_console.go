package holders

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/internal/wire"
)

// consoles are the frame buffers of the module that the kernel's virtual terminals are shown on: the console
// opens each like a program, and keeps it open (fbcon_open in drivers/video/fbdev/core/fbcon.c). Those of
// DRM drivers are left out: which of their modules is held differs between drivers and releases, and nothing
// shows it.
func (s *textSources) consoles() ([]User, error) {
	console := s.bufferConsole()
	if console == "" {
		return nil, nil
	}
	buffers, err := filepath.Glob(s.path("sys/class/graphics/fb[0-9]*"))
	if err != nil {
		return nil, err
	}
	var users []User
	for _, buffer := range buffers {
		driver, err := os.Readlink(filepath.Join(buffer, "device/driver/module"))
		if err != nil || !s.is(filepath.Base(driver)) || strings.HasSuffix(procfs.FirstLine(filepath.Join(buffer, "name")), "drmfb") {
			continue
		}
		users = append(users, User{
			Kind: Console, Holds: true, Name: wire.Printable(console), On: wire.Printable(filepath.Base(buffer)),
			LetGo: "echo 0 >/sys/class/vtconsole/" + shellWord(console) + "/bind",
		})
	}
	return users, nil
}

// bufferConsole is the driver of virtual terminals for frame buffers, where it has some terminals; empty
// otherwise.
func (s *textSources) bufferConsole() string {
	all, _ := filepath.Glob(s.path("sys/class/vtconsole/vtcon*"))
	for _, console := range all {
		if strings.Contains(procfs.FirstLine(filepath.Join(console, "name")), "frame buffer device") && procfs.FirstLine(filepath.Join(console, "bind")) == "1" {
			return filepath.Base(console)
		}
	}
	return ""
}
