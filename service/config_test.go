package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "journal:\n"} {
		c, err := Parse([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if c.Journal.Path != DefaultJournal || time.Duration(c.Journal.AnchorEvery) != time.Hour || c.Backend != "auto" {
			t.Errorf("%q: %+v", text, c)
		}
	}
}

// TestPackagedConfiguration: what is packaged can be used, and says what the defaults are.
func TestPackagedConfiguration(t *testing.T) {
	path := "../packaging/kmodtrace.yaml"
	if _, err := Load(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse([]byte(uncommented(string(text))))
	if err != nil {
		t.Fatalf("%v\n%s", err, uncommented(string(text)))
	}
	if c.Journal.Path != DefaultJournal || time.Duration(c.Journal.KeepFor) != 400*24*time.Hour || c.Metrics.Listen != "127.0.0.1:9722" {
		t.Errorf("%+v", c)
	}
}

// uncommented turns lines as "#key: value" into keys.
func uncommented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		rest := strings.TrimLeft(line, " ")
		if key, ok := strings.CutPrefix(rest, "#"); ok && !strings.HasPrefix(key, " ") && strings.Contains(key, ": ") {
			line = indent + key
		}
		b.WriteString(line)
	}
	return b.String()
}

func TestBadConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"journal:\n  pth: /x\n":                                 "line 2, column 3: unknown field \"pth\"",
		"metric:\n  listen: 127.0.0.1:1\n":                      "line 1, column 1: unknown field \"metric\"",
		"journal: [1, 2]\n":                                     "line 1, column",
		"journal:\n  path: /a\n  path: /b\n":                    "line 3, column",
		"journal:\n  path: relative.db\n":                       `journal.path "relative.db": must be an absolute path`,
		"journal:\n  keep_for: for ever\n":                      `"for ever" is not a duration`,
		"journal:\n  keep_for: -5h\n":                           "is not a duration",
		"journal:\n  keep_for: 99999999999d\n":                  "is not a duration",
		"journal:\n  keep_mib: 1\n":                             "must be at least 4",
		"journal:\n  keep_mib: 1073741825\n":                    "must be at most 1073741824",
		"journal:\n  keep_mib: 17592186044416\n":                "must be at most 1073741824", // no bytes, in 64 bits
		"journal:\n  keep_mib: -1\n":                            "must not be negative",
		"journal:\n  anchor_every: 1s\n":                        "must be at least a minute",
		"copies:\n  keep: some\n":                               `copies.keep "some": must be unpackaged, all or none`,
		"copies:\n  path: x\n":                                  `copies.path "x": must be an absolute path`,
		"copies:\n  max_mib: -1\n":                              "copies.max_mib -1: must be from 1 to",
		"rules:\n  paths: [rules.d]\n":                          `rules.paths "rules.d": must be absolute paths`,
		"rules:\n  of: [x]\n":                                   `line 2, column 3: unknown field "of"`,
		"outputs:\n  - type: stdout\n    name: findings\n":      `"findings" is the name of what the rules find`,
		"backend: magic\n":                                      `no backend "magic"`,
		"metrics:\n  listen: 0.0.0.0:9722\n":                    "must be an address of this machine itself",
		"metrics:\n  listen: :9722\n":                           "must be an address of this machine itself",
		"metrics:\n  listen: nonsense\n":                        "must be HOST:PORT or unix:PATH",
		"metrics:\n  listen: unix:relative\n":                   "must be unix: and an absolute path",
		"outputs:\n  - name: x\n":                               "outputs, number 1: no type",
		"outputs:\n  - type: stdout\n  - type: stdout\n":        `outputs, number 2: there is one named "stdout" already`,
		"\tjournal:\n":                                          "line 1, column",
		"a: &a [*a]\n":                                          "line 1, column",
		"\x00\x01\x02":                                          "",
		"journal: {path: /x, keep_mib: 18446744073709551616}\n": "keep_mib",
		"journal:\n  path: \"/x\nbackend: auto\n":               "line",
		"journal:\n  keep_for:\n    - 1h\n":                     "is not a duration",
	} {
		_, err := Parse([]byte(text))
		switch {
		case err == nil:
			t.Errorf("%q is taken", text)
		case !strings.Contains(err.Error(), want):
			t.Errorf("%q: %v, want %q", text, err, want)
		case strings.Contains(err.Error(), "\n"):
			t.Errorf("%q: more than a line: %q", text, err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge.yaml")
	if err := os.WriteFile(huge, []byte(strings.Repeat("#", maxConfig+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "no such file",
		dir:                             "is a directory",
		huge:                            "more than",
		"/dev/zero":                     "more than",
	} {
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := Load(os.DevNull); err != nil {
		t.Errorf("no configuration at all: %v", err)
	}
}

// TestOutputFiles: an output is neither the journal nor a file of another output, by any
// spelling of the path.
func TestOutputFiles(t *testing.T) {
	const journal = "journal:\n  path: /var/lib/x/journal.db\noutputs:\n"
	one := func(path string) string {
		return "  - type: file\n    name: " + filepath.Base(path) + "x\n    path: " + path + "\n"
	}
	for _, bad := range []string{
		"/var/lib/x/journal.db", "/var/lib/x/../x//journal.db", "/var/lib/x/journal.db-wal", "/var/lib/x/journal.db-shm", "/var/lib/x/journal.db-lock",
		"/var/lib/x/journal.db-journal", "/var/lib/x/journal.db.damaged-20260101T000000Z", "/var/lib/x/journal.db.damaged-20260101T000000Z-wal",
	} {
		if _, err := Parse([]byte(journal + one(bad))); err == nil || !strings.Contains(err.Error(), "is a file of the journal") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, bad := range [][2]string{
		{"/log/a.jsonl", "/log/./a.jsonl"}, {"/log/a.jsonl", "/log/a-2026-01-02T15-04-05.000.jsonl"}, {"/log/a", "/log/a-2026-01-02T15-04-05.000"},
	} {
		for range 2 {
			text := journal + one(bad[0]) + strings.Replace(one(bad[1]), "name: ", "name: second", 1)
			if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "is a file of number") {
				t.Errorf("%v: %v", bad, err)
			}
			bad[0], bad[1] = bad[1], bad[0]
		}
	}
	if _, err := Parse([]byte(journal + one("/log/a.jsonl") + one("/log/a-b.jsonl") + one("/var/lib/x/journal.dbx"))); err != nil {
		t.Error(err)
	}
}

// TestWarnings: what is sent to another machine without encryption, and is a secret, is
// warned of without telling it.
func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		endpoint, header string
		warns            bool
	}{
		{"http://collector.example:4318", "Authorization", true},
		{"http://10.0.0.1:4318", "X-Api-Key", true},
		{"http://collector.example:4318", "X-Scope-OrgID", false},
		{"https://collector.example:4318", "Authorization", false},
		{"http://127.0.0.1:4318", "Authorization", false},
		{"http://[::1]:4318", "Authorization", false},
		{"http://localhost:4318", "Authorization", false},
		{"http://localhost.example:4318", "Authorization", true},
	} {
		config, err := Parse([]byte("outputs:\n  - type: otlp\n    endpoint: " + c.endpoint + "\n    headers:\n      " + c.header + ": hunter2\n"))
		if err != nil {
			t.Fatal(err)
		}
		warnings := config.Warnings()
		if len(warnings) > 0 != c.warns {
			t.Errorf("%s, %s: %q", c.endpoint, c.header, warnings)
		}
		if strings.Contains(strings.Join(warnings, ""), "hunter2") {
			t.Errorf("the secret is told: %q", warnings)
		}
	}
}
