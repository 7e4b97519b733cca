package main

import (
	"io"
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/kbuild"
	"golang.org/x/term"
)

// devScreen is where dev prints: a terminal shows one round at a time, another output all
// of them. What the kernel prints comes in between, as it comes.
type devScreen struct {
	mu       sync.Mutex
	to       io.Writer
	theme    theme
	terminal bool
	title    string // of a round that has printed nothing yet
	err      error  // the first of writing
}

func newDevScreen(to io.Writer) *devScreen {
	f, ok := underlying(to)
	return &devScreen{to: to, theme: themeOf(to), terminal: ok && term.IsTerminal(int(f.Fd()))}
}

func (s *devScreen) width() int { return columnsOf(s.to) }

func (s *devScreen) result() *resultText { return newResultText(s.theme, s.width()) }

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

// clear empties a terminal, and what it has scrolled away is kept.
const clear = "\x1b[H\x1b[2J"

func (s *devScreen) text(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.title != "" {
		head := line{}.add(strong, time.Now().Format(time.TimeOnly)).spaced(strong, s.title).render(s.theme, s.width())
		if s.terminal {
			if err := steer(s.to, clear); err != nil && s.err == nil {
				s.err = outputError(err)
			}
		}
		s.title, text = "", head+text
	}
	if _, err := io.WriteString(s.to, text); err != nil && s.err == nil {
		s.err = outputError(err)
	}
}

func (s *devScreen) line(style style, text string) {
	s.text(line{}.add(style, text).render(s.theme, s.width()))
}

// kernel shows a line that the kernel printed.
func (s *devScreen) kernel(text string) {
	s.text(line{}.add(dim, "kernel │ ").add(plain, text).render(s.theme, s.width()))
}

// compiler is for what a build prints. It has the descriptor of a terminal, by which the
// compiler shows its colours.
func (s *devScreen) compiler() io.Writer {
	if f, ok := underlying(s.to); ok && s.terminal {
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
