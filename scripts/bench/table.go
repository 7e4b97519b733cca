package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// printTable prints the ratios to no tracer, the median of all rounds and their range,
// then the commands.
func printTable(w io.Writer, lines []byte) error {
	samples, err := parseSamples(lines)
	if err != nil {
		return err
	}
	if len(samples) == 0 {
		return fmt.Errorf("nothing was measured")
	}
	var names, work []string
	for _, s := range samples {
		if !slices.Contains(names, s.Contender) {
			names = append(names, s.Contender)
		}
		if s.Contender == baseline && !slices.Contains(work, s.Measure) {
			work = append(work, s.Measure)
		}
	}
	fmt.Fprintf(w, "%s: time of the same work, as a multiple of the time without a tracer in the same round;\nmedian (least–most). START and STOP are seconds. auditd came after the rounds of all others:\na kernel on which audit was once enabled taxes every later process.\n\n", samples[0].Kernel)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "CONTENDER\t%s\tSTART\tSTOP\n", strings.ToUpper(strings.Join(work, "\t")))
	for _, name := range names {
		if why := reason(samples, name); why != "" {
			fmt.Fprintf(table, "%s\tcannot run: %s\n", name, why)
			continue
		}
		cells := []string{name}
		for _, measure := range work {
			cells = append(cells, spread(ratios(samples, name, measure)))
		}
		for _, measure := range []string{"start", "stop"} {
			cells = append(cells, spread(values(samples, name, measure)))
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, name := range names {
		for _, s := range samples {
			if s.Contender == name && s.Command != "" {
				fmt.Fprintf(w, "\n%s: %s", name, strings.ReplaceAll(s.Command, "\n", "\n    "))
				break
			}
		}
	}
	_, err = fmt.Fprintln(w)
	return err
}

func reason(samples []sample, name string) string {
	for _, s := range samples {
		if s.Contender == name && s.Measure == cannotRun {
			return s.Why
		}
	}
	return ""
}

// values of a measure, by the order of rounds.
func values(samples []sample, name, measure string) (v []float64) {
	for _, s := range samples {
		if s.Contender == name && s.Measure == measure {
			v = append(v, s.Value)
		}
	}
	return v
}

// ratios to the baseline's of the same round.
func ratios(samples []sample, name, measure string) (r []float64) {
	base, own := values(samples, baseline, measure), values(samples, name, measure)
	for i := range min(len(base), len(own)) {
		r = append(r, own[i]/base[i])
	}
	return r
}

// spread is the median, the least and the most.
func spread(v []float64) string {
	if len(v) == 0 {
		return "–"
	}
	slices.Sort(v)
	median := v[len(v)/2]
	if len(v)%2 == 0 {
		median = (v[len(v)/2-1] + v[len(v)/2]) / 2
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", median, v[0], v[len(v)-1])
}
