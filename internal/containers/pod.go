package containers

import (
	"path/filepath"
	"strings"
)

// Where the kubelet keeps what containers print, below the root: podLogs has NAMESPACE_POD_UID/CONTAINER/, and in
// containerLogs is a link POD_NAMESPACE_CONTAINER-ID.log for each container. No name of Kubernetes has a _.
const (
	podLogs       = "var/log/pods"
	containerLogs = "var/log/containers"
)

// Pod gives the names of a Kubernetes pod, by its UID, and of the container in it that has an id, as the kubelet's directories
// of logs have them. It asks no API. What they do not tell is empty, and so is all where others than root may write there.
func Pod(root, uid, id string) (namespace, pod, container string) {
	if uid == "" || strings.Trim(uid, "0123456789abcdef-") != "" || !ownDirectory(filepath.Join(root, podLogs)) {
		return "", "", ""
	}
	found, err := filepath.Glob(filepath.Join(root, podLogs, "*_"+uid))
	if err != nil || len(found) != 1 {
		return "", "", ""
	}
	parts := strings.Split(filepath.Base(found[0]), "_")
	if len(parts) != 3 || !isName(parts[0]) || !isName(parts[1]) {
		return "", "", ""
	}
	namespace, pod = parts[0], parts[1]
	if !isContainerID(id) || !ownDirectory(filepath.Join(root, containerLogs)) {
		return namespace, pod, ""
	}
	found, err = filepath.Glob(filepath.Join(root, containerLogs, pod+"_"+namespace+"_*-"+id+".log"))
	if err != nil || len(found) != 1 {
		return namespace, pod, ""
	}
	name := strings.TrimPrefix(filepath.Base(found[0]), pod+"_"+namespace+"_")
	if name = strings.TrimSuffix(name, "-"+id+".log"); isName(name) {
		container = name
	}
	return namespace, pod, container
}

// isName tells what Kubernetes takes for a name (RFC 1123).
func isName(s string) bool {
	return s != "" && len(s) <= 253 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
}
