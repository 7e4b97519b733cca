package tracer

import (
	"errors"
	"strings"
	"testing"
)

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{
		{Backend: 9}, {RingSize: 1}, {RingSize: 4095}, {RingSize: 12288}, {RingSize: 1<<20 + 4096},
		{Returns: -1}, {Returns: maxReturns + 1},
	} {
		tr, err := Open(&o)
		if err == nil {
			tr.Close()
		}
		if err == nil || errors.Is(err, ErrNoModules) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
