package tracer

// Cgroup is the control group of a process, and what its path says.
type Cgroup struct {
	ID   uint64 `json:"id"`
	Path string `json:"path,omitempty"` // from the root of the hierarchy
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
}

// Container is a container as the path of its control group names it.
type Container struct {
	// Runtime is docker, containerd, cri-o, podman, lxc or nspawn; empty where the
	// path does not tell.
	Runtime string `json:"runtime,omitempty"`
	ID      string `json:"id"`
}

func parseCgroup(id uint64, path string, cut bool) Cgroup {
	return Cgroup{ID: id, Path: path, PathCut: cut}
}
