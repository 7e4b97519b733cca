package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestContainer: the image runs in a container with a read-only root and the capabilities and mounts that README.md names. It sees
// there what is seen outside. With any of them taken away, doctor names that one and what it is for, and something is no longer
// seen: so the list has none that nothing needs.
func TestContainer(t *testing.T) {
	arch, series, ok := strings.Cut(os.Getenv("KMODTRACE_MACHINES"), "/")
	if !ok {
		t.Skip(needsShop)
	}
	c := exec.Command("../../scripts/image", arch)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	layer, got := filepath.Join(dir, "layer.tar.gz"), filepath.Join(dir, "out") // where lab run puts /out
	if err := os.WriteFile(layer, layerOf(t, filepath.Join("../..", strings.TrimSpace(string(out))), arch), 0o644); err != nil {
		t.Fatal(err)
	}
	hello := filepath.Join(builtSpecimens(t, arch, series), "hello.ko")
	disk := diskOf(t, "crun", "crun")
	c = exec.Command("../../bin/kmodtrace", "lab", "run", "--kernel", series, "--arch", arch, "--timeout", "0", "--disk", disk, "--get", "/out:"+dir,
		"--add", layer, "--add", hello, "--add", "../../scripts/container-steps", "--", "sh", "container-steps")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	judgeContainers(t, got)
}

// confinedRun is what was seen in one container.
type confinedRun struct {
	doctor doctorReport
	serve  string          // what the service printed
	facts  map[string]bool // of the record of the load: which fields it has
}

type doctorReport struct {
	Works    bool
	Checks   []struct{ Name, Have, Note string }
	Coverage struct {
		Hooks []struct {
			Target, How string
			Attached    bool
		}
	}
}

func (r doctorReport) attached() int {
	n := 0
	for _, h := range r.Coverage.Hooks {
		if h.Attached {
			n++
		}
	}
	return n
}

// answers gives the checks that say anything else than yes.
func (r doctorReport) answers() map[string]string {
	not := make(map[string]string)
	for _, c := range r.Checks {
		if c.Have != "yes" {
			not[c.Name] = c.Note
		}
	}
	return not
}

func judgeContainers(t *testing.T, dir string) {
	t.Helper()
	host := readDoctor(t, filepath.Join(dir, "host.doctor"))
	whole := map[string]confinedRun{"all": readConfined(t, dir, "all"), "few": readConfined(t, dir, "few")}
	for title, one := range whole {
		if !one.doctor.Works || one.doctor.attached() != host.attached() || len(one.facts) == 0 {
			t.Errorf("%s: works %t, %d hooks where the machine itself has %d, %d facts of the load: %s",
				title, one.doctor.Works, one.doctor.attached(), host.attached(), len(one.facts), one.serve)
		}
		for _, name := range []string{"capabilities", "mounts", "host processes"} {
			if note, ok := one.doctor.answers()[name]; ok {
				t.Errorf("%s: doctor says of %s: %s", title, name, note)
			}
		}
		if lost := lostOf(whole["all"], one); len(lost) > 0 {
			t.Errorf("%s: not known of the load: %v", title, lost)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.serve"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".serve")
		if _, ok := whole[name]; ok {
			continue
		}
		before := whole["few"]
		if name == "CAP_SYS_ADMIN" {
			before = whole["all"]
		}
		t.Run(name, func(t *testing.T) { judgeLack(t, name, before, readConfined(t, dir, name)) })
	}
}

// judgeLack judges a container that lacks one thing.
func judgeLack(t *testing.T, name string, all, one confinedRun) {
	check, want := "capabilities", "no "+name+" ("
	switch {
	case name == "pid":
		check, want = "host processes", "this is a pid namespace of its own"
	case strings.HasPrefix(name, "."):
		check, want = "mounts", "no "+strings.ReplaceAll(name, ".", "/")+" ("
	}
	lost := lostOf(all, one)
	t.Logf("works %t, %d of %d hooks, lost of the record: %s; doctor: %v; service: %s",
		one.doctor.Works, one.doctor.attached(), all.doctor.attached(), strings.Join(lost, " "), one.doctor.answers(), lastLine(one.serve))
	if note, ok := one.doctor.answers()[check]; !ok || !strings.HasPrefix(note, want) || strings.Contains(note, "; ") || strings.Contains(note, "\n") {
		t.Errorf("doctor says of %s: %q, want one line that begins with %q", check, note, want)
	}
	if one.doctor.Works && one.doctor.attached() == all.doctor.attached() && len(lost) == 0 && sameAnswers(all, one, check) {
		t.Error("nothing is missed without it: nobody should be asked for it")
	}
}

// lostOf gives the facts of the load that one has not.
func lostOf(all, one confinedRun) []string {
	var lost []string
	for fact := range all.facts {
		if !one.facts[fact] {
			lost = append(lost, fact)
		}
	}
	slices.Sort(lost)
	return lost
}

// sameAnswers tells whether doctor knows as much without one thing, apart from the check that names it.
func sameAnswers(all, one confinedRun, check string) bool {
	was, is := all.doctor.answers(), one.doctor.answers()
	delete(is, check)
	for name := range is {
		if _, ok := was[name]; !ok {
			return false
		}
	}
	return true
}

func readConfined(t *testing.T, dir, name string) confinedRun {
	t.Helper()
	r := confinedRun{doctor: readDoctor(t, filepath.Join(dir, name+".doctor")), serve: string(content(t, filepath.Join(dir, name+".serve"))), facts: make(map[string]bool)}
	line, _, _ := strings.Cut(string(content(t, filepath.Join(dir, name+".history"))), "\n")
	if line == "" {
		return r
	}
	var record any
	if err := json.Unmarshal([]byte(line), &record); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	fields(record, "", r.facts)
	return r
}

// fields gathers the paths of a value's fields; the elements of an array count as one.
func fields(value any, path string, into map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for name, of := range v {
			fields(of, path+"."+name, into)
		}
	case []any:
		for _, of := range v {
			fields(of, path+"[]", into)
		}
	default:
		into[strings.TrimPrefix(path, ".")] = true
	}
}

func readDoctor(t *testing.T, path string) doctorReport {
	t.Helper()
	var r doctorReport
	if err := json.Unmarshal(content(t, path), &r); err != nil {
		t.Fatalf("%s: %v: %s", path, err, content(t, path))
	}
	return r
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// layerOf takes an image's one layer out of an archive that is an OCI layout, by the descriptors from its index on, each of which
// must have the digest that it says.
func layerOf(t *testing.T, archive, arch string) []byte {
	t.Helper()
	files := membersOfTar(t, archive)
	type descriptor struct {
		Digest   string
		Platform struct{ Architecture string }
	}
	var index struct{ Manifests []descriptor }
	blob := func(d descriptor) []byte {
		data := files["blobs/"+strings.Replace(d.Digest, ":", "/", 1)]
		if sum := sha256.Sum256(data); d.Digest != "sha256:"+hex.EncodeToString(sum[:]) {
			t.Fatalf("%s: not what its digest says", d.Digest)
		}
		return data
	}
	parse := func(data []byte, to any) {
		if err := json.Unmarshal(data, to); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
	}
	parse(files["index.json"], &index)
	parse(blob(index.Manifests[0]), &index)
	at := slices.IndexFunc(index.Manifests, func(d descriptor) bool { return d.Platform.Architecture == arch })
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	parse(blob(index.Manifests[at]), &manifest)
	var config struct {
		Architecture string
		Config       struct {
			Entrypoint, Cmd []string
			Labels          map[string]string
		}
	}
	parse(blob(manifest.Config), &config)
	if config.Architecture != arch || strings.Join(append(config.Config.Entrypoint, config.Config.Cmd...), " ") != "/usr/bin/kmodtrace serve" ||
		config.Config.Labels["org.opencontainers.image.licenses"] != "Apache-2.0" || config.Config.Labels["org.opencontainers.image.version"] == "" || len(manifest.Layers) != 1 {
		t.Errorf("%+v", config)
	}
	return blob(manifest.Layers[0])
}

func membersOfTar(t *testing.T, path string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for in := tar.NewReader(bytes.NewReader(content(t, path))); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(in); err != nil {
			t.Fatal(err)
		}
	}
}
