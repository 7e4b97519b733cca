package output

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Config is one entry of the configuration's list of outputs.
type Config struct {
	// Type is the place: file, stdout, journald, syslog or otlp.
	Type string `yaml:"type"`
	// Name tells two outputs of a type apart; the type if empty.
	Name string `yaml:"name"`
	// Timeout is how long one batch may take; ten seconds if zero.
	Timeout time.Duration `yaml:"timeout"`

	// Format of a file's and standard output's lines: json (the records as they are),
	// ocsf or ecs; json if empty.
	Format string `yaml:"format"`

	// Path is the file.
	Path string `yaml:"path"`
	// MaxMiB is the size at which the file is moved aside and a new one begins; 100 if
	// zero.
	MaxMiB int `yaml:"max_mib"`
	// Keep is how many files moved aside are kept; all if zero.
	Keep int `yaml:"keep"`

	// Address is where journald or syslog is: "unix:" and a path, for syslog also
	// "udp:HOST:PORT" or "tcp:HOST:PORT". The system's own if empty.
	Address string `yaml:"address"`
	// Facility is syslog's: daemon, authpriv, local0, … ; daemon if empty.
	Facility string `yaml:"facility"`

	// Endpoint is the URL of a collector of OpenTelemetry logs (OTLP by HTTP). Without a
	// path it is that of the standard, /v1/logs.
	Endpoint string `yaml:"endpoint"`
	// Headers go with each request to it, as a password does. Nobody else should be
	// able to read the configuration then.
	Headers map[string]string `yaml:"headers"`

	// Confirm names where the records can be asked for again; nil to trust who takes them.
	Confirm *ConfirmConfig `yaml:"confirm"`
}

const (
	defaultTimeout = 10 * time.Second
	defaultMiB     = 100
	maxMiB         = 1 << 20
)

// Label is its name, or what stands for one.
func (c Config) Label() string {
	if c.Name != "" {
		return c.Name
	}
	return c.Type
}

// Check tells what is wrong with it.
func (c Config) Check() error {
	const types = "must be file, stdout, journald, syslog or otlp"
	known, ok := keys[c.Type]
	switch {
	case c.Type == "":
		return errors.New("no type: " + types)
	case !ok:
		return fmt.Errorf("type %q: %s", c.Type, types)
	}
	for _, key := range slices.Sorted(maps.Keys(c.given())) {
		if !slices.Contains(known, key) {
			return fmt.Errorf("%s is not for the type %s, which takes %s", key, c.Type, strings.Join(known, ", "))
		}
	}
	if c.Timeout < 0 {
		return fmt.Errorf("timeout %v: must be more than 0, as 10s", c.Timeout)
	}
	if c.MaxMiB < 0 || c.MaxMiB > maxMiB || c.Keep < 0 {
		return fmt.Errorf("max_mib %d, keep %d: must not be negative, and max_mib must be at most %d", c.MaxMiB, c.Keep, maxMiB)
	}
	if _, ok := formats[c.Format]; !ok {
		return fmt.Errorf("format %q: must be json, ocsf or ecs", c.Format)
	}
	if err := c.Confirm.check(c); err != nil {
		return err
	}
	switch c.Type {
	case typeFile:
		return absolute("path", c.Path)
	case typeJournald:
		_, _, err := splitAddress(c.Address, journaldSocket, "unix")
		return err
	case typeSyslog:
		if _, ok := facilities[c.Facility]; !ok {
			return fmt.Errorf("facility %q: must be one of %s", c.Facility, facilityNames())
		}
		_, _, err := splitAddress(c.Address, syslogSocket, "unix", "udp", "tcp")
		return err
	case typeOTLP:
		_, err := c.endpoint()
		return err
	}
	return nil
}

// given are the keys that it has, beside those of all types.
func (c Config) given() map[string]bool {
	all := map[string]bool{
		"format": c.Format != "", "path": c.Path != "", "max_mib": c.MaxMiB != 0, "keep": c.Keep != 0,
		"address": c.Address != "", "facility": c.Facility != "",
		"endpoint": c.Endpoint != "", "headers": len(c.Headers) > 0, "confirm": c.Confirm != nil,
	}
	maps.DeleteFunc(all, func(_ string, given bool) bool { return !given })
	return all
}

func absolute(key, path string) error {
	if !filepath.IsAbs(path) || strings.HasSuffix(path, "/") || strings.ContainsRune(path, 0) {
		return fmt.Errorf("%s %q: must be the absolute path of a file", key, path)
	}
	return nil
}

// splitAddress gives what stands before the first colon, and after it.
func splitAddress(address, otherwise string, networks ...string) (network, where string, err error) {
	if address == "" {
		return "unix", otherwise, nil
	}
	network, where, _ = strings.Cut(address, ":")
	if !slices.Contains(networks, network) {
		forms := map[string]string{"unix": "unix:PATH", "udp": "udp:HOST:PORT", "tcp": "tcp:HOST:PORT"}
		var want []string
		for _, n := range networks {
			want = append(want, forms[n])
		}
		return "", "", fmt.Errorf("address %q: must be %s", address, strings.Join(want, " or "))
	}
	if network == "unix" {
		return network, where, absolute("address unix:", where)
	}
	host, port, err := net.SplitHostPort(where)
	if err != nil || host == "" || port == "" {
		return "", "", fmt.Errorf("address %q: must be %s:HOST:PORT", address, network)
	}
	if _, err := net.LookupPort(network, port); err != nil {
		return "", "", fmt.Errorf("address %q: no port of %s is called %q", address, network, port)
	}
	return network, where, nil
}

func (c Config) endpoint() (*url.URL, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("endpoint %q: must be a URL as http://127.0.0.1:4318", c.Endpoint)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/logs"
	}
	for name, value := range c.Headers {
		if !token(name) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return nil, fmt.Errorf("headers: %q is not an HTTP header, or its value is not valid", name)
		}
	}
	return u, nil
}

// token tells what may be the name of a header.
func token(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// Owns tells whether a path is that of the file, or could be that of one that was moved
// aside.
func (c Config) Owns(path string) bool {
	if c.Type != typeFile || path == "" {
		return false
	}
	own := filepath.Clean(c.Path)
	path = filepath.Clean(path)
	if path == own {
		return true
	}
	before, after := asideParts(own)
	middle, ok := strings.CutPrefix(path, before)
	middle, ends := strings.CutSuffix(middle, after)
	_, err := time.Parse(asideTime, middle)
	return ok && ends && err == nil
}

// Warnings say what is dangerous in a configuration that can be used.
func (c Config) Warnings() []string {
	if c.Type != typeOTLP {
		return nil
	}
	u, err := c.endpoint()
	if err != nil || u.Scheme != "http" || ownMachine(u.Hostname()) {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if credential(name) {
			return []string{fmt.Sprintf("the header %s goes to %s without encryption: whoever is on the way can read it; want https", name, u.Host)}
		}
	}
	return nil
}

// credential tells whether a header's name says that its value is a secret.
func credential(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "token", "key", "secret", "password", "cookie", "credential", "session"}, func(word string) bool {
		return strings.Contains(name, word)
	})
}

// ownMachine tells whether what is sent to a host does not leave this machine.
func ownMachine(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
