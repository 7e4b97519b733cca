package service

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestPackagedRules: what is packaged for Prometheus and Grafana asks only for metrics that
// there are, and the dashboard for each of them.
func TestPackagedRules(t *testing.T) {
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`\bkmodtrace_[a-z_]+\b`)
	known := make(map[string]bool)
	for _, n := range name.FindAllString(string(source), -1) {
		known[n] = true
	}
	drawn := make(map[string]bool)
	for path, read := range map[string]func([]byte, any) error{
		"../packaging/kmodtrace.rules.yaml": func(text []byte, v any) error { return yaml.Unmarshal(text, v) },
		"../packaging/grafana.json":         json.Unmarshal,
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var document any
		if err := read(text, &document); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		asked := name.FindAllString(string(text), -1)
		if len(asked) == 0 {
			t.Errorf("%s asks for nothing", path)
		}
		for _, n := range asked {
			if !known[n] {
				t.Errorf("%s asks for %s, which there is not", path, n)
			}
			if strings.HasSuffix(path, "grafana.json") {
				drawn[n] = true
			}
		}
	}
	for n := range known {
		if !drawn[n] {
			t.Errorf("the dashboard does not show %s", n)
		}
	}
}
