package tracer

import (
	"reflect"
	"strings"
	"testing"
)

const (
	cidA = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	cidB = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
	uid  = "74c13223-5a00-11e9-b385-42010a80018d"
	uid_ = "74c13223_5a00_11e9_b385_42010a80018d"
	hash = "0123456789abcdef0123456789abcdef"
)

// TestParseCgroup: paths as systemd and the runtimes make them, and such as a user
// could make.
func TestParseCgroup(t *testing.T) {
	for _, c := range []struct {
		path                        string
		unit, userUnit, runtime, id string
		pod                         string
	}{
		{path: ""},
		{path: "/"},
		{path: "/init.scope", unit: "init.scope"},
		{path: "/system.slice/ssh.service", unit: "ssh.service"},
		{path: "/system.slice"},
		{path: `/system.slice/system-serial\x2dgetty.slice/serial-getty@ttyS0.service`, unit: "serial-getty@ttyS0.service"},
		{path: `/system.slice/dev-disk-by\x2duuid-1.swap/x`, unit: `dev-disk-by\x2duuid-1.swap`},
		{path: "/system.slice/_cpu.service", unit: "cpu.service"},
		{path: "/user.slice/user-1000.slice/session-3.scope", unit: "session-3.scope"},
		{path: "/user.slice/user-1000.slice/user@1000.service/init.scope", unit: "user@1000.service", userUnit: "init.scope"},
		{path: "/user.slice/user-1000.slice/user@1000.service/app.slice/app-foo.slice/foo.service/sub", unit: "user@1000.service", userUnit: "foo.service"},
		{path: "/user.slice/user-1000.slice/user@bob.service/app.slice/foo.service", unit: "user@bob.service"},
		{path: "/user.slice/user-1000.slice/user@1000.service/mine/foo.service", unit: "user@1000.service"},
		{path: "/system.slice/a.service/b.service", unit: "a.service"},
		{path: "/mine/ssh.service"},
		{path: "/a--b.slice/ssh.service"},
		{path: "/a b.service"},
		{path: "/.service"},
		{path: "/@.service"},
		{path: "/" + strings.Repeat("a", 250) + ".service"},
		{path: "/foo.timer"},

		{path: "/system.slice/docker-" + cidA + ".scope", unit: "docker-" + cidA + ".scope", runtime: "docker", id: cidA},
		{path: "/system.slice/docker-" + cidA + ".scope/init.scope", unit: "docker-" + cidA + ".scope", runtime: "docker", id: cidA},
		{path: "/docker/" + cidA, runtime: "docker", id: cidA},
		{path: "/docker/" + cidA + "/system.slice/ssh.service", runtime: "docker", id: cidA},
		{path: "/docker/" + cidA + "/docker/" + cidB, runtime: "docker", id: cidB},
		{path: "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + cidA + ".scope", unit: "user@1000.service", userUnit: "docker-" + cidA + ".scope", runtime: "docker", id: cidA},
		{path: "/docker/buildkit/5cf82fwiumld3vcs5d5l5pzyv", runtime: "buildkit", id: "5cf82fwiumld3vcs5d5l5pzyv"},
		{path: "/docker/buildkit"},
		{path: "/system.slice/nerdctl-" + cidA + ".scope", unit: "nerdctl-" + cidA + ".scope", runtime: "containerd", id: cidA},
		{path: "/machine.slice/libpod-" + cidA + ".scope/container", unit: "libpod-" + cidA + ".scope", runtime: "podman", id: cidA},
		{path: "/machine.slice/libpod-conmon-" + cidA + ".scope", unit: "libpod-conmon-" + cidA + ".scope"},
		{path: "/libpod_parent/libpod-" + cidA, runtime: "podman", id: cidA},
		{path: "/libpod_parent/" + cidB + "/libpod-" + cidA, runtime: "podman", id: cidA},
		{path: "/libpod_parent/conmon"},
		{path: "/libpod_parent/" + cidB},
		{path: "/system.slice/web.service/libpod-payload-" + cidA, unit: "web.service", runtime: "podman", id: cidA},
		{path: "/system.slice/web.service/supervisor", unit: "web.service"},
		{path: "/ecs/task/" + cidA, id: cidA},
		{path: "/" + cidA, id: cidA},
		{path: "/" + cidA + "/docker/" + cidB, runtime: "docker", id: cidB},
		{path: "/" + cidA + "/sub"},

		{path: "/kubepods/burstable/pod" + uid + "/" + cidA, id: cidA, pod: uid},
		{path: "/kubepods/burstable/pod" + uid + "/" + cidA + "/init.scope", id: cidA, pod: uid},
		{path: "/kubepods/pod" + uid + "/" + cidA, id: cidA, pod: uid},
		{path: "/kubepods/besteffort/pod" + hash + "/crio-" + cidA, runtime: "cri-o", id: cidA, pod: hash},
		{path: "/docker/" + cidB + "/kubelet/kubepods/besteffort/pod" + uid + "/" + cidA, id: cidA, pod: uid},
		{path: "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid_ + ".slice/cri-containerd-" + cidA + ".scope", unit: "cri-containerd-" + cidA + ".scope", runtime: "containerd", id: cidA, pod: uid},
		{path: "/kubepods.slice/kubepods-pod" + uid_ + ".slice/crio-" + cidA + ".scope/container", unit: "crio-" + cidA + ".scope", runtime: "cri-o", id: cidA, pod: uid},
		{path: "/kubepods.slice/kubepods-pod" + uid_ + ".slice/crio-conmon-" + cidA + ".scope", unit: "crio-conmon-" + cidA + ".scope", pod: uid},
		{path: "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uid_ + ".slice/docker-" + cidA + ".scope", unit: "docker-" + cidA + ".scope", runtime: "docker", id: cidA, pod: uid},
		{path: "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + uid_ + ".slice/cri-containerd-" + cidA + ".scope", unit: "cri-containerd-" + cidA + ".scope", runtime: "containerd", id: cidA, pod: uid},
		{path: "/system.slice/containerd.service/kubepods-burstable-pod" + uid_ + ".slice:cri-containerd:" + cidA, unit: "containerd.service", runtime: "containerd", id: cidA, pod: uid},
		{path: "/kuberuntime/containerd/kubepods-pod" + uid_ + ":cri-containerd:" + cidA, runtime: "containerd", id: cidA, pod: uid},
		{path: "/kubepods/burstable/pod" + uid + "/" + cidA + "/libpod_parent/libpod-" + cidB, runtime: "podman", id: cidB, pod: uid},
		// kind, whose nodes are containers: cgroup v2 with systemd outside and inside, and v1.
		{path: "/system.slice/docker-" + cidB + ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + uid_ + ".slice/cri-containerd-" + cidA + ".scope", unit: "docker-" + cidB + ".scope", runtime: "containerd", id: cidA, pod: uid},
		{path: "/docker/" + cidB + "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + uid_ + ".slice/cri-containerd-" + cidA + ".scope", runtime: "containerd", id: cidA, pod: uid},
		{path: "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + cidB + ".scope/container/kubelet/kubepods/burstable/pod" + uid + "/" + cidA, unit: "user@1000.service", userUnit: "libpod-" + cidB + ".scope", id: cidA, pod: uid},
		// k3s: its containerd with systemd's driver and with cgroups alone, rootless, and in docker (k3d).
		{path: "/kubepods.slice/kubepods-pod" + uid_ + ".slice/cri-containerd-" + cidA + ".scope", unit: "cri-containerd-" + cidA + ".scope", runtime: "containerd", id: cidA, pod: uid},
		{path: "/k3s/kubepods/besteffort/pod" + uid + "/" + cidA, id: cidA, pod: uid},
		{path: "/docker/" + cidB + "/kubepods/besteffort/pod" + uid + "/" + cidA, id: cidA, pod: uid},
		{path: "/user.slice/user-1000.slice/user@1000.service/k3s-rootless.service/kubepods/pod" + uid + "/" + cidA, unit: "user@1000.service", userUnit: "k3s-rootless.service", id: cidA, pod: uid},
		// CRI-O without systemd's driver, of a pod of each quality, and what watches one; a static pod by systemd.
		{path: "/kubepods/pod" + uid + "/crio-" + cidA, runtime: "cri-o", id: cidA, pod: uid},
		{path: "/kubepods/burstable/pod" + uid + "/crio-conmon-" + cidA, pod: uid},
		{path: "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + hash + ".slice/crio-" + cidA + ".scope", unit: "crio-" + cidA + ".scope", runtime: "cri-o", id: cidA, pod: hash},

		{path: "/lxc.payload.c1/system.slice/ssh.service", runtime: "lxc", id: "c1"},
		{path: "/lxc/101/ns", runtime: "lxc", id: "101"},
		{path: "/lxc.payload/c1", runtime: "lxc", id: "c1"},
		{path: "/lxc.payload.c1/docker/" + cidA, runtime: "docker", id: cidA},
		{path: "/lxc.monitor.c1"},
		{path: "/lxc"},
		{path: "/machine.slice/machine-web.scope/payload", unit: "machine-web.scope", runtime: "nspawn", id: "web"},
		{path: `/machine.slice/machine-my\x2dbox.scope`, unit: `machine-my\x2dbox.scope`, runtime: "nspawn", id: "my-box"},
		{path: `/machine.slice/machine-qemu\x2d3\x2dvm.scope/libvirt/emulator`, unit: `machine-qemu\x2d3\x2dvm.scope`},
		{path: "/machine.slice/systemd-nspawn@web.service/payload/system.slice/ssh.service", unit: "systemd-nspawn@web.service", runtime: "nspawn", id: "web"},
		{path: "/machine-web.scope", unit: "machine-web.scope"},

		// What no runtime makes.
		{path: "/docker/" + cidA[:12]},
		{path: "/docker/" + strings.ToUpper(cidA)},
		{path: "/docker/" + cidA + "0"},
		{path: "/docker/" + cidA[:63] + "g"},
		{path: "/system.slice/docker-" + cidA[:12] + ".scope", unit: "docker-" + cidA[:12] + ".scope"},
		{path: "/xdocker-" + cidA + ".scope", unit: "xdocker-" + cidA + ".scope"},
		{path: "/docker-" + cidA + ".scope.d"},
		{path: "/pod" + uid + "/sub"},
		{path: "/kubepods/burstable/pod" + uid_ + "/x"},
		{path: "/kubepods-burstable-pod" + uid_ + "/x"},
		{path: "/xkubepods-pod" + uid_ + ".slice"},
		{path: "/a:cri-containerd:" + cidA + ":b"},
		{path: "/a:made-up:" + cidA},
		{path: "/lxc/\x1b[2J"},
		{path: "/lxc/.."},
		{path: "/lxc/a\nb"},
	} {
		want := Cgroup{ID: 7, Path: c.path, Unit: c.unit, UserUnit: c.userUnit, PodUID: c.pod}
		if c.id != "" {
			want.Container = &Container{Runtime: c.runtime, ID: c.id}
		}
		if got := parseCgroup(7, c.path, false); !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n got %+v %+v\nwant %+v %+v", c.path, got, got.Container, want, want.Container)
		}
		want.PathCut, want.Unit, want.UserUnit = true, "", ""
		if got := parseCgroup(7, c.path, true); !reflect.DeepEqual(got, want) {
			t.Errorf("%q, cut:\n got %+v %+v\nwant %+v %+v", c.path, got, got.Container, want, want.Container)
		}
	}
}

// FuzzParseCgroup: whatever the path, what it says is in it, and can be shown.
func FuzzParseCgroup(f *testing.F) {
	for _, path := range []string{
		"/system.slice/ssh.service",
		"/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service",
		"/kubepods-pod" + uid_ + ".slice:cri-containerd:" + cidA,
		"/kubepods/burstable/pod" + uid + "/" + cidA,
		`/machine.slice/machine-my\x2dbox.scope`,
		"/lxc/c1",
	} {
		f.Add(path, false)
	}
	f.Fuzz(func(t *testing.T, path string, cut bool) {
		c := parseCgroup(1, path, cut)
		said := []string{c.Unit, c.UserUnit, c.PodUID}
		if c.Container != nil {
			said = append(said, c.Container.ID)
			if c.Container.ID == "" {
				t.Error("a container without ID")
			}
		}
		for _, s := range said {
			if strings.Trim(s, letters+digits+`:-_.\@`) != "" {
				t.Errorf("%q: %q", path, s)
			}
		}
		if c.UserUnit != "" && c.Unit == "" || cut && c.Unit != "" {
			t.Errorf("%q: unit %q, user's %q", path, c.Unit, c.UserUnit)
		}
	})
}
