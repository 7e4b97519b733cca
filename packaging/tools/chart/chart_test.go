package chart

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	source = "../../helm/kmodtrace"
	// containers is the script that takes each capability and mount away, and shows what it is for.
	containers = "../../../scripts/container-steps"
)

// program is where Go's cache has helm.
var program = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "tool", "-n", "helm").Output()
	return strings.TrimSpace(string(out)), err
})

func helm(args ...string) (stdout, stderr string, err error) {
	path, err := program()
	if err != nil {
		return "", "", err
	}
	var out, errOut bytes.Buffer
	c := exec.Command(path, args...)
	c.Stdout, c.Stderr = &out, &errOut
	err = c.Run()
	return out.String(), errOut.String(), err
}

func TestLint(t *testing.T) {
	if out, errOut, err := helm("lint", "--strict", source); err != nil {
		t.Errorf("%v: %s%s", err, out, errOut)
	}
}

// rendered is what the chart makes of values.
type rendered struct {
	set     appsv1.DaemonSet
	config  corev1.ConfigMap
	account corev1.ServiceAccount
}

func render(t *testing.T, values string) rendered {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errOut, err := helm("template", "watch", source, "--namespace", "monitoring", "--values", file)
	if err != nil {
		t.Fatalf("%v: %s", err, errOut)
	}
	var r rendered
	seen := make(map[string]int)
	for _, document := range strings.Split("\n"+out, "\n---") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
			t.Fatalf("%v: %s", err, document)
		}
		to := map[string]any{"apps/v1 DaemonSet": &r.set, "v1 ConfigMap": &r.config, "v1 ServiceAccount": &r.account}[kind.APIVersion+" "+kind.Kind]
		if to == nil {
			t.Fatalf("it makes a %s %s, for which it would need rights", kind.APIVersion, kind.Kind)
		}
		seen[kind.Kind]++
		// Strict: a field that the API does not have, or one twice, is an error.
		if err := yaml.UnmarshalStrict([]byte(document), to); err != nil {
			t.Errorf("%s: %v", kind.Kind, err)
		}
	}
	if seen["DaemonSet"] != 1 || seen["ConfigMap"] != 1 || seen["ServiceAccount"] != 1 {
		t.Fatalf("%v", seen)
	}
	return r
}

// TestDefaults: by the chart's own values it is as few rights as the service needs.
func TestDefaults(t *testing.T) {
	r := render(t, "")
	pod := r.set.Spec.Template.Spec
	if pod.HostNetwork || pod.HostIPC || !pod.HostPID || len(pod.Containers) != 1 || len(pod.InitContainers) != 0 {
		t.Errorf("host network %t, ipc %t, pid %t, %d containers", pod.HostNetwork, pod.HostIPC, pod.HostPID, len(pod.Containers))
	}
	if isNot(pod.AutomountServiceAccountToken) || isNot(r.account.AutomountServiceAccountToken) || pod.ServiceAccountName != r.account.Name {
		t.Error("the token of the API is mounted, or it is another account's")
	}
	c := pod.Containers[0]
	s := c.SecurityContext
	if isNot(s.Privileged) || isNot(s.AllowPrivilegeEscalation) || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
		t.Errorf("%+v", s)
	}
	if !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || c.ReadinessProbe == nil || c.LivenessProbe != nil {
		t.Errorf("%+v, %+v", s.Capabilities, c.ReadinessProbe)
	}
	volumes := make(map[string]bool)
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	for _, m := range c.VolumeMounts {
		writable := m.MountPath == "/sys/kernel/tracing" || m.MountPath == "/var/lib/kmodtrace" || m.MountPath == "/run/kmodtrace"
		if !volumes[m.Name] || m.ReadOnly == writable {
			t.Errorf("%+v", m)
		}
	}
	if r.set.Namespace != "monitoring" || r.set.Spec.Selector.MatchLabels["app.kubernetes.io/instance"] != r.set.Spec.Template.Labels["app.kubernetes.io/instance"] {
		t.Errorf("%+v", r.set.ObjectMeta)
	}
}

func isNot(b *bool) bool { return b == nil || *b }

// TestMeasured: the chart gives the capabilities and the mounts that TestContainer takes away one at a time, and no others.
func TestMeasured(t *testing.T) {
	steps, err := os.ReadFile(containers)
	if err != nil {
		t.Fatal(err)
	}
	list := func(name string) []string {
		m := regexp.MustCompile(`(?m)^` + name + `="([^"]+)"$`).FindSubmatch(steps)
		if m == nil {
			t.Fatalf("%s names no %s", containers, name)
		}
		all := strings.Fields(string(m[1]))
		slices.Sort(all)
		return all
	}
	c := render(t, "").set.Spec.Template.Spec.Containers[0]
	var has []string
	for _, name := range c.SecurityContext.Capabilities.Add {
		has = append(has, "CAP_"+string(name))
	}
	slices.Sort(has)
	if want := list("capabilities"); !slices.Equal(has, want) {
		t.Errorf("capabilities: %v, want %v", has, want)
	}
	for _, path := range list("mounts") {
		if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path }) {
			t.Errorf("no mount of %s", path)
		}
	}
}

// TestValues: what values change.
func TestValues(t *testing.T) {
	r := render(t, `
capabilities: [BPF, PERFMON]
config: {outputs: [{type: stdout, format: ecs}]}
rules:
  local.yaml: |
    rules:
      - id: ours
hostPaths: [/etc/modprobe.d, /var/lib/dpkg]
image: {digest: "sha256:`+strings.Repeat("a", 64)+`"}
nodeSelector: {}
imagePullSecrets: [{name: registry}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
podLabels: {team: a}
podAnnotations: {b: c}
extraVolumes: [{name: certificates, hostPath: {path: /etc/ssl/certs}}]
extraVolumeMounts: [{name: certificates, mountPath: /etc/ssl/certs, readOnly: true}]
`)
	pod := r.set.Spec.Template.Spec
	c := pod.Containers[0]
	if !strings.HasSuffix(c.Image, "@sha256:"+strings.Repeat("a", 64)) || len(c.SecurityContext.Capabilities.Add) != 2 || pod.Affinity == nil || len(pod.ImagePullSecrets) != 1 {
		t.Errorf("%+v", c)
	}
	if !strings.Contains(r.config.Data["kmodtrace.yaml"], "type: stdout") || r.config.Data["rules.local.yaml"] != "rules:\n  - id: ours\n" {
		t.Errorf("%q", r.config.Data)
	}
	i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.ConfigMap != nil })
	if items := pod.Volumes[i].ConfigMap.Items; len(items) != 2 || items[1].Key != "rules.local.yaml" || items[1].Path != "rules.d/local.yaml" {
		t.Errorf("%+v", items)
	}
	if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == "/var/lib/dpkg" && m.ReadOnly }) {
		t.Errorf("%+v", c.VolumeMounts)
	}
	if before, after := render(t, "").set.Spec.Template.Annotations["checksum/config"], r.set.Spec.Template.Annotations["checksum/config"]; before == after {
		t.Error("another configuration does not restart the service")
	}
}

// TestRefused: values that the schema refuses, before anything is installed.
func TestRefused(t *testing.T) {
	for name, values := range map[string]string{
		"a word that it does not know": "hostNetwork: true",
		"a capability too many":        "capabilities: [SYS_MODULE]",
		"a prefix":                     "capabilities: [CAP_BPF]",
		"no capability":                "capabilities: []",
		"a path that is relative":      "journal: {hostPath: var/lib}",
		"rules outside of rules.d":     "rules: {../x.yaml: a}",
		"rules that are not text":      "rules: {x.yaml: [a]}",
		"a digest of nothing":          "image: {digest: sha256}",
		"no repository":                "image: {repository: ''}",
		"a profile":                    "seccompProfile: {type: unconfined}",
	} {
		file := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, errOut, err := helm("template", "watch", source, "--values", file); err == nil || !strings.Contains(errOut, "schema") {
			t.Errorf("%s: %v, %s%s", name, err, out, errOut)
		}
	}
}
