package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/cli"
)

func TestLabResult(t *testing.T) {
	trouble := errors.New("bring back: no such file")
	for _, c := range []struct {
		status int
		err    error
		want   int
	}{{0, nil, 0}, {3, nil, 3}, {139, nil, 139}, {127, trouble, 127}, {0, trouble, exitLab}, {-1, trouble, exitLab}, {-1, cli.Usagef("x"), exitUsage}} {
		if got := statusOf(labResult(c.status, c.err)); got != c.want {
			t.Errorf("%d, %v: exit status %d, want %d", c.status, c.err, got, c.want)
		}
	}
}

// Bad command lines get one clear line and boot nothing.
func TestLabBadInput(t *testing.T) {
	t.Setenv("KMODTRACE_CACHE", t.TempDir())
	for _, c := range []struct {
		args   string
		status int
		said   string
	}{
		{"lab run", exitUsage, "no command"},
		{"lab exec --", exitUsage, "no command"},
		{"lab run --nosuch -- true", exitUsage, "nosuch"},
		{"lab run --cpus 0 -- true", exitUsage, "--cpus"},
		{"lab run --memory -5 -- true", exitUsage, "--memory"},
		{"lab run --timeout -1s -- true", exitUsage, "--timeout"},
		{"lab run --timeout soon -- true", exitUsage, "soon"},
		{"lab run --dir x -- true", exitUsage, "--dir"},
		{"lab run --get x -- true", exitUsage, "--get"},
		{"lab run --get /x --get-limit 0 -- true", exitUsage, "--get-limit"},
		{"lab run --env =x -- true", exitUsage, "--env"},
		{"lab run --add /nosuch -- true", exitLab, "/nosuch"},
		{"lab run --kernel ../../etc -- true", exitLab, "../../etc"},
		{"lab run --arch vax -- true", exitLab, "vax"},
		{"lab exec --stall -1s -- x.test", exitUsage, "--stall"},
		{"lab exec -- x.test -test.timeout=soon", exitUsage, "soon"},
		{"lab bench x", exitUsage, "no arguments"},
		{"lab clean x", exitUsage, "no arguments"},
		{"lab clean --most -1", exitUsage, "--most"},
		{"lab clean --most 9999999999", exitUsage, "--most"},
		{"lab clean --most much", exitUsage, "much"},
	} {
		var stdout, stderr bytes.Buffer
		status := run(strings.Fields(c.args), strings.NewReader(""), &stdout, &stderr)
		if status != c.status || !strings.Contains(stderr.String(), c.said) || stdout.Len() > 0 {
			t.Errorf("%s: exit status %d, want %d; stdout %q, stderr %q", c.args, status, c.status, &stdout, &stderr)
		}
		if n := strings.Count(stderr.String(), "\n"); n > 2 {
			t.Errorf("%s: %d lines: %s", c.args, n, &stderr)
		}
	}
}
