package tracer

import "strings"

// Cgroup is the control group of a process, and what its path says.
type Cgroup struct {
	ID uint64 `json:"id,string"`
	// Path is from the root of the hierarchy: the unified one, or that of memory where
	// the unified one is not used.
	Path string `json:"path,omitempty"`
	// PathCut says that only the last names of the path were kept.
	PathCut bool `json:"path_cut,omitempty"`
	// Unit is the systemd unit, "ssh.service"; of a unit of a user's own manager,
	// UserUnit is that one.
	Unit     string `json:"unit,omitempty"`
	UserUnit string `json:"user_unit,omitempty"`
	// Container is the container; nil for none that is known by its path.
	Container *Container `json:"container,omitempty"`
	// PodUID is the Kubernetes pod's.
	PodUID string `json:"pod_uid,omitempty"`
	// Pod is that pod's names; nil where they are not known.
	Pod *Pod `json:"pod,omitempty"`
}

// Pod is the names of a Kubernetes pod, as the kubelet's directories of logs have them. The kernel knows nothing
// of them: package record looks for them.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Container is the name of the container in it; empty where it is not known.
	Container string `json:"container,omitempty"`
}

// Container is a container as the path of its control group names it, and its image.
type Container struct {
	// Runtime is docker, buildkit, containerd, cri-o, podman, lxc or nspawn; empty
	// where the path does not tell.
	Runtime string `json:"runtime,omitempty"`
	ID      string `json:"id"`
	// Image is the name of what it was made from, as its runtime wrote it down. The kernel knows nothing of
	// it: package record looks for it.
	Image string `json:"image,omitempty"`
}

// parseCgroup says what the path of a control group says: the units that systemd made
// it for, and the innermost container and pod. A path that was cut begins anywhere,
// and tells no unit.
//
// It is the path's word alone. Whoever may name control groups can imitate a container
// or a pod: root anywhere, a user below the own manager, where Unit is still
// user@UID.service, and a container below its own control group, whose name the made-up
// one then hides. A user may also name what is taken for the UserUnit.
func parseCgroup(id uint64, path string, cut bool) Cgroup {
	c := Cgroup{ID: id, Path: path, PathCut: cut}
	names := strings.Split(strings.Trim(path, "/"), "/")
	if !cut {
		c.Unit, c.UserUnit = units(names)
	}
	for i := len(names) - 1; i >= 0; i-- {
		if c.Container == nil {
			c.Container = containerAt(names, i)
		}
		if c.PodUID == "" {
			c.PodUID = podAt(names, i)
		}
	}
	return c
}

// units finds the unit as systemd does: it is the first name that is not a slice, if that
// is a unit's. Below a user's manager it goes on so for that one's unit.
func units(names []string) (unit, user string) {
	unit, below := firstUnit(names)
	if uid, ok := between(unit, "user@", ".service"); ok && only(uid, digits) {
		user, _ = firstUnit(below)
	}
	return unit, user
}

func firstUnit(names []string) (unit string, below []string) {
	for i, name := range names {
		// systemd puts a _ before names that the kernel could want for its own files.
		name = strings.TrimPrefix(name, "_")
		if isSlice(name) {
			continue
		}
		if isUnit(name) {
			return name, names[i+1:]
		}
		break
	}
	return "", nil
}

const (
	digits    = "0123456789"
	hexes     = digits + "abcdef" // as every runtime writes them
	lowercase = "abcdefghijklmnopqrstuvwxyz"
	letters   = lowercase + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// maxUnitName bounds the name of a unit, with its ending.
const maxUnitName = 255

// isSlice tells a slice's name: its parts, between dashes, are not empty.
func isSlice(name string) bool {
	stem, ok := strings.CutSuffix(name, ".slice")
	return ok && validUnitStem(stem, name) && !strings.Contains("-"+stem+"-", "--")
}

// isUnit tells the name of a unit that has processes and is not a slice.
func isUnit(name string) bool {
	for _, kind := range [...]string{".service", ".scope", ".socket", ".mount", ".swap"} {
		if stem, ok := strings.CutSuffix(name, kind); ok {
			return validUnitStem(stem, name)
		}
	}
	return false
}

func validUnitStem(stem, name string) bool {
	return len(name) <= maxUnitName && only(stem, letters+digits+`:-_.\@`) && stem[0] != '@'
}

// containerForm is how a runtime names a container's control group: what is before the
// ID and what is after it, below a group with the name of parent, if that is not
// empty. A valid ID is 64 hexadecimal digits, or what valid says.
type containerForm struct {
	runtime, parent, before, after string
	valid                          func(id string) bool
}

var containerForms = []containerForm{
	{runtime: "docker", before: "docker-", after: ".scope"},
	{runtime: "docker", parent: "docker"},
	{runtime: "buildkit", parent: "buildkit", valid: isBuildkitID},
	{runtime: "containerd", before: "cri-containerd-", after: ".scope"},
	{runtime: "containerd", before: "nerdctl-", after: ".scope"},
	{runtime: "cri-o", before: "crio-", after: ".scope"},
	{runtime: "cri-o", before: "crio-"},
	{runtime: "podman", before: "libpod-", after: ".scope"},
	{runtime: "podman", before: "libpod-"},
	{runtime: "podman", before: "libpod-payload-"},
	{runtime: "lxc", before: "lxc.payload.", valid: isMachineName},
	{runtime: "lxc", parent: "lxc.payload", valid: isMachineName},
	{runtime: "lxc", parent: "lxc", valid: isMachineName},
	{runtime: "nspawn", before: "systemd-nspawn@", after: ".service", valid: isMachineName},
	{runtime: "nspawn", parent: "machine.slice", before: "machine-", after: ".scope", valid: isNspawnName},
}

// colonForms are the runtimes by what they write between colons when they are told
// systemd's way of naming and use another: "SLICE:cri-containerd:ID".
var colonForms = map[string]string{
	"docker":         "docker",
	"cri-containerd": "containerd",
	"nerdctl":        "containerd",
	"crio":           "cri-o",
	"libpod":         "podman",
}

// containerAt gives the container whose control group the i-th name is.
func containerAt(names []string, i int) *Container {
	name, parent := names[i], ""
	if i > 0 {
		parent = names[i-1]
	}
	for _, f := range containerForms {
		id, ok := between(name, f.before, f.after)
		if !ok || f.parent != "" && f.parent != parent {
			continue
		}
		valid := f.valid
		if valid == nil {
			valid = isContainerID
		} else {
			id = unescaped(id)
		}
		if valid(id) {
			return &Container{Runtime: f.runtime, ID: id}
		}
	}
	if parts := strings.Split(name, ":"); len(parts) == 3 && isContainerID(parts[2]) {
		if runtime := colonForms[parts[1]]; runtime != "" {
			return &Container{Runtime: runtime, ID: parts[2]}
		}
	}
	// An ID alone: at the end, or in a pod, where more can follow. Podman's own pods
	// are named so too.
	if isContainerID(name) && parent != "libpod_parent" && (i == len(names)-1 || i > 0 && podAt(names, i-1) != "") {
		return &Container{ID: name}
	}
	return nil
}

// podAt gives the UID of the pod whose control group the i-th name is.
func podAt(names []string, i int) string {
	name := names[i]
	if uid, ok := strings.CutPrefix(name, "pod"); ok && isPodUID(uid) {
		above := names[:i]
		if n := len(above); n > 0 && (above[n-1] == "besteffort" || above[n-1] == "burstable") {
			above = above[:n-1]
		}
		if n := len(above); n > 0 && above[n-1] == "kubepods" {
			return uid
		}
		return ""
	}
	slice, _, colon := strings.Cut(name, ":")
	stem, ok := strings.CutSuffix(slice, ".slice")
	if !ok && !colon {
		return ""
	}
	j := strings.LastIndex(stem, "-pod")
	if j < 0 {
		return ""
	}
	class := stem[:j]
	class = strings.TrimSuffix(strings.TrimSuffix(class, "-besteffort"), "-burstable")
	uid := strings.ReplaceAll(stem[j+len("-pod"):], "_", "-")
	if (class == "kubepods" || strings.HasSuffix(class, "-kubepods")) && isPodUID(uid) {
		return uid
	}
	return ""
}

// isPodUID tells a pod's UID: a UUID, or of a pod that a file on the node defines, the
// hash of it.
func isPodUID(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) == 1 {
		return len(s) == 32 && only(s, hexes)
	}
	lengths := [...]int{8, 4, 4, 4, 12}
	if len(parts) != len(lengths) {
		return false
	}
	for i, part := range parts {
		if len(part) != lengths[i] || !only(part, hexes) {
			return false
		}
	}
	return true
}

func isContainerID(s string) bool { return len(s) == 64 && only(s, hexes) }

func isBuildkitID(s string) bool { return len(s) == 25 && only(s, lowercase+digits) }

// isMachineName tells the name of a container that people name.
func isMachineName(s string) bool {
	return len(s) <= maxUnitName && only(s, letters+digits+"._-") && s[0] != '.' && s[0] != '-'
}

// isNspawnName tells the machine of a scope from those of libvirt, which are mostly
// virtual machines: libvirt puts its driver and a number before the name.
func isNspawnName(s string) bool {
	driver, rest, _ := strings.Cut(s, "-")
	number, _, numbered := strings.Cut(rest, "-")
	switch driver {
	case "qemu", "lxc", "xen", "ch", "bhyve":
		if numbered && only(number, digits) {
			return false
		}
	}
	return isMachineName(s)
}

// unescaped undoes systemd's escapes of a name; what is none stays.
func unescaped(s string) string {
	return strings.ReplaceAll(s, `\x2d`, "-")
}

// between gives what is between a beginning and an ending.
func between(s, before, after string) (string, bool) {
	s, ok := strings.CutPrefix(s, before)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(s, after)
}

// only tells text that is not empty and of these characters alone.
func only(s, characters string) bool { return s != "" && strings.Trim(s, characters) == "" }
