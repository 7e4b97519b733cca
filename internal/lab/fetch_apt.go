package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// indexAge is how old a package index may grow. Debian publishes four times a
// day, a new kernel every week or two.
const indexAge = 24 * time.Hour

// archive is an apt of the lab's own: own sources, own lists, no packages
// installed. It neither reads nor changes the system's apt, except that it takes
// over how to reach the network (proxies) and where the Debian mirrors are.
type archive struct {
	dir      string
	progress io.Writer
}

// openArchive prepares the configuration; it reads no network.
func openArchive(ctx context.Context, cache string, progress io.Writer) (*archive, error) {
	a := &archive{dir: filepath.Join(cache, "apt"), progress: progress}
	for _, dir := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, dir), 0o755); err != nil {
			return nil, fmt.Errorf("prepare apt: %w", err)
		}
	}
	sites, err := systemSites(ctx)
	if err != nil {
		return nil, err
	}
	keyring, err := archiveKeyring()
	if err != nil {
		return nil, err
	}
	network, err := networkSettings(ctx)
	if err != nil {
		return nil, err
	}
	files := map[string]string{
		"sources.list": sites.sourcesList(keyring),
		"apt.conf":     network + a.settings(),
		"status":       "",
	}
	for name, text := range files {
		if err := settleFile(filepath.Join(a.dir, name), text); err != nil {
			return nil, fmt.Errorf("prepare apt: %w", err)
		}
	}
	return a, nil
}

// settings isolates apt in the archive's directory. The architecture is fixed, so
// that packages "for all" are found alike on every host.
func (a *archive) settings() string {
	in := func(name string) string { return filepath.Join(a.dir, name) }
	var b strings.Builder
	for _, s := range [][2]string{
		{"Dir::Etc::main", "/dev/null"},
		{"Dir::Etc::parts", "/dev/null"},
		{"Dir::Etc::sourcelist", in("sources.list")},
		{"Dir::Etc::sourceparts", "/dev/null"},
		{"Dir::Etc::preferences", "/dev/null"},
		{"Dir::Etc::preferencesparts", "/dev/null"},
		{"Dir::State", a.dir},
		{"Dir::State::lists", in("lists")},
		{"Dir::State::status", in("status")},
		{"Dir::Cache", in("cache")},
		{"Dir::Cache::srcpkgcache", ""}, // half of the disk space for a second per refresh
		{"APT::Architecture", "amd64"},
		{"APT::Architectures::", "amd64"},
		{"APT::Architectures::", "arm64"},
		// As root, apt would download as its own user, who cannot enter a cache in root's home.
		{"APT::Sandbox::User", "root"},
		{"APT::Update::Error-Mode", "any"},
		{"Acquire::Retries", "2"}, // with growing pauses
		{"Acquire::GzipIndexes", "true"},
	} {
		fmt.Fprintf(&b, "%s %q;\n", s[0], s[1])
	}
	return b.String()
}

// networkSettings are the system's own rules for reaching a mirror: proxies,
// timeouts, certificates. Nothing else of its configuration is taken over; some
// systems hook commands to every update.
func networkSettings(ctx context.Context) (string, error) {
	text, err := output(exec.CommandContext(ctx, "apt-config", "dump"))
	if err != nil {
		return "", fmt.Errorf("read apt's network settings: %w", err)
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		for _, prefix := range []string{"Acquire::http", "Acquire::ftp", "Acquire::tor", "Acquire::socks", "Acquire::Force", "Acquire::Check-"} {
			if strings.HasPrefix(line, prefix) {
				b.WriteString(line)
			}
		}
	}
	return b.String(), nil
}

// command is a command of apt's in the archive's configuration.
func (a *archive) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "apt.conf"), "LC_ALL=C")
	return cmd
}

// index reads which packages there are, refreshing the lists first when they
// are older than a day, made by another configuration, or when told to. A source
// that cannot be read does not hide the others: it is kept in the index's
// Missing.
func (a *archive) index(ctx context.Context, refresh bool) (*index, error) {
	unlock, err := lockFile(ctx, filepath.Join(a.dir, "lock"), a.progress)
	if err != nil {
		return nil, err
	}
	defer unlock()
	sources, err := os.ReadFile(filepath.Join(a.dir, "sources.list"))
	if err != nil {
		return nil, fmt.Errorf("read package index: %w", err)
	}
	path := filepath.Join(a.dir, "index.json")
	origin := string(sources) + "kept: " + strings.Join(guestPackages(), " ")
	if !refresh {
		if ix, err := readIndex(path, origin); err == nil {
			return ix, nil
		}
	}
	ix, err := a.refresh(ctx)
	if err != nil {
		return nil, err
	}
	ix.Origin = origin
	return ix, ix.write(path)
}

// refresh downloads the lists and parses them.
func (a *archive) refresh(ctx context.Context) (*index, error) {
	fmt.Fprintln(a.progress, "reading package indexes")
	_, updateErr := output(a.command(ctx, "apt-get", "-q", "update"))
	if ctx.Err() != nil {
		return nil, fmt.Errorf("read package indexes: %w", context.Cause(ctx))
	}
	lists, err := a.lists(ctx)
	if err != nil {
		return nil, err
	}
	if len(lists) == 0 {
		return nil, fmt.Errorf("read package indexes: %w", errors.Join(updateErr, errors.New("no list was read")))
	}
	ix := &index{}
	if updateErr != nil {
		ix.Missing = updateErr.Error()
		fmt.Fprintf(a.progress, "some package sources cannot be read: %s\n", ix.Missing)
	}
	for _, l := range lists {
		if err := a.readList(ctx, ix, l); err != nil {
			return nil, err
		}
	}
	return ix, nil
}

// list is one downloaded package list, in whatever compression apt keeps it.
type list struct{ file, suite string }

func (a *archive) lists(ctx context.Context) ([]list, error) {
	text, err := output(a.command(ctx, "apt-get", "indextargets", "--format", "$(FILENAME)\t$(RELEASE)", "Created-By: Packages"))
	if err != nil {
		return nil, fmt.Errorf("list package indexes: %w", err)
	}
	var lists []list
	for line := range strings.Lines(text) {
		if file, suite, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			lists = append(lists, list{file, suite})
		}
	}
	return lists, nil
}

func (a *archive) readList(ctx context.Context, ix *index, l list) error {
	cmd := a.command(ctx, "/usr/lib/apt/apt-helper", "cat-file", l.file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("read package index of %s: %w", l.suite, err)
	}
	parseErr := ix.parse(pipe, l.suite)
	if err := commandError(cmd.Wait(), stderr.String()); err != nil || parseErr != nil {
		return fmt.Errorf("read package index of %s: %w", l.suite, errors.Join(parseErr, err))
	}
	return nil
}

// download puts the packages' files into dir, verified by apt against the
// signed index.
func (a *archive) download(ctx context.Context, dir string, packages []pkg) error {
	unlock, err := lockFile(ctx, filepath.Join(a.dir, "lock"), a.progress)
	if err != nil {
		return err
	}
	defer unlock()
	args := []string{"-q", "download"}
	for _, p := range packages {
		args = append(args, p.selector())
	}
	cmd := a.command(ctx, "apt-get", args...)
	cmd.Dir = dir
	if _, err := output(cmd); err != nil {
		return fmt.Errorf("download %s: %w", packages[0].Name, err)
	}
	return nil
}
