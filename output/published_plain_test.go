//go:build !race

package output

import "testing"

// TestPublished: documents have no field that is not published, and all that must be.
func TestPublished(t *testing.T) {
	ocsf, ecs := readPublished(t, "testdata/ocsf.txt", ""), readPublished(t, "testdata/ecs.txt", "ecs")
	for _, format := range []string{"ocsf", "ecs", "json"} {
		for _, e := range entries(t) {
			line := oneLine(t, format, e)
			doc, err := parse(line)
			if err != nil {
				t.Errorf("%s, %.60q: %v: %.300q", format, e.Text, err, line)
				continue
			}
			var wrong []string
			switch format {
			case "ocsf":
				wrong = ocsf.checkOCSF(doc)
			case "ecs":
				wrong = ecs.checkECS(doc)
			}
			for _, w := range wrong {
				t.Errorf("%s, %.60q: %.300s", format, e.Text, w)
			}
		}
	}
}
