package diag

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
)

func TestPlainLog(t *testing.T) {
	var out bytes.Buffer
	log := zerolog.New(plainLog{&out})
	log.Info().Int("hooks", 31).Msg("ready: \"quoted\" and <angled> & \u00fc")
	log.Error().Str(HintField, "run it as root").Msg("cannot trace here")
	log.Error().Str(HintField, "only a hint").Send()
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
