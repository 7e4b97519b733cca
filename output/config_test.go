package output

import (
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

func TestConfig(t *testing.T) {
	const text = `
- type: file
  path: /var/log/kmodtrace/records.jsonl
  format: ecs
  max_mib: 10
  keep: 3
- type: stdout
  format: ocsf
- type: journald
- type: syslog
  name: far
  address: tcp:[::1]:601
  facility: local3
  timeout: 1m30s
- type: otlp
  endpoint: https://collector.example
  headers:
    Authorization: Bearer x
`
	want := []Config{
		{Type: "file", Path: "/var/log/kmodtrace/records.jsonl", Format: "ecs", MaxMiB: 10, Keep: 3},
		{Type: "stdout", Format: "ocsf"},
		{Type: "journald"},
		{Type: "syslog", Name: "far", Address: "tcp:[::1]:601", Facility: "local3", Timeout: 90 * time.Second},
		{Type: "otlp", Endpoint: "https://collector.example", Headers: map[string]string{"Authorization": "Bearer x"}},
	}
	var got []Config
	if err := yaml.UnmarshalWithOptions([]byte(text), &got, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	for i, label := range []string{"file", "stdout", "journald", "far", "otlp"} {
		o, err := got[i].Open(Surroundings{})
		if err != nil {
			t.Fatal(err)
		}
		if o.Name() != label || got[i].Label() != label {
			t.Errorf("%q is called %q", label, o.Name())
		}
		if err := o.Close(); err != nil {
			t.Errorf("%s: %v", label, err)
		}
	}
}

func TestConfigWrong(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{}, `no type: must be file`},
		{Config{Type: "pigeon"}, `type "pigeon": must be file, stdout, journald, syslog or otlp`},
		{Config{Type: "file"}, `path ""`},
		{Config{Type: "file", Path: "relative"}, `path "relative"`},
		{Config{Type: "file", Path: "/x/"}, `path "/x/"`},
		{Config{Type: "file", Path: "/x\x00"}, `path`},
		{Config{Type: "file", Path: "/x", Keep: -1}, "keep -1"},
		{Config{Type: "file", Path: "/x", MaxMiB: -1}, "max_mib -1"},
		{Config{Type: "file", Path: "/x", MaxMiB: 1 << 30}, "at most"},
		{Config{Type: "file", Path: "/x", Format: "xml"}, `format "xml": must be json, ocsf or ecs`},
		{Config{Type: "file", Path: "/x", Address: "unix:/x"}, "address is not for the type file, which takes format, path, max_mib, keep"},
		{Config{Type: "stdout", Path: "/x"}, "path is not for"},
		{Config{Type: "stdout", Timeout: -1}, "timeout"},
		{Config{Type: "journald", Format: "ecs"}, "format is not for"},
		{Config{Type: "journald", Address: "tcp:x:1"}, "must be unix:PATH"},
		{Config{Type: "journald", Address: "unix:x"}, "absolute"},
		{Config{Type: "syslog", Address: "x"}, "must be unix:PATH or udp:HOST:PORT or tcp:HOST:PORT"},
		{Config{Type: "syslog", Address: "udp:x"}, "must be udp:HOST:PORT"},
		{Config{Type: "syslog", Address: "udp::514"}, "must be udp:HOST:PORT"},
		{Config{Type: "syslog", Address: "tcp:x:99999"}, "port"},
		{Config{Type: "syslog", Facility: "mine"}, "must be one of audit, auth, authpriv, daemon, kern, local0"},
		{Config{Type: "otlp"}, "endpoint"},
		{Config{Type: "otlp", Endpoint: "127.0.0.1:4317"}, "must be a URL"},
		{Config{Type: "otlp", Endpoint: "ftp://x"}, "must be a URL"},
		{Config{Type: "otlp", Endpoint: "http://"}, "must be a URL"},
		{Config{Type: "otlp", Endpoint: "http://u:p@x"}, "must be a URL"},
		{Config{Type: "otlp", Endpoint: "http://x", Headers: map[string]string{"a b": "c"}}, "headers"},
		{Config{Type: "otlp", Endpoint: "http://x", Headers: map[string]string{"a": "c\r\nd: e"}}, "headers"},
	} {
		err := c.config.Check()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, want %q", c.config, err, c.want)
		}
		if _, err := c.config.Open(Surroundings{}); err == nil {
			t.Errorf("%+v is opened", c.config)
		}
	}
}
