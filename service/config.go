package service

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/yamlfile"
	"github.com/kmodtrace/kmodtrace/output"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Where things are unless the configuration says otherwise.
const (
	DefaultConfig  = "/etc/kmodtrace/kmodtrace.yaml"
	DefaultJournal = "/var/lib/kmodtrace/journal.db"
)

// Config is the service's configuration. Each key is optional.
type Config struct {
	// Journal is the audit record.
	Journal JournalConfig `yaml:"journal"`
	// Backend is how the kernel is hooked: auto, fentry or kprobe.
	Backend string `yaml:"backend"`
	// Outputs are where records are passed on to.
	Outputs []output.Config `yaml:"outputs"`
	// Redact says what is taken out of arguments and parameters before a record is hashed.
	Redact []RedactRule `yaml:"redact"`
	// Copies says of which loads the file is kept.
	Copies CopiesConfig `yaml:"copies"`
	// Rules are what finds in records what needs a look.
	Rules RulesConfig `yaml:"rules"`
	// Metrics is where Prometheus and health checks ask.
	Metrics MetricsConfig `yaml:"metrics"`
}

// CopiesConfig is about the files of modules that are kept.
type CopiesConfig struct {
	// Keep says of which loads: unpackaged (what is not as a package brought it, nor DKMS built here), all or none;
	// unpackaged if empty. Of those who may not load modules none are kept.
	Keep string `yaml:"keep"`
	// Path is their directory; that of the journal and /copies if empty. A change needs a restart.
	Path string `yaml:"path"`
	// MaxMiB is how much all together may take; 256 if zero.
	MaxMiB int64 `yaml:"max_mib"`
}

// Of which loads files are kept.
const (
	keepUnpackaged = "unpackaged"
	keepAll        = "all"
	keepNone       = "none"

	defaultCopiesMiB = 256
)

// RulesConfig says which rules are used, beside those that are built in.
type RulesConfig struct {
	// Paths are files and directories of rules; [rule.DefaultDir] if there are none.
	Paths []string `yaml:"paths"`
	// Off are the ids of rules that are not used.
	Off []string `yaml:"off"`
}

// Load gives the rules that are meant. An error names the file, the line and the column.
func (c RulesConfig) Load() (s *rule.Set, err error) {
	if len(c.Paths) == 0 {
		s, err = rule.Machine()
	} else {
		s, err = rule.Load(c.Paths...)
	}
	if err == nil {
		s, err = s.Without(c.Off...)
	}
	if err != nil {
		return nil, cells.OneLine(fmt.Errorf("rules: %w", err))
	}
	return s, nil
}

// JournalConfig is about the journal's file.
type JournalConfig struct {
	// Path is the file. A change needs a restart.
	Path string `yaml:"path"`
	// KeepFor is the age after which records are removed; zero keeps them for ever.
	KeepFor Duration `yaml:"keep_for"`
	// KeepSize is the size in MiB above which the oldest records are removed; zero for
	// no bound.
	KeepSize int64 `yaml:"keep_mib"`
	// AnchorEvery is how often the journal's head is told to the system log; at least
	// a minute. Zero means every hour, unless nothing was recorded.
	AnchorEvery Duration `yaml:"anchor_every"`
	// VerifyEvery is how often all of it is verified; at least a minute. Zero means every
	// day.
	VerifyEvery Duration `yaml:"verify_every"`
}

// MetricsConfig is about /metrics and /healthz.
type MetricsConfig struct {
	// Listen is an address of this machine, "127.0.0.1:9722", or "unix:" and a path.
	// Empty for none.
	Listen string `yaml:"listen"`
}

// Duration is a time.Duration in YAML: "90m", and also "30d".
type Duration time.Duration

// UnmarshalYAML reads what time.ParseDuration does, and days.
func (d *Duration) UnmarshalYAML(text []byte) error {
	word := strings.Trim(strings.TrimSpace(string(text)), `"'`)
	unit := time.Duration(1)
	number := word
	if days, ok := strings.CutSuffix(word, "d"); ok {
		number, unit = days+"h", 24
	}
	parsed, err := time.ParseDuration(number)
	if err != nil || parsed < 0 || parsed > maxAge/unit {
		return fmt.Errorf("%q is not a duration, such as 90m, 12h or 30d", word)
	}
	*d = Duration(parsed * unit)
	return nil
}

// maxAge is a century.
const maxAge = 100 * 365 * 24 * time.Hour

// maxConfig bounds what is read of a file that is taken for a configuration.
const maxConfig = 1 << 20

// Load reads a configuration. A key that there is not is an error that names its line.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if len(text) > maxConfig {
		return nil, fmt.Errorf("configuration %s: more than %d bytes", path, maxConfig)
	}
	c, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

// Parse reads the text of a configuration, fills in what it leaves out, and checks it.
func Parse(text []byte) (*Config, error) {
	c := new(Config)
	if err := yamlfile.Unmarshal(text, c); err != nil {
		return nil, err
	}
	if c.Journal.Path == "" {
		c.Journal.Path = DefaultJournal
	}
	if c.Journal.AnchorEvery == 0 {
		c.Journal.AnchorEvery = Duration(time.Hour)
	}
	if c.Journal.VerifyEvery == 0 {
		c.Journal.VerifyEvery = Duration(24 * time.Hour)
	}
	if c.Backend == "" {
		c.Backend = tracer.Auto.String()
	}
	if c.Copies.Keep == "" {
		c.Copies.Keep = keepUnpackaged
	}
	if c.Copies.Path == "" {
		c.Copies.Path = CopiesOf(c.Journal.Path)
	}
	if c.Copies.MaxMiB == 0 {
		c.Copies.MaxMiB = defaultCopiesMiB
	}
	return c, c.check()
}

// CopiesOf gives the directory of the copies that belong to a journal, unless the configuration says otherwise.
func CopiesOf(journal string) string { return filepath.Join(filepath.Dir(journal), "copies") }

func (c *Config) check() error {
	switch {
	case !filepath.IsAbs(c.Journal.Path):
		return fmt.Errorf("journal.path %q: must be an absolute path", c.Journal.Path)
	case c.Journal.KeepSize < 0:
		return fmt.Errorf("journal.keep_mib %d: must not be negative", c.Journal.KeepSize)
	case c.Journal.KeepSize > 0 && c.Journal.KeepSize < leastSize:
		return fmt.Errorf("journal.keep_mib %d: must be at least %d", c.Journal.KeepSize, leastSize)
	case c.Journal.KeepSize > mostSize:
		return fmt.Errorf("journal.keep_mib %d: must be at most %d", c.Journal.KeepSize, mostSize)
	case time.Duration(c.Journal.AnchorEvery) < time.Minute:
		return fmt.Errorf("journal.anchor_every %v: must be at least a minute", time.Duration(c.Journal.AnchorEvery))
	case time.Duration(c.Journal.VerifyEvery) < time.Minute:
		return fmt.Errorf("journal.verify_every %v: must be at least a minute", time.Duration(c.Journal.VerifyEvery))
	}
	if _, err := tracer.ParseBackend(c.Backend); err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	if err := c.Metrics.check(); err != nil {
		return err
	}
	switch {
	case !slices.Contains([]string{keepUnpackaged, keepAll, keepNone}, c.Copies.Keep):
		return fmt.Errorf("copies.keep %q: must be unpackaged, all or none", c.Copies.Keep)
	case !filepath.IsAbs(c.Copies.Path):
		return fmt.Errorf("copies.path %q: must be an absolute path", c.Copies.Path)
	case c.Copies.MaxMiB < 0 || c.Copies.MaxMiB > mostSize:
		return fmt.Errorf("copies.max_mib %d: must be from 1 to %d", c.Copies.MaxMiB, mostSize)
	}
	for _, path := range c.Rules.Paths {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("rules.paths %q: must be absolute paths", path)
		}
	}
	for i := range c.Redact {
		if err := c.Redact[i].compile(); err != nil {
			return fmt.Errorf("redact, number %d: %w", i+1, err)
		}
	}
	names := make(map[string]bool)
	for i, o := range c.Outputs {
		if err := o.Check(); err != nil {
			return fmt.Errorf("outputs, number %d: %w", i+1, err)
		}
		if strings.HasSuffix(o.Label(), confirmedSuffix) {
			return fmt.Errorf("outputs, number %d: a name must not end in %q", i+1, confirmedSuffix)
		}
		if o.Label() == findingsName {
			return fmt.Errorf("outputs, number %d: %q is the name of what the rules find: want another", i+1, findingsName)
		}
		if name := o.Label(); names[name] {
			return fmt.Errorf("outputs, number %d: there is one named %q already", i+1, name)
		}
		names[o.Label()] = true
	}
	return c.checkFiles()
}

// leastSize and mostSize are of a journal in MiB. Twice as many bytes are a number too.
const (
	leastSize = 4
	mostSize  = 1 << 30
)

// checkFiles finds outputs that would write into the journal or into each other. Links are
// looked at when an output opens its file.
func (c *Config) checkFiles() error {
	for i := range c.Outputs {
		o := &c.Outputs[i]
		if ofJournal(c.Journal.Path, o.Path) {
			return fmt.Errorf("outputs, number %d: %q is a file of the journal", i+1, o.Path)
		}
		for k := range c.Outputs {
			if k != i && c.Outputs[k].Owns(o.Path) {
				return fmt.Errorf("outputs, number %d: %q is a file of number %d", i+1, o.Path, k+1)
			}
		}
	}
	return nil
}

// journalFiles are those of a journal that is in use.
func journalFiles(path string) (all []string) {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal", "-lock"} {
		all = append(all, path+suffix)
	}
	return all
}

// ofJournal tells whether a path is a file of the journal's, or of one that was set aside.
func ofJournal(journal, path string) bool {
	journal, path = filepath.Clean(journal), filepath.Clean(path)
	return slices.Contains(journalFiles(journal), path) || strings.HasPrefix(path, journal+".damaged-")
}

// others are the files that an output must not write, whatever links lead to them.
func (c *Config) others(i int) []string {
	all := journalFiles(c.Journal.Path)
	for k := range c.Outputs {
		if k != i && c.Outputs[k].Path != "" {
			all = append(all, c.Outputs[k].Path)
		}
	}
	return all
}

// Warnings say what is dangerous in a configuration that can be used.
func (c *Config) Warnings() []string {
	var all []string
	for i := range c.Outputs {
		if c.Outputs[i].Confirm != nil && c.Journal.KeepFor > 0 && c.Journal.KeepSize == 0 {
			all = append(all, fmt.Sprintf("outputs, number %d: while nothing is confirmed, the journal grows without bound: journal.keep_mib bounds it", i+1))
		}
		for _, text := range c.Outputs[i].Warnings() {
			all = append(all, fmt.Sprintf("outputs, number %d: %s", i+1, text))
		}
	}
	return all
}

func (m MetricsConfig) check() error {
	if m.Listen == "" {
		return nil
	}
	if path, ok := strings.CutPrefix(m.Listen, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("metrics.listen %q: must be unix: and an absolute path", m.Listen)
		}
		return nil
	}
	host, _, err := net.SplitHostPort(m.Listen)
	if err != nil {
		return fmt.Errorf("metrics.listen %q: must be HOST:PORT or unix:PATH", m.Listen)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("metrics.listen %q: must be an address of this machine itself, such as 127.0.0.1: other machines must not see which modules are loaded", m.Listen)
	}
	return nil
}
