package output

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"
)

// ConfirmConfig names where what an output sent can be asked for again: who acknowledges a record
// may lose it, and so may everybody behind it.
type ConfirmConfig struct {
	// VictoriaLogs is the URL of one, or of the vlselect of a cluster.
	VictoriaLogs string `yaml:"victorialogs"`
	// File is a file of JSON lines, or a pattern for several, as *.jsonl.
	File string `yaml:"file"`
	// Every is how often it is asked; half a minute if zero.
	Every time.Duration `yaml:"every"`
	// Settle is how long a record may take to get there before it is sent again; twenty
	// seconds if zero.
	Settle time.Duration `yaml:"settle"`
}

const (
	defaultEvery  = 30 * time.Second
	defaultSettle = 20 * time.Second
	leastEvery    = 100 * time.Millisecond
	mostEvery     = 24 * time.Hour
)

// Times gives how often it is asked and how long a record may take.
func (c *ConfirmConfig) Times() (every, settle time.Duration) {
	every, settle = c.Every, c.Settle
	if every == 0 {
		every = defaultEvery
	}
	if settle == 0 {
		settle = defaultSettle
	}
	return every, settle
}

// URL gives that of the store.
func (c *ConfirmConfig) URL() (*url.URL, error) {
	u, err := url.Parse(c.VictoriaLogs)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("confirm.victorialogs %q: must be a URL such as http://127.0.0.1:9428", c.VictoriaLogs)
	}
	return u, nil
}

// check tells what is wrong with it, for an output of a type and a format.
func (c *ConfirmConfig) check(of Config) error {
	if c == nil {
		return nil
	}
	switch {
	case c.VictoriaLogs == "" && c.File == "":
		return errors.New("confirm: needs victorialogs, a URL, or file, a path")
	case c.VictoriaLogs != "" && c.File != "":
		return errors.New("confirm: victorialogs and file are mutually exclusive")
	case c.VictoriaLogs != "" && of.Type != typeOTLP:
		return fmt.Errorf("confirm.victorialogs is for the type %s, not for %s: only its fields can be asked for", typeOTLP, of.Type)
	case c.File != "" && of.Type != typeOTLP && of.Type != typeFile:
		return fmt.Errorf("confirm.file is for the types %s and %s, not for %s", typeOTLP, typeFile, of.Type)
	case c.File != "" && of.Type == typeFile && of.Format != "" && of.Format != "json":
		return fmt.Errorf("confirm.file needs format json, not %s: others do not have what the hash is over", of.Format)
	case c.Every != 0 && (c.Every < leastEvery || c.Every > mostEvery):
		return fmt.Errorf("confirm.every %v: must be from %v to %v", c.Every, leastEvery, mostEvery)
	case c.Settle < 0 || c.Settle > mostEvery:
		return fmt.Errorf("confirm.settle %v: must be from 1ms to %v", c.Settle, mostEvery)
	}
	if c.VictoriaLogs != "" {
		_, err := c.URL()
		return err
	}
	if !filepath.IsAbs(c.File) {
		return fmt.Errorf("confirm.file %q: must be an absolute path", c.File)
	}
	if _, err := filepath.Match(c.File, ""); err != nil {
		return fmt.Errorf("confirm.file %q: %w", c.File, err)
	}
	return nil
}
