package provenance

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// rpm asks the program, which alone reads its database.
type rpm struct {
	root, program string

	mu    sync.Mutex
	as    time.Time // of the database, when known was asked for
	known map[string]*packaged
}

const (
	rpmWithin  = time.Second // for an answer, which a lock of the database can keep back
	maxAnswers = 4096
)

// newRPM takes a program from PATH only for the machine's own root.
func newRPM(root, program string) rpm {
	if program == "" && root == "/" {
		program, _ = exec.LookPath("rpm")
	}
	return rpm{root: root, program: program}
}

// database gives when the database was last written; zero where there is none.
func (r *rpm) database() time.Time {
	var last time.Time
	for _, dir := range []string{"usr/lib/sysimage/rpm", "var/lib/rpm", "usr/share/rpm"} {
		if modified(filepath.Join(r.root, dir)).IsZero() {
			continue
		}
		for _, file := range []string{"rpmdb.sqlite", "rpmdb.sqlite-wal", "Packages.db", "Packages"} {
			if at := modified(filepath.Join(r.root, dir, file)); at.After(last) {
				last = at
			}
		}
	}
	return last
}

// owner gives the package that has a path; nil where none has.
func (r *rpm) owner(ctx context.Context, path string) *packaged {
	if r.program == "" {
		return nil
	}
	as := r.database()
	if as.IsZero() {
		return nil
	}
	r.mu.Lock()
	if as != r.as || len(r.known) >= maxAnswers || time.Since(as) < time.Second {
		r.as, r.known = as, make(map[string]*packaged)
	}
	p, ok := r.known[path]
	r.mu.Unlock()
	if ok {
		return p
	}
	p, sure := r.ask(ctx, path)
	if sure {
		r.mu.Lock()
		r.known[path] = p
		r.mu.Unlock()
	}
	return p
}

// ask tells also whether there was an answer: rpm fails for a file of no package.
func (r *rpm) ask(ctx context.Context, path string) (p *packaged, sure bool) {
	ctx, cancel := context.WithTimeout(ctx, rpmWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.program, "-qf", "--queryformat", `%{NAME}\t%{VERSION}-%{RELEASE}\n[%{FILENAMES}\t%{FILEDIGESTS}\n]`, "--", path)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	cmd.WaitDelay = rpmWithin
	out, err := cmd.Output()
	if err != nil {
		return nil, ctx.Err() == nil
	}
	first, files, _ := strings.Cut(string(out), "\n")
	name, version, ok := strings.Cut(first, "\t")
	if !ok || name == "" {
		return nil, true
	}
	p = &packaged{Package: &Package{Name: name, Version: version, Manager: "rpm"}}
	merged := mergedUsr(r.root)
	for line := range strings.Lines(files) {
		file, hash, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if unaliased(file, merged) == unaliased(path, merged) {
			p.hash = hash
			break
		}
	}
	return p, true
}
