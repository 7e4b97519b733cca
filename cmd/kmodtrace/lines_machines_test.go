package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/oops"
	"github.com/kmodtrace/kmodtrace/proof"
)

// TestReportLines: what the kernel reports during a load has the lines of the module's source, where
// its file has debug information, compressed or not; and no others.
func TestReportLines(t *testing.T) {
	arch, series, ok := strings.Cut(os.Getenv("KMODTRACE_MACHINES"), "/")
	if !ok {
		t.Skip("boots machines of the lab: scripts/lab-tests amd64/6.12/machines")
	}
	leaky := filepath.Join(withLines(t, arch, series), "leaky.ko")
	packed := leaky + ".xz"
	if out, err := exec.Command("xz", "-k", leaky).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	script := `for file in leaky.ko leaky.ko.xz bare/leaky.ko; do kmodtrace load --json $file what=warning; rmmod leaky; done; kmodtrace load leaky.ko what=warning`
	c := exec.Command("../../bin/kmodtrace", "lab", "run", "--kernel", series, "--arch", arch, "--timeout", "0",
		"--add", leaky, "--add", packed, "--add", filepath.Join(builtSpecimens(t, arch, series), "leaky.ko")+":/root/bare/leaky.ko", "--", "sh", "-c", script)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.SplitN(string(out), "\n", 4)
	for i, file := range []string{"leaky.ko", "leaky.ko.xz", "bare/leaky.ko"} {
		var r proof.Result
		if err := json.Unmarshal([]byte(lines[i]), &r); err != nil || len(r.Actions) != 1 || len(r.Actions[0].Reports) != 1 {
			t.Fatalf("%s: %v: %s", file, err, lines[i])
		}
		report := r.Actions[0].Reports[0]
		for _, at := range append(slices.Clone(report.Frames), report.Place) {
			if at.Unsure {
				continue
			}
			if want := at.Module == "leaky" && !strings.HasPrefix(file, "bare"); strings.HasPrefix(at.Source, "leaky.c:") != want && !kernelNamesIt(&report, &at) {
				t.Errorf("%s: %s is at %q", file, at.String(), at.Source)
			}
		}
	}
	if text := lines[3]; !strings.Contains(text, "[leaky], leaky.c:") {
		t.Errorf("no line of source in\n%s", text)
	}
}

// kernelNamesIt: a warning is printed with the place in the source.
func kernelNamesIt(r *oops.Report, at *oops.Frame) bool {
	return *at == r.Place && r.Kind == oops.Warning
}
