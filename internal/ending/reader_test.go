package ending

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/term"
	"golang.org/x/sys/unix"
)

// TestWhileRead: the context ends when the reader does, and not before.
func TestWhileRead(t *testing.T) {
	sockets, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	pipeReader, pipeWriter, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	for name, ends := range map[string][2]*os.File{
		"pipe":   {pipeReader, pipeWriter},
		"socket": {os.NewFile(uintptr(sockets[0]), "a"), os.NewFile(uintptr(sockets[1]), "b")},
	} {
		t.Run(name, func(t *testing.T) {
			reader, writer := ends[0], ends[1]
			defer writer.Close()
			ctx, stop := WhileRead(t.Context(), writer)
			defer stop()
			if _, err := writer.Write([]byte("x")); err != nil || ctx.Err() != nil || ReaderGone(ctx) != nil {
				t.Fatalf("with a reader: %v, %v", err, ctx.Err())
			}
			if err := reader.Close(); err != nil {
				t.Fatal(err)
			}
			<-ctx.Done()
			if err := ReaderGone(ctx); err != term.ErrSilent {
				t.Errorf("without a reader: %v", err)
			}
			stop()
			if _, err := writer.Write([]byte("x")); err == nil {
				t.Error("a write without a reader succeeds")
			}
		})
	}
}

// TestWhileReadGone: a reader that was gone before is found too.
func TestWhileReadGone(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	reader.Close()
	ctx, stop := WhileRead(t.Context(), writer)
	defer stop()
	<-ctx.Done()
	if ReaderGone(ctx) == nil {
		t.Error("not told")
	}
}

// TestWhileReadEnds: a command that ends by itself, or is asked to, is not told that its reader is gone;
// and what has no reader at all does not end it.
func TestWhileReadEnds(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	closed, err := os.Create(filepath.Join(t.TempDir(), "closed"))
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for name, out := range map[string]io.Writer{"a file": file, "closed": closed, "null": null, "memory": new(bytes.Buffer), "a pipe": writer} {
		ctx, cancel := context.WithCancel(t.Context())
		read, stop := WhileRead(ctx, out)
		if read.Err() != nil {
			t.Errorf("%s: done at once: %v", name, context.Cause(read))
		}
		cancel()
		<-read.Done()
		stop()
		stop()
		if err := ReaderGone(read); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
