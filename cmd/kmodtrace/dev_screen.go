package main

import (
	"io"
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/kbuild"
	xterm "golang.org/x/term"
)

// devScreen is where dev prints: a terminal shows one round at a time, another output all
// of them. What the kernel prints comes in between, as it comes.
type devScreen struct {
	mu       sync.Mutex
	to       io.Writer
	theme    term.Theme
	terminal bool
	title    string // of a round that has printed nothing yet
	err      error  // the first of writing
}

func newDevScreen(to io.Writer) *devScreen {
	f, ok := term.File(to)
	return &devScreen{to: to, theme: term.ThemeOf(to), terminal: ok && xterm.IsTerminal(int(f.Fd()))}
}

func (s *devScreen) width() int { return term.Columns(s.to) }

func (s *devScreen) result() *render.ResultText { return render.NewResultText(s.theme, s.width()) }

// later begins a round when it prints something.
func (s *devScreen) later(title string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.title = title
}

// begin begins a round at once.
func (s *devScreen) begin(title string) {
	s.later(title)
	s.text("")
}

func (s *devScreen) text(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.title != "" {
		head := cells.Line{}.Add(cells.Strong, time.Now().Format(time.TimeOnly)).Spaced(cells.Strong, s.title).Paint(s.theme, s.width())
		if s.terminal {
			if err := term.Steer(s.to, term.Clear); err != nil && s.err == nil {
				s.err = term.OutputError(err)
			}
		}
		s.title, text = "", head+text
	}
	if _, err := io.WriteString(s.to, text); err != nil && s.err == nil {
		s.err = term.OutputError(err)
	}
}

func (s *devScreen) line(style cells.Style, text string) {
	s.text(cells.Line{}.Add(style, text).Paint(s.theme, s.width()))
}

// kernel shows a line that the kernel printed.
func (s *devScreen) kernel(text string) {
	s.text(cells.Line{}.Add(cells.Dim, "kernel │ ").Add(cells.Plain, text).Paint(s.theme, s.width()))
}

// compiler is for what a build prints. It has the descriptor of a terminal, by which the
// compiler shows its colours.
func (s *devScreen) compiler() io.Writer {
	if f, ok := term.File(s.to); ok && s.terminal {
		return struct {
			io.Writer
			kbuild.Terminal
		}{s.messages(), f}
	}
	return s.messages()
}

// messages is for text of others.
func (s *devScreen) messages() io.Writer {
	return writerFunc(func(text []byte) { s.text(string(text)) })
}

type writerFunc func([]byte)

func (f writerFunc) Write(text []byte) (int, error) {
	f(text)
	return len(text), nil
}
