package guest

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func TestFramesTravel(t *testing.T) {
	sent := []Frame{
		{Stdout, []byte("hello\n")},
		{Stderr, nil},
		{Files, bytes.Repeat([]byte{frameMagic}, MaxPayload)},
		{Trouble, []byte("no such file")},
		{Done, nil},
	}
	var port bytes.Buffer
	w := NewWriter(&port)
	if err := w.Open(); err != nil {
		t.Fatal(err)
	}
	for _, f := range sent {
		if err := w.Write(f.Kind, f.Payload); err != nil {
			t.Fatal(err)
		}
	}
	// One byte at a time is how a serial port may give them.
	r := NewReader(iotest.OneByteReader(&port))
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	for _, want := range sent {
		got, err := r.Next()
		if err != nil {
			t.Fatalf("%s: %v", want.Kind, err)
		}
		if got.Kind != want.Kind || !bytes.Equal(got.Payload, want.Payload) {
			t.Errorf("got %s of %d bytes, want %s of %d", got.Kind, len(got.Payload), want.Kind, len(want.Payload))
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last frame: %v, want EOF", err)
	}
}

func TestSyncSkipsNoise(t *testing.T) {
	for _, noise := range []string{
		"",
		"SeaBIOS (version 1.16)\r\n",
		"\x00\x00\x00",
		Preamble[:5],
		"\x00kmodtrace-lab-0\n",
	} {
		r := NewReader(strings.NewReader(noise + Preamble))
		if err := r.Sync(); err != nil {
			t.Errorf("noise %q: %v", noise, err)
		}
	}
	if err := NewReader(strings.NewReader("only noise")).Sync(); err != io.ErrUnexpectedEOF {
		t.Errorf("without a preamble: %v, want unexpected EOF", err)
	}
}

func TestCutOffAtEveryByte(t *testing.T) {
	var port bytes.Buffer
	if err := NewWriter(&port).Write(Stdout, []byte("payload")); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < port.Len(); n++ {
		_, err := NewReader(bytes.NewReader(port.Bytes()[:n])).Next()
		if err != io.ErrUnexpectedEOF {
			t.Errorf("cut off after %d of %d bytes: %v", n, port.Len(), err)
		}
	}
}

func TestEveryFlippedBitShows(t *testing.T) {
	var port bytes.Buffer
	if err := NewWriter(&port).Write(Exit, []byte(`{"Status":0}`)); err != nil {
		t.Fatal(err)
	}
	for i := range port.Len() * 8 {
		broken := bytes.Clone(port.Bytes())
		broken[i/8] ^= 1 << (i % 8)
		_, err := NewReader(bytes.NewReader(broken)).Next()
		if !errors.Is(err, ErrGarbage) && err != io.ErrUnexpectedEOF {
			t.Errorf("bit %d flipped: %v", i, err)
		}
	}
}

func TestTooLongFrameIsRefused(t *testing.T) {
	var port bytes.Buffer
	if err := NewWriter(&port).Write(Stdout, make([]byte, MaxPayload+1)); err == nil {
		t.Error("a frame longer than MaxPayload was written")
	}
	if port.Len() != 0 {
		t.Errorf("%d bytes of it were written", port.Len())
	}
}

func TestStreamsShareThePort(t *testing.T) {
	var port bytes.Buffer
	w := NewWriter(&port)
	out := bytes.Repeat([]byte("o"), 5*MaxPayload+17)
	errs := bytes.Repeat([]byte("e"), 3*MaxPayload+1)
	var wg sync.WaitGroup
	for kind, data := range map[Kind][]byte{Stdout: out, Stderr: errs} {
		wg.Go(func() {
			if n, err := w.Stream(kind).Write(data); n != len(data) || err != nil {
				t.Errorf("%s: %d, %v", kind, n, err)
			}
		})
	}
	wg.Wait()
	got := map[Kind][]byte{}
	r := NewReader(&port)
	for {
		f, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[f.Kind] = append(got[f.Kind], f.Payload...)
	}
	if !bytes.Equal(got[Stdout], out) || !bytes.Equal(got[Stderr], errs) {
		t.Errorf("got %d and %d bytes, want %d and %d", len(got[Stdout]), len(got[Stderr]), len(out), len(errs))
	}
}

func TestUintOfAnotherSize(t *testing.T) {
	if _, err := (Frame{Credit, []byte{1}}).Uint(); !errors.Is(err, ErrGarbage) {
		t.Errorf("got %v", err)
	}
}

func FuzzNext(f *testing.F) {
	var port bytes.Buffer
	w := NewWriter(&port)
	for _, kind := range []Kind{Stdout, Exit, Done} {
		if err := w.Write(kind, []byte("x")); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(port.Bytes())
	f.Add([]byte{frameMagic, 1, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(bytes.NewReader(data))
		for {
			frame, err := r.Next()
			if err != nil {
				return
			}
			// What is read must be what a writer writes.
			var again bytes.Buffer
			if err := NewWriter(&again).Write(frame.Kind, frame.Payload); err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(data, again.Bytes()) {
				t.Fatalf("%s of %d bytes is not in the input", frame.Kind, len(frame.Payload))
			}
		}
	})
}

// TestWorstFrames: none of them panics, takes memory by what it claims, or is a frame.
func TestWorstFrames(t *testing.T) {
	frame := func(kind Kind, payload []byte) []byte {
		var port bytes.Buffer
		if err := NewWriter(&port).Write(kind, payload); err != nil {
			t.Fatal(err)
		}
		return port.Bytes()
	}
	whole := frame(Stdout, []byte("payload"))
	longer := bytes.Clone(whole)
	longer[2]++
	shorter := bytes.Clone(whole)
	shorter[2]--
	for name, c := range map[string]struct {
		port []byte
		want error
	}{
		"nothing":                        {nil, io.EOF},
		"half a header":                  {whole[:3], io.ErrUnexpectedEOF},
		"a payload that never comes":     {[]byte{frameMagic, byte(Files), 0, 0x80}, io.ErrUnexpectedEOF},
		"the longest claim":              {[]byte{frameMagic, byte(Files), 0xff, 0xff}, ErrGarbage},
		"one byte too much":              {[]byte{frameMagic, byte(Files), 1, 0x80}, ErrGarbage},
		"another magic":                  {append([]byte{frameMagic + 1}, whole[1:]...), ErrGarbage},
		"zeros":                          {make([]byte, 1<<20), ErrGarbage},
		"a checksum of another length":   {append(longer, make([]byte, 20)...), ErrGarbage},
		"a length that is one too short": {shorter, ErrGarbage},
		"another kind":                   {append([]byte{frameMagic, byte(Exit)}, whole[2:]...), ErrGarbage},
		"a preamble in the middle":       {append([]byte(Preamble), whole...), ErrGarbage},
	} {
		got, err := NewReader(bytes.NewReader(c.port)).Next()
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %s of %d bytes, %v; want %v", name, got.Kind, len(got.Payload), err, c.want)
		}
	}
}
