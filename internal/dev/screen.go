package dev

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

// screen is where dev prints: a terminal shows one round at a time, another output all
// of them. What the kernel prints comes in between, as it comes.
type screen struct {
	mu       sync.Mutex
	to       io.Writer
	theme    term.Theme
	terminal bool
	title    string // of a round that has printed nothing yet
	err      error  // the first of writing
}

func newScreen(to io.Writer) *screen {
	f, ok := term.File(to)
	return &screen{to: to, theme: term.ThemeOf(to), terminal: ok && xterm.IsTerminal(int(f.Fd()))}
}

func (s *screen) width() int { return term.Columns(s.to) }

func (s *screen) result() *render.ResultText { return render.NewResultText(s.theme, s.width()) }

// later begins a round when it prints something.
func (s *screen) later(title string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.title = title
}

// begin begins a round at once.
func (s *screen) begin(title string) {
	s.later(title)
	s.text("")
}

func (s *screen) text(text string) {
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

func (s *screen) line(style cells.Style, text string) {
	s.text(cells.Line{}.Add(style, text).Paint(s.theme, s.width()))
}

// kernel shows a line that the kernel printed.
func (s *screen) kernel(text string) {
	s.text(cells.Line{}.Add(cells.Dim, "kernel │ ").Add(cells.Plain, text).Paint(s.theme, s.width()))
}

// compiler is for what a build prints. It has the descriptor of a terminal, by which the
// compiler shows its colours.
func (s *screen) compiler() io.Writer {
	if f, ok := term.File(s.to); ok && s.terminal {
		return struct {
			io.Writer
			kbuild.Terminal
		}{s.messages(), f}
	}
	return s.messages()
}

// messages is for text of others.
func (s *screen) messages() io.Writer {
	return writerFunc(func(text []byte) { s.text(string(text)) })
}

type writerFunc func([]byte)

func (f writerFunc) Write(text []byte) (int, error) {
	f(text)
	return len(text), nil
}
