package timeline

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/record"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) {
	time.Local = time.UTC
	os.Exit(m.Run())
}

// recorded gives the loads of a real kernel that `scripts/record-timelines` left.
func recorded(t testing.TB) map[string]*Picture {
	t.Helper()
	files, err := filepath.Glob("testdata/records/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no records: %v", err)
	}
	pictures := make(map[string]*Picture)
	for _, file := range files {
		pictures[strings.TrimSuffix(filepath.Base(file), ".json")] = readPicture(t, file, nil)
	}
	return pictures
}

// readPicture makes a picture of a record, after change.
func readPicture(t testing.TB, file string, change func(*record.Record)) *Picture {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Actions []record.Record
		Facts   *Facts
	}
	if err := jsonline.Unmarshal(text, &record); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&record.Actions[len(record.Actions)-1])
	}
	p := New(record.Actions)
	p.Main.Facts = record.Facts
	return p
}

// forms gives all that a picture can be made into, by the names of the files.
func forms(t testing.TB, p *Picture) map[string]string {
	t.Helper()
	var svg, html strings.Builder
	if err := p.SVG(&svg); err != nil {
		t.Fatal(err)
	}
	if err := p.HTML(&html); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"svg": svg.String(), "html": html.String(),
		"80.txt":    plainText(p, &TextOptions{}),
		"200.txt":   plainText(p, &TextOptions{Columns: 200}),
		"ascii.txt": plainText(p, &TextOptions{ASCII: true}),
	}
}

func plainText(p *Picture, opts *TextOptions) string {
	var b strings.Builder
	for _, l := range p.Text(opts) {
		b.WriteString(l.String() + "\n")
	}
	return b.String()
}

// TestGolden compares what is made of recorded loads with what somebody has looked at.
// `go test ./timeline -update` writes it anew; `make screenshots` shows it.
func TestGolden(t *testing.T) {
	pictures := recorded(t)
	pictures["hostile"] = hostilePicture(`"><script>` + strings.Repeat("W", 60) + "\u202e\x1b[2J" + strings.Repeat("界", 20))
	for name, p := range pictures {
		for form, got := range forms(t, p) {
			checkGolden(t, filepath.Join("testdata", "golden", name+"."+form), got)
		}
	}
	checkGolden(t, "../docs/load.svg", upperPart(pictures["refused"]))
}

func checkGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// upperPart is the picture of README.md, which has to fit on a screen: what SVG draws first.
func upperPart(p *Picture) string {
	c := &canvas{id: "kmodtrace"}
	c.heading(p.Main)
	c.stages(p.Main)
	c.why(p.Main)
	c.y += textLine
	return c.picture(" alone", p.title(), p.summary(), "<style>\n"+pictureStyle+"</style>\n")
}
