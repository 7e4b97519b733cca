package containers

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPod: the kubelet's directories, as it makes them for any runtime.
func TestPod(t *testing.T) {
	const uid, static = "0b1c2d3e-0000-4000-8000-000000000001", "0123456789abcdef0123456789abcdef"
	root := t.TempDir()
	for _, path := range []string{
		"var/log/pods/shop_web-7d9f-x2x9z_" + uid + "/nginx/0.log",
		"var/log/pods/shop_web-7d9f-x2x9z_" + uid + "/side.car/0.log",
		"var/log/pods/kube-system_etcd-node-1_" + static + "/etcd/3.log",
		"var/log/pods/a_b_c_d2222222-0000-4000-8000-000000000001/x/0.log",
		"var/log/pods/one_pod_33333333-0000-4000-8000-000000000001/x/0.log",
		"var/log/pods/two_pod_33333333-0000-4000-8000-000000000001/x/0.log",
		"var/log/pods/no\x1b[2J_pod_44444444-0000-4000-8000-000000000001/x/0.log",
		"var/log/containers/web-7d9f-x2x9z_shop_nginx-" + one + ".log",
		"var/log/containers/other_shop_nginx-" + other + ".log",
	} {
		write(t, root, path, "")
	}
	for _, c := range []struct{ uid, id, want string }{
		{uid, one, "shop web-7d9f-x2x9z nginx"},
		{uid, other, "shop web-7d9f-x2x9z "}, // is of another pod
		{uid, "", "shop web-7d9f-x2x9z "},
		{static, one, "kube-system etcd-node-1 "},
		{"d2222222-0000-4000-8000-000000000001", one, "  "}, // too many names
		{"33333333-0000-4000-8000-000000000001", one, "  "}, // of two
		{"44444444-0000-4000-8000-000000000001", one, "  "},
		{"55555555-0000-4000-8000-000000000001", one, "  "},
		{"*", one, "  "},
		{"../../etc", one, "  "},
		{"", one, "  "},
	} {
		namespace, pod, container := Pod(root, c.uid, c.id)
		if got := namespace + " " + pod + " " + container; got != c.want {
			t.Errorf("%q, %q: %q, want %q", c.uid, c.id, got, c.want)
		}
	}
	if err := os.Chmod(filepath.Join(root, podLogs), 0o777); err != nil {
		t.Fatal(err)
	}
	if namespace, _, _ := Pod(root, uid, one); namespace != "" {
		t.Error("what others may write is believed")
	}
}
