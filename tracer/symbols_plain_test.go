//go:build !race

package tracer

import (
	"fmt"
	"strings"
	"testing"
)

func TestSymbolsBounded(t *testing.T) {
	var text strings.Builder
	for i := range maxSymbols + 10 {
		fmt.Fprintf(&text, "%x t f\n", 0x1000+i)
	}
	var s Symbols
	if err := s.parse(strings.NewReader(text.String()), nil); err != nil || len(s.starts) != maxSymbols {
		t.Errorf("%d symbols, %v", len(s.starts), err)
	}
	text.Reset()
	for i := range 1<<16 + 10 {
		fmt.Fprintf(&text, "%x t f\t[m%d]\n", 0x1000+i, i)
	}
	if err := s.parse(strings.NewReader(text.String()), nil); err != nil || len(s.modules) != 1<<16 {
		t.Errorf("%d modules, %v", len(s.modules), err)
	}
}
