package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
)

func TestPlainLog(t *testing.T) {
	var out bytes.Buffer
	log := zerolog.New(plainLog{&out})
	log.Info().Int("hooks", 31).Msg("ready: \"quoted\" and <angled> & \u00fc")
	log.Error().Str(hintField, "run it as root").Msg("cannot trace here")
	log.Error().Str(hintField, "only a hint").Send()
	want := `kmodtrace: ready: "quoted" and <angled> & ü
kmodtrace: cannot trace here
  run it as root
  only a hint
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// An output that fails is no reason to fail: there is nowhere to say so.
func TestPlainLogOfFullDisk(t *testing.T) {
	log := zerolog.New(plainLog{failing{}})
	log.Error().Msg("lost")
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// Errors too follow --log: they have their exit status, and one object is one line.
func TestLogJSON(t *testing.T) {
	for _, args := range [][]string{
		{"--log", "json", "nosuchcommand"},
		{"watch", "--log=json", "--count", "-1"},
		{"info", "--log=json", "/nosuch.ko"},
	} {
		var out, errs bytes.Buffer
		status := run(args, nil, &out, &errs)
		var said struct {
			Level, Message string
			Status         int
		}
		if err := json.Unmarshal(errs.Bytes(), &said); err != nil {
			t.Errorf("%q: %v\n%s", args, err, errs.Bytes())
		}
		if said.Level != "error" || said.Message == "" || said.Status != status || status == exitOK {
			t.Errorf("%q: status %d, said %s", args, status, errs.Bytes())
		}
	}
}

func TestLogFormatRefused(t *testing.T) {
	var out, errs bytes.Buffer
	if status := run([]string{"list", "--log", "xml"}, nil, &out, &errs); status != exitUsage {
		t.Errorf("status %d: %s", status, errs.Bytes())
	}
}
