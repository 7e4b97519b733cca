package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// cell is what TestCauses prints about one try.
type cell struct {
	Kernel  string `json:"kernel"`
	Code    string `json:"code"`
	Case    string `json:"case"`
	Way     string `json:"way"`
	Verdict string `json:"verdict"`
	Why     string `json:"why"`
}

const (
	right = "right"
	wrong = "wrong"
	none  = "not producible"
)

// row is one case.
type row struct{ code, name string }

func (r row) String() string {
	if r.name == "" {
		return r.code
	}
	return r.code + " (" + r.name + ")"
}

// matrix is everything that was tried.
type matrix struct {
	kernels []string // as named on the command line
	rows    []row
	cells   map[row]map[string][]cell // by kernel
	broken  []string                  // runs that did not come to their end
}

func newMatrix(kernels []string) *matrix {
	return &matrix{kernels: kernels, cells: make(map[row]map[string][]cell)}
}

// add takes the output of one machine.
func (m *matrix) add(kernel, boot string, output []byte, err error) {
	lines := bufio.NewScanner(bytes.NewReader(output))
	lines.Buffer(nil, 1<<24)
	seen, wrongs, ended := 0, 0, false
	for lines.Scan() {
		ended = ended || lines.Text() == "PASS" || lines.Text() == "FAIL"
		text, ok := bytes.CutPrefix(lines.Bytes(), []byte("causes: "))
		if !ok {
			continue
		}
		var c cell
		if err := json.Unmarshal(text, &c); err != nil {
			m.broken = append(m.broken, fmt.Sprintf("%s, %s: %v: %s", kernel, boot, err, text))
			continue
		}
		seen++
		if c.Verdict == wrong {
			wrongs++
		}
		m.put(kernel, c)
	}
	switch {
	case !ended:
		m.broken = append(m.broken, fmt.Sprintf("%s, %s: it did not come to its end: %v\n%s", kernel, boot, err, tail(output)))
	case err != nil && (wrongs == 0 || failures(output) != ""):
		m.broken = append(m.broken, fmt.Sprintf("%s, %s: the test failed: %v\n%s", kernel, boot, err, failures(output)))
	}
}

func (m *matrix) put(kernel string, c cell) {
	r := row{c.Code, c.Case}
	if m.cells[r] == nil {
		m.cells[r] = make(map[string][]cell)
		m.rows = append(m.rows, r)
	}
	m.cells[r][kernel] = append(m.cells[r][kernel], c)
}

// tail gives the last lines of an output.
func tail(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// failures gives the lines of a test's output that say what failed beside wrong cells, which may be why
// cells after it are wrong.
func failures(output []byte) string {
	var kept []string
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, "_test.go:") && !strings.Contains(line, ": "+wrong+": ") {
			kept = append(kept, strings.TrimRight(line, "\n"))
		}
	}
	return strings.Join(kept, "\n")
}

// letter stands for a way in a cell: small when it was explained rightly.
func letter(way string) string {
	letters := map[string]string{
		"insmod": "i", "modprobe": "m", "load": "l", "check": "c", "busybox": "b", "syscall": "s",
		"rmmod": "r", "unload": "u", "request": "a",
	}
	if l, ok := letters[way]; ok {
		return l
	}
	return "o"
}

const legend = `i insmod, m modprobe, b busybox insmod, s the bare system call, l kmodtrace load, c kmodtrace check,
r rmmod, u kmodtrace unload, a a request of the kernel (autoload), o in another way, of the case.
A letter: explained rightly. In capitals: WRONG. A dot: cannot be produced so, see below. A dash: not tried there.
`

// text is the whole matrix, then what was wrong, then why some could not be.
func (m *matrix) text() string {
	slices.SortStableFunc(m.rows, func(a, b row) int { return strings.Compare(a.code, b.code) })
	var b strings.Builder
	width := len("CAUSE (CASE)")
	for _, r := range m.rows {
		width = max(width, len(r.String()))
	}
	fmt.Fprintf(&b, "%-*s", width, "CAUSE (CASE)")
	for _, k := range m.kernels {
		fmt.Fprintf(&b, "  %-12s", k)
	}
	b.WriteString("\n")
	for _, r := range m.rows {
		line := fmt.Sprintf("%-*s", width, r.String())
		for _, k := range m.kernels {
			line += fmt.Sprintf("  %-12s", letters(m.cells[r][k]))
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	b.WriteString("\n" + legend + "\n")
	m.reasons(&b)
	m.mistakes(&b)
	for _, k := range m.kernels {
		n := m.count(k)
		fmt.Fprintf(&b, "%s: %d right, %d wrong, %d not producible\n", k, n[right], n[wrong], n[none])
	}
	return b.String()
}

func letters(cells []cell) string {
	if len(cells) == 0 {
		return "-"
	}
	text := ""
	for _, c := range cells {
		switch c.Verdict {
		case right:
			text += letter(c.Way)
		case wrong:
			text += strings.ToUpper(letter(c.Way))
		default:
			text += "."
		}
	}
	return text
}

// each calls do for every cell, in the order of the rows and kernels.
func (m *matrix) each(do func(kernel string, r row, c cell)) {
	for _, r := range m.rows {
		for _, k := range m.kernels {
			for _, c := range m.cells[r][k] {
				do(k, r, c)
			}
		}
	}
}

// reasons lists why some cells could not be, each reason once.
func (m *matrix) reasons(b *strings.Builder) {
	var order []string
	where := make(map[string][]string)
	m.each(func(kernel string, r row, c cell) {
		if c.Verdict != none {
			return
		}
		text := fmt.Sprintf("%s by %s: %s", r, c.Way, c.Why)
		if where[text] == nil {
			order = append(order, text)
		}
		where[text] = append(where[text], kernel)
	})
	for _, text := range order {
		on := strings.Join(where[text], ", ")
		if len(where[text]) == len(m.kernels) {
			on = "everywhere"
		}
		fmt.Fprintf(b, "not producible: %s (%s)\n", text, on)
	}
	b.WriteString("\n")
}

func (m *matrix) mistakes(b *strings.Builder) {
	m.each(func(kernel string, r row, c cell) {
		if c.Verdict == wrong {
			fmt.Fprintf(b, "WRONG: %s, %s by %s: %s\n", kernel, r, c.Way, c.Why)
		}
	})
	for _, text := range m.broken {
		fmt.Fprintf(b, "BROKEN: %s\n", text)
	}
}

func (m *matrix) count(kernel string) map[string]int {
	n := make(map[string]int)
	m.each(func(k string, _ row, c cell) {
		if k == kernel {
			n[c.Verdict]++
		}
	})
	return n
}

// summary is a Markdown table with a row for each kernel.
func (m *matrix) summary() string {
	var b strings.Builder
	b.WriteString("| kernel | causes | explained rightly | wrongly | not producible there or so |\n|---|---|---|---|---|\n")
	for _, k := range m.kernels {
		codes := make(map[string]bool)
		release := k
		m.each(func(kernel string, r row, c cell) {
			if kernel == k {
				release = c.Kernel
				codes[r.code] = codes[r.code] || c.Verdict == right
			}
		})
		produced := 0
		for _, ok := range codes {
			if ok {
				produced++
			}
		}
		n := m.count(k)
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", release, produced, n[right], n[wrong], n[none])
	}
	return b.String()
}

// err says whether everything was right.
func (m *matrix) err() error {
	wrongs, all := 0, 0
	for _, k := range m.kernels {
		n := m.count(k)
		wrongs += n[wrong]
		all += n[right] + n[wrong]
	}
	switch {
	case wrongs > 0:
		return fmt.Errorf("%d of %d explanations are wrong", wrongs, all)
	case len(m.broken) > 0:
		return fmt.Errorf("%d machines did not come to their end", len(m.broken))
	case all == 0:
		return errors.New("nothing was tried")
	}
	return nil
}

// addTo adds the numbers to a tally of tests, and what was wrong to the file beside it.
func (m *matrix) addTo(tally string) error {
	total := make(map[string]int)
	for _, k := range m.kernels {
		for verdict, n := range m.count(k) {
			total[verdict] += n
		}
	}
	var mistakes strings.Builder
	m.mistakes(&mistakes)
	return errors.Join(
		appendTo(tally, fmt.Sprintln(total[right], total[wrong]+len(m.broken), total[none])),
		appendTo(tally+".failures", mistakes.String()))
}

func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
