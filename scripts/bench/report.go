package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is the results on one kernel, as tables.
type report struct {
	samples  samples
	profiles []profile
}

func newReport(ctx context.Context, lines []byte) (report, error) {
	var r report
	var err error
	if r.samples, err = parseSamples(lines); err != nil {
		return r, err
	}
	for _, s := range r.samples.of(profilePart) {
		text, err := readProfile(ctx, s.Text)
		if err != nil {
			return r, err
		}
		r.profiles = append(r.profiles, profile{fmt.Sprintf("Where the time of %s goes: %s", s.Contender, s.Measure), text})
	}
	return r, nil
}

// profile is where a contender's own time went in a storm, as text.
type profile struct{ title, text string }

// readProfile makes text of a CPU profile: the functions that most time was spent below.
func readProfile(ctx context.Context, text string) (string, error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("profile: %w", err)
	}
	f, err := os.CreateTemp("", "bench-*.pprof")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return "", err
	}
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount=24", "-hide=^(runtime|internal|sync|syscall|main.(main|run|profiled)|github.com/spf13)\\b", f.Name())
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go tool pprof: %w: %s", err, errs.Bytes())
	}
	_, top, _ := bytes.Cut(out, []byte("Showing nodes"))
	return "Showing nodes" + string(top), nil
}

// table is one question's answers.
type table struct {
	title string
	note  string
	head  []string
	rows  [][]string
}

func (r report) tables() []table {
	all := []table{r.tax(), r.load(), r.loss(), r.overrun(), r.latency(), r.reader(), r.start(), r.against(), r.growth(), r.actions(), r.programs()}
	return slices.DeleteFunc(all, func(t table) bool { return len(t.rows) == 0 })
}

// rows has one for each contender that has a sample of the part.
func (r report) rows(p part, cells func(name string, own samples) []string) (rows [][]string) {
	if len(r.samples.of(p)) == 0 {
		return nil
	}
	for _, name := range r.samples.contenders() {
		if name == baseline {
			continue
		}
		if why := r.samples.of(failedPart).by(name).text(); why != "" {
			why, _, _ = strings.Cut(why, "\n")
			rows = append(rows, []string{name, "cannot run here: " + why})
			continue
		}
		if own := r.samples.of(p).by(name); len(own) > 0 {
			rows = append(rows, append([]string{name}, cells(name, own)...))
		}
	}
	return rows
}

func (r report) ratioTable(p part, title, note string, more func(name string) string, column string) table {
	all := r.samples.of(p)
	t := table{title: title, note: note, head: append([]string{"contender"}, all.measures()...)}
	if more != nil {
		t.head = append(t.head, column)
	}
	t.rows = r.rows(p, func(name string, _ samples) (cells []string) {
		for _, m := range all.measures() {
			cells = append(cells, spread(all.ratios(name, m), "%.2f"))
		}
		if more != nil {
			cells = append(cells, more(name))
		}
		return cells
	})
	return t
}

func (r report) tax() table {
	return r.ratioTable(taxPart, "Tax on everything else",
		"The time of work that loads no modules, as a multiple of its time without a tracer in the same round: median (least–most).", nil, "")
}

func (r report) load() table {
	return r.ratioTable(loadPart, "Cost of a load",
		"The time inside the system calls of a cycle of load and unload, as a multiple of that without a tracer in the same round; and the part of the time inside the load calls of xfs and what it needs that BPF programs took.",
		func(name string) string { return spread(r.samples.of(sharePart).by(name).values("xfs"), "%.2f %%") }, "in BPF, xfs")
}

func (r report) loss() table {
	t := table{title: "Nothing lost", head: []string{"contender"}}
	t.note = "What the contender said after a storm, against what was done: lost / invented / with the wrong outcome."
	for _, st := range storms() {
		t.head = append(t.head, st.name)
	}
	t.rows = r.rows(lossPart, func(_ string, own samples) (cells []string) {
		for _, st := range storms() {
			cell := strings.Join([]string{
				number(own.values(st.name + " lost")), number(own.values(st.name + " invented")), number(own.values(st.name + " wrong")),
			}, " / ")
			if told := own.values(st.name + " told"); len(told) > 0 && told[0] > 0 {
				cell += fmt.Sprintf(" (said that it lost %.0f events)", told[0])
			}
			cells = append(cells, cell)
		}
		return cells
	})
	for _, st := range storms() {
		for _, s := range r.samples.of(lossPart) {
			if s.Measure == st.name+" done" {
				seconds := r.samples.of(lossPart).by(s.Contender).values(st.name + " seconds")
				t.note += fmt.Sprintf(" %s: %s (%.0f actions in %.0f s).", st.name, st.does, s.Value, seconds[0])
				break
			}
		}
	}
	return t
}

func (r report) overrun() table {
	t := table{title: "Overrun on purpose", head: []string{"contender", "events", "missing", "said to be lost"}}
	t.note = "The reader was stopped until there was no room. Each cycle has the same number of events, so that it is known how many there were."
	for _, row := range r.rows(lossPart, func(_ string, own samples) []string {
		return []string{number(own.values("overrun events")), number(own.values("overrun missing")), number(own.values("overrun told"))}
	}) {
		if row[1] != none {
			t.rows = append(t.rows, row)
		}
	}
	return t
}

func (r report) latency() table {
	t := table{title: "Latency", head: []string{"contender", "p50", "p99", "max"}}
	t.note = "From the kernel's time of the event to the line, one load every few milliseconds. auditd's events have whole milliseconds; the others write only when they end."
	t.rows = r.rows(latencyPart, func(_ string, own samples) (cells []string) {
		for _, m := range t.head[1:] {
			cells = append(cells, milliseconds(own.values(m)))
		}
		return cells
	})
	return t
}

func (r report) reader() table {
	t := table{title: "The reader's cost", head: []string{"contender"}}
	t.note = "Seconds of CPU for 1,000 actions, of an emulated processor; MiB resident at rest, and the most in the storm of cycles."
	for _, st := range storms() {
		t.head = append(t.head, "CPU, "+st.name)
	}
	t.head = append(t.head, "MiB at rest", "MiB at most")
	t.rows = r.rows(readerPart, func(_ string, own samples) (cells []string) {
		for _, st := range storms() {
			cells = append(cells, spread(own.values(st.name+" CPU"), "%.2f"))
		}
		return append(cells, spread(own.values("cycles at rest"), "%.0f"), spread(own.values("cycles peak"), "%.0f"))
	})
	return t
}

func (r report) start() table {
	t := table{title: "Start and stop", head: []string{"contender", "ready after", "CPU", "MiB at most", "MiB at rest", "gone after", "left attached"}}
	t.note = "Seconds from exec to ready, and of CPU until half a second later; MiB resident, the most until then and then; seconds from the signal to the end of the process: median (least–most). Left attached are BPF programs and probes."
	t.rows = r.rows(startPart, func(_ string, own samples) (cells []string) {
		for _, c := range []struct{ measure, format string }{{"ready", "%.2f"}, {"CPU", "%.2f"}, {"peak", "%.0f"}, {"at rest", "%.0f"}, {"gone", "%.2f"}, {"left", "%.0f"}} {
			cells = append(cells, spread(own.values(c.measure), c.format))
		}
		return cells
	})
	return t
}

// against compares this tree's kmodtrace with that of the earlier revision, and its start with bpftrace's.
func (r report) against() table {
	t := table{title: "Against others", head: []string{"this tree's, as a multiple of"}}
	t.note = "Of the same run: the reader's CPU time for an action in each storm, the start's time, its CPU time and memory, and the latency's p99."
	measures := []struct {
		title, measure string
		part           part
	}{{"start", "ready", startPart}, {"start's CPU", "CPU", startPart}, {"start's MiB", "peak", startPart}, {"p99", "p99", latencyPart}}
	for _, st := range storms() {
		measures = append(measures, struct {
			title, measure string
			part           part
		}{"CPU, " + st.name, st.name + " CPU", readerPart})
	}
	for _, m := range measures {
		t.head = append(t.head, m.title)
	}
	for _, other := range r.samples.contenders() {
		words := strings.Fields(other) // kmodtrace REVISION BACKEND
		earlier := len(words) == 3 && words[0] == thisTree
		if !earlier && other != "bpftrace" {
			continue
		}
		for _, of := range []string{"fentry", "kprobe"} {
			if earlier && of != words[2] {
				continue
			}
			row := []string{other}
			if !earlier {
				row[0] += ", of " + of
			}
			for _, m := range measures {
				all := r.samples.of(m.part)
				row = append(row, multiple(all.by(thisTree+" "+of).values(m.measure), all.by(other).values(m.measure)))
			}
			t.rows = append(t.rows, row)
		}
	}
	return t
}

// multiple is the ratio of medians.
func multiple(own, others []float64) string {
	if len(own) == 0 || len(others) == 0 || median(others) == 0 {
		return none
	}
	return fmt.Sprintf("%.2f", median(own)/median(others))
}

func (r report) growth() table {
	all := r.samples.of(growthPart)
	t := table{title: "Growth", head: []string{"on a machine with", "without a tracer", "with kmodtrace", "ratio"}}
	t.note = "The time inside the system calls of a cycle of hello: median (least–most), and the ratio of the same round."
	for _, m := range all.by(baseline).measures() {
		t.rows = append(t.rows, []string{m,
			milliseconds(all.by(baseline).values(m)), milliseconds(all.by("kmodtrace").values(m)), spread(all.ratios("kmodtrace", m), "%.2f")})
	}
	return t
}

func (r report) actions() table {
	own := r.samples.of(growthPart).by("kmodtrace")
	t := table{title: "Growth with the actions watched", head: []string{"after", "µs each", "reader's CPU s for 1,000", "MiB resident"}}
	t.note = fmt.Sprintf("Refused unloads, one every %v, all watched by one process, which reported %s of them.",
		unloadPace, number(own.values("actions told")))
	for i, n := range own.values("actions until now") {
		t.rows = append(t.rows, []string{fmt.Sprintf("%.0f", n), fmt.Sprintf("%.0f", own.values("seconds each")[i]*1e6),
			fmt.Sprintf("%.2f", own.values("CPU for 1,000")[i]), fmt.Sprintf("%.1f", own.values("MiB resident")[i])})
	}
	return t
}

// programs lists the BPF programs that took the most.
func (r report) programs() table {
	t := table{title: "Which BPF program costs what", head: []string{"contender", "program", "µs for each load of xfs and what it needs"}}
	const most = 6
	for _, name := range r.samples.contenders() {
		own := r.samples.of(programPart).by(name)
		measures := own.measures()
		slices.SortStableFunc(measures, func(x, y string) int {
			return int(median(own.values(y))*1e3) - int(median(own.values(x))*1e3)
		})
		for _, m := range measures[:min(most, len(measures))] {
			t.rows = append(t.rows, []string{name, m, fmt.Sprintf("%.0f", median(own.values(m)))})
		}
	}
	return t
}

// none stands for what was not measured.
const none = "–"

func number(v []float64) string {
	if len(v) == 0 {
		return none
	}
	return fmt.Sprintf("%.0f", v[0])
}

func milliseconds(v []float64) string {
	ms := make([]float64, len(v))
	for i := range v {
		ms[i] = v[i] * 1e3
	}
	return spread(ms, "%.1f ms")
}

// spread is the median, and where there are several values the least and the most.
func spread(v []float64, format string) string {
	if len(v) == 0 {
		return none
	}
	text := fmt.Sprintf(format, median(v))
	if len(v) > 1 {
		bare, _, _ := strings.Cut(format, " ")
		text += fmt.Sprintf(" ("+bare+"–"+bare+")", slices.Min(v), slices.Max(v))
	}
	return text
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	if len(v)%2 == 0 {
		return (v[len(v)/2-1] + v[len(v)/2]) / 2
	}
	return v[len(v)/2]
}

// text is for a terminal.
func (r report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\n", r.samples[0].Kernel, r.samples.of(machinePart).text())
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n%s\n%s\n\n", strings.ToUpper(t.title), t.note)
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{t.head}, t.rows...) {
			fmt.Fprintln(w, "  "+strings.Join(row, "\t"))
		}
		w.Flush()
	}
	for _, p := range r.profiles {
		fmt.Fprintf(&b, "\n%s\n\n%s", strings.ToUpper(p.title), p.text)
	}
	return b.String()
}

// markdown is for the page. Profiles are for who works on the reader, and only printed.
func (r report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Linux %s\n\nMeasured on %s.\n", r.samples[0].Kernel, r.samples.of(machinePart).text())
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", t.title, t.note)
		fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
		for _, row := range t.rows {
			for len(row) < len(t.head) {
				row = append(row, "")
			}
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
	}
	return b.String()
}

// commands lists how the contenders were run.
func commands(all samples) string {
	var b strings.Builder
	b.WriteString("## The commands\n")
	for _, s := range all.of(commandPart) {
		fmt.Fprintf(&b, "\n%s:\n\n```sh\n%s\n```\n", s.Contender, strings.TrimSpace(s.Text))
	}
	return b.String()
}

const (
	pageBegin = "<!-- bench -->\n"
	pageEnd   = "<!-- end -->\n"
)

// putInto writes the results between the marks of a page.
func putInto(page string, reports []report) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), pageBegin)
	_, after, ended := strings.Cut(rest, pageEnd)
	if !found || !ended {
		return fmt.Errorf("%s: no place for the results: want lines %q and %q", page, strings.TrimSpace(pageBegin), strings.TrimSpace(pageEnd))
	}
	var b strings.Builder
	b.WriteString(before + pageBegin + "\n")
	for _, r := range reports {
		b.WriteString(r.markdown() + "\n")
	}
	b.WriteString(commands(reports[0].samples) + "\n" + pageEnd + after)
	return os.WriteFile(page, []byte(b.String()), 0o644)
}
