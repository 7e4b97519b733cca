package rule

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

const publicRules = "../examples/rules/public.yaml"

// TestPublicRules: the public rules that are written as rules of ours find what they must, and no near miss.
func TestPublicRules(t *testing.T) {
	set, err := Load(publicRules)
	if err != nil {
		t.Fatal(err)
	}
	failures, _ := set.Test()
	for _, f := range failures {
		t.Error(f)
	}
	for _, r := range set.Rules() {
		if r.Why == "" || r.Next == "" {
			t.Errorf("%s does not say why, or what to do next", r.ID)
		}
	}
}

var quoted = regexp.MustCompile("`([^`]+)`")

// TestPublicTable: the table of docs/rules.md has a rule for each public one, or the reason why there is none.
func TestPublicTable(t *testing.T) {
	text, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Public rules\n")
	section, _, _ = strings.Cut(section, "\n## ")
	all, err := Load(publicRules)
	if err != nil {
		t.Fatal(err)
	}
	builtIn, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	named := make(map[string]bool)
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| source ") {
			continue
		}
		if len(cells) != 4 {
			t.Errorf("%d cells: %s", len(cells), line)
			continue
		}
		rows++
		id, ours := strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])
		ids := quoted.FindAllStringSubmatch(ours, -1)
		if _, why, out := strings.Cut(ours, "out of scope: "); len(ids) == 0 && (!out || why == "") {
			t.Errorf("neither a rule nor a reason: %s", line)
		}
		for _, match := range ids {
			r := all.Rule(match[1])
			if r == nil {
				t.Errorf("there is no rule %s: %s", match[1], line)
				continue
			}
			// A rule of that file names the first public one that it stands for.
			if !named[r.ID] && builtIn.Rule(r.ID) == nil && id != "" && ours[0] == '`' && !strings.Contains(r.Why, id) {
				t.Errorf("%s does not name %s", r.ID, id)
			}
			named[r.ID] = true
		}
	}
	if rows < 60 {
		t.Errorf("%d rows", rows)
	}
	for _, r := range all.Rules() {
		if builtIn.Rule(r.ID) == nil && !named[r.ID] {
			t.Errorf("the table lacks %s", r.ID)
		}
	}
}
