package output

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// host is this machine, and the program on it.
type host struct {
	id      string // hashed from the machine's own; empty where it has none
	journal string // the name of the journal that records are of
	name    string
	release string // of the kernel
	machine string // as uname -m
	version string // the program's
}

func thisHost() host {
	u := procfs.Uname()
	h := host{name: u.Node, release: u.Release, machine: u.Machine}
	if info, ok := debug.ReadBuildInfo(); ok {
		h.version = info.Main.Version
	}
	for _, path := range machineIDs {
		if text, err := os.ReadFile(path); err == nil && h.id == "" {
			h.id = hostID(string(text))
		}
	}
	return h
}

// machineIDs are the files that have the machine's id: systemd's, and the one that D-Bus has
// where there is no systemd.
var machineIDs = []string{"/etc/machine-id", "/var/lib/dbus/machine-id"}

var isMachineID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// hostID hashes a machine's id, which machine-id(5) asks not to pass on: who has it could find
// the machine in the records of other programs. Empty where it is not one.
func hostID(machine string) string {
	machine = strings.TrimSpace(machine)
	if !isMachineID.MatchString(machine) {
		return ""
	}
	key, err := hex.DecodeString(machine)
	if err != nil {
		return ""
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("kmodtrace host"))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
