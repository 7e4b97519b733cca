package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// The pages for people, which must not promise what is not there. What they show
// of the programs' output is compared with real runs by make check-readme and TestTutorial.
var pages = [...]string{
	"README.md", "CONTRIBUTING.md", "docs/lab.md", "docs/tutorial.md", "docs/audit.md", "docs/outputs.md", "docs/performance.md", "docs/kernel-facts.md",
	"docs/architecture.md", "docs/commands.md", "docs/fleet.md", "docs/causes.md", "docs/limits.md", "docs/compatibility.md",
	"SECURITY.md", "CHANGELOG.md",
}

const sourceRoot = "../.."

// eachPage runs a check on each page's text.
func eachPage(t *testing.T, check func(t *testing.T, dir, text string)) {
	for _, page := range pages {
		t.Run(page, func(t *testing.T) {
			name := filepath.Join(sourceRoot, page)
			text, err := os.ReadFile(name)
			if err != nil {
				t.Skipf("no sources around: %v", err)
			}
			check(t, filepath.Dir(name), string(text))
		})
	}
}

func TestPagesLinkToWhatIsThere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)]+)\)`)
	eachPage(t, func(t *testing.T, dir, text string) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(m[1], "https://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(dir, m[1])); err != nil {
				t.Errorf("link to %s: %v", m[1], err)
			}
		}
	})
}

func TestPagesNameTargetsOfTheMakefile(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(sourceRoot, "Makefile"))
	if err != nil {
		t.Skipf("no sources around: %v", err)
	}
	// A name with a slash is one of many that a pattern makes.
	named := regexp.MustCompile("(?m)(?:^|`|&& )make ([a-z-]+)(/?)")
	eachPage(t, func(t *testing.T, _, text string) {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			target := `:.* ## `
			if m[2] != "" {
				target = `/%:`
			}
			if !regexp.MustCompile(`(?m)^` + m[1] + target).Match(makefile) {
				t.Errorf("make %s: no such target, or it does not say what it is", m[1])
			}
		}
	})
}

// codeOf gives each line of code of a page: of its blocks, and what stands in
// backquotes.
func codeOf(text string) []string {
	var code []string
	quoted := regexp.MustCompile("`([^`]+)`")
	for i, part := range strings.Split(text, "```") {
		if i%2 == 1 {
			code = append(code, strings.Split(part, "\n")...)
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(part, -1) {
			code = append(code, m[1])
		}
	}
	return code
}

func TestPagesNameCommandsAndFlagsThatExist(t *testing.T) {
	invocation := regexp.MustCompile(`(?:^|[$&|] |/)kmodtrace ([a-z].*)`)
	eachPage(t, func(t *testing.T, _, text string) {
		for _, line := range codeOf(text) {
			if m := invocation.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
				checkInvocation(t, m[1])
			}
		}
	})
}

// checkInvocation looks up a command and its flags, up to what belongs to
// another command.
func checkInvocation(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	for i, word := range words {
		if word = strings.TrimRight(word, `",`); word == "--" || word == "|" || word == "#" || word == "&&" {
			words = words[:i]
			break
		}
	}
	cmd, rest, err := newRootCommand().Find(words)
	if err != nil || cmd.Name() == "kmodtrace" {
		t.Errorf("kmodtrace %s: no such command: %v", line, err)
		return
	}
	for _, word := range rest {
		name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if strings.HasPrefix(word, "--") && cmd.Flags().Lookup(strings.Trim(name, `",`)) == nil {
			t.Errorf("kmodtrace %s: %s has no flag --%s", line, cmd.CommandPath(), name)
		}
	}
}

func TestREADMENamesEveryCommand(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(sourceRoot, "README.md"))
	if err != nil {
		t.Skipf("no sources around: %v", err)
	}
	commands := slices.DeleteFunc(newRootCommand().Commands(), func(c *cobra.Command) bool { return c.Hidden })
	for _, cmd := range commands {
		if !strings.Contains(string(text), "`kmodtrace "+cmd.Name()) && cmd.Name() != "completion" && cmd.Name() != "help" {
			t.Errorf("%s is not in README.md", cmd.CommandPath())
		}
	}
}

func TestREADMEsProgramCompiles(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(sourceRoot, "README.md"))
	if err != nil {
		t.Skipf("no sources around: %v", err)
	}
	_, program, found := strings.Cut(string(text), "```go\n")
	program, _, closed := strings.Cut(program, "```")
	if !found || !closed {
		t.Fatal("README.md has no Go program")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "vet", file)
	cmd.Dir = sourceRoot
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as all else is compiled, also below the race detector
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := exec.Command("gofmt", "-l", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("gofmt would change it: %v %s", err, out)
	}
}

// Every place for the programs' output is filled and closed.
func TestPagesShowWhatTheyPromise(t *testing.T) {
	eachPage(t, func(t *testing.T, _, text string) {
		parts := strings.Split(text, "\n<!-- show ")
		for _, part := range parts[1:] {
			name, body, _ := strings.Cut(part, " -->\n")
			shown, _, closed := strings.Cut(body, "<!-- end -->\n")
			if !closed || strings.TrimSpace(shown) == "" {
				t.Errorf("%s: nothing is shown (make readme), or it has no end", name)
			}
		}
	})
}
