package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/cause"
)

func configCases() []causeCase {
	const conf = "/etc/modprobe.d/case.conf"
	line := func(text string) func(*world, *testing.T) func() {
		return func(w *world, t *testing.T) func() { return setting(t, conf, "# a comment\n"+text+"\n") }
	}
	name := func(name string) func(*world, *testing.T, string) seen {
		return func(w *world, t *testing.T, way string) seen {
			out, _ := command("kmodtrace", way, "--json", name)
			if way == "check" {
				return ofVerdict(out)
			}
			return ofResult(out)
		}
	}
	asked := []string{"load", "check"}
	return []causeCase{
		{code: cause.NotFound, name: "file", boot: plainBoot, ways: asked, check: unasked, do: name("./nosuch.ko"), says: []string{"nosuch.ko"}},
		{code: cause.NotFound, name: "alias of nothing", boot: plainBoot, ways: asked, check: unasked, do: name("stands"), setup: line("alias stands no-such"), says: []string{"no_such", "stands", conf + ":2"}},
		{code: cause.NotELF, name: "an empty file by its name", boot: plainBoot, ways: asked, check: unasked, do: name("hello"), says: []string{"hello.ko is empty"},
			setup: func(w *world, t *testing.T) func() {
				w.write(t, filepath.Join(w.directory(), "hello.ko"), nil)
				hide := w.installed(t)
				return func() { hide(); w.installVariant(t, "hello.ko") }
			}},
		{code: cause.NotFound, name: "name", boot: plainBoot, ways: asked, check: unasked, do: name("nosuch"), says: []string{"nosuch"}},
		{code: cause.BlockedByConfig, name: "install", boot: plainBoot, ways: asked, check: unasked, do: name("hello"), setup: line("install hello /bin/false"), says: []string{conf + ":2", "install hello"}},
		{code: cause.DependencyFailed, name: "install", boot: plainBoot, ways: asked, check: unasked, do: installedByName("failuser"), setup: configured(line("install failbase /bin/false"), "failbase.ko"),
			says: []string{"failuser needs failbase", conf + ":2", "install failbase /bin/false"}},
		{code: cause.DependencyFailed, name: "install that loads", boot: plainBoot, ways: []string{"load"}, check: unasked, do: installedByName("failuser"),
			setup: configured(line("install failbase /sbin/modprobe --ignore-install failbase"), "failbase.ko"), says: []string{"failuser needs failbase", "install-command", conf + ":2"}},
		{code: cause.BlockedByConfig, name: "install, the first of two", boot: plainBoot, ways: asked, check: unasked, do: name("hello"), setup: line("install hello /bin/false\ninstall hello /sbin/modprobe --ignore-install hello"), says: []string{conf + ":2", "install hello /bin/false"}},
		{
			code: cause.DepmodStale, name: "a file that is gone", boot: plainBoot, ways: asked, check: unasked, says: []string{"chatty.ko", "no such file"}, do: name("chatty"),
			setup: func(w *world, t *testing.T) func() {
				if err := os.Remove(filepath.Join(w.directory(), "chatty.ko")); err != nil {
					t.Fatal(err)
				}
				away := w.installed(t)
				return func() { away(); w.installVariant(t, "chatty.ko") }
			},
		},
		{
			code: cause.DepmodStale, name: "an index that is gone", boot: plainBoot, ways: asked, check: unasked, says: []string{"lists hello", "modules.dep.bin is not there"}, do: name("hello"),
			setup: func(w *world, t *testing.T) func() {
				show := away(t, filepath.Join(w.directory(), "modules.dep.bin"))
				hide := w.installed(t)
				return func() { hide(); show() }
			},
		},
		{
			code: cause.DepmodStale, name: "a file that depmod has not seen", boot: plainBoot, ways: asked, check: unasked, says: []string{"unseen.ko", "depmod was not run"}, do: name("unseen"),
			setup: func(w *world, t *testing.T) func() {
				unseen := filepath.Join(w.directory(), "unseen.ko")
				w.write(t, unseen, w.readSpecimen(t, "hello.ko"))
				away := w.installed(t)
				return func() { away(); os.Remove(unseen) }
			},
		},
		{
			code: cause.InitRefused, name: "of a file called otherwise", boot: plainBoot, ways: []string{"load"}, check: unasked, says: []string{"returned ENODEV"}, do: name("params"),
			setup: func(w *world, t *testing.T) func() { return w.called(t, "params.ko", "refuse.ko") },
		},
		{
			code: cause.NotLoaded, name: "by the file's name", boot: plainBoot, ways: []string{"rmmod", "unload"}, check: unasked, says: []string{"installed as params has the module hello"},
			setup: func(w *world, t *testing.T) func() { return w.called(t, "params.ko", "hello.ko") },
			do:    func(w *world, t *testing.T, way string) seen { return w.unload(way, "params") },
		},
		{
			code: cause.InstallCommand, boot: plainBoot, ways: asked, check: unasked, says: []string{conf + ":2", "--ignore-install hello"},
			setup: func(w *world, t *testing.T) func() {
				away := w.installed(t)
				undo := line("install hello /sbin/modprobe --ignore-install hello\ninstall hello /bin/false")(w, t)
				return func() { undo(); away() }
			},
			do: func(w *world, t *testing.T, way string) seen {
				s := name("hello")(w, t, way)
				if way == "load" {
					if out, errs := command("kmodtrace", "load", "--json", "--ignore-install", "hello"); !bytes.Contains(out, []byte(`"result":"confirmed"`)) {
						t.Errorf("without the command: %s%s", out, errs)
					}
					w.remove(t, "hello")
				}
				return s
			},
		},
		{
			code: cause.ConfigIgnored, name: "blacklist, by name", boot: plainBoot, ways: []string{"modprobe"}, check: unasked, says: []string{conf + ":2", "blacklist dummy", "aliases only"},
			setup: line("blacklist dummy"), do: byName,
		},
		{
			code: cause.ConfigIgnored, name: "install, softdeps", boot: plainBoot, ways: []string{"modprobe"}, check: unasked, says: []string{conf + ":2", "install dummy /bin/false", "soft dependencies"},
			setup: line("install dummy /bin/false\nsoftdep dummy pre: garp"), do: byName,
		},
		{
			code: cause.ParameterInvalid, name: "an options line's", boot: plainBoot, ways: []string{"modprobe", "load", "check"}, check: unasked, says: []string{"number", "many", conf + ":2 sets it"},
			setup: configured(line("options params number=many"), "params.ko"), do: installedByName("params"),
		},
		{
			code: cause.ParameterUnknown, name: "an options line's", boot: plainBoot, ways: []string{"modprobe", "load", "check"}, check: unasked, says: []string{"nosuch", conf + ":2 sets it"},
			setup: configured(line("options params number=0x7 nosuch=1"), "params.ko"),
			do: func(w *world, t *testing.T, way string) seen {
				s := installedByName("params")(w, t, way)
				if way == "check" {
					return s
				}
				if out := w.kmodtrace("info", "params"); !bytes.Contains(out, []byte(conf+":2: number=0x7 (the loaded module has it)")) {
					t.Errorf("info: %s", out)
				}
				w.remove(t, "params")
				return s
			},
		},
		{
			code: cause.FileHidden, boot: plainBoot, ways: []string{"check"}, check: unasked, says: []string{"/hello.ko for hello", "/updates/hello.ko"}, do: name("hello"),
			setup: func(w *world, t *testing.T) func() {
				updates := filepath.Join(w.directory(), "updates")
				if err := os.Mkdir(updates, 0o755); err != nil {
					t.Fatal(err)
				}
				w.write(t, filepath.Join(updates, "hello.ko"), w.readSpecimen(t, "hello.ko"))
				away := w.installed(t)
				return func() { away(); os.RemoveAll(updates) }
			},
		},
		{
			code: cause.OptionsIgnored, name: "insmod", boot: plainBoot, ways: []string{"insmod"}, check: unasked, says: []string{conf + ":2", "insmod does not read"},
			setup: line("options hello whom=nobody"),
			do: func(w *world, t *testing.T, way string) seen {
				s := w.load(way, "hello.ko", nil)
				w.remove(t, "hello")
				return s
			},
		},
		{
			code: cause.OptionsIgnored, name: "the module's name", boot: plainBoot, ways: []string{"modprobe", "load", "check"}, check: unasked, says: []string{conf + ":2", "the name of the file, which is params"},
			setup: func(w *world, t *testing.T) func() {
				away := w.called(t, "params.ko", "hello.ko")
				undo := line("options hello whom=nobody")(w, t)
				return func() { undo(); away() }
			},
			do: func(w *world, t *testing.T, way string) seen {
				s := installedByName("params")(w, t, way)
				if way != "check" {
					w.remove(t, "hello")
				}
				return s
			},
		},
		{code: cause.BlockedByConfig, name: "blacklist", boot: plainBoot, ways: asked, check: unasked, do: name("rtnl-link-dummy"), setup: line("blacklist dummy"), says: []string{conf + ":2", "blacklist dummy"}},
		{code: cause.BuiltIn, name: "load", boot: plainBoot, ways: asked, check: unasked, says: []string{"kernel image"},
			do: func(w *world, t *testing.T, way string) seen { return name(w.builtin(t))(w, t, way) }},
	}
}

// called has modprobe find a specimen under another one's name.
func (w *world) called(t *testing.T, name, specimen string) (undo func()) {
	t.Helper()
	w.write(t, filepath.Join(w.directory(), name), w.readSpecimen(t, specimen))
	away := w.installed(t)
	return func() { away(); w.installVariant(t, name) }
}

// configured has a specimen installed, beside a line of modprobe's configuration.
func configured(line func(*world, *testing.T) func(), file string) func(*world, *testing.T) func() {
	return func(w *world, t *testing.T) func() {
		w.installVariant(t, file)
		away := w.installed(t)
		undo := line(w, t)
		return func() { undo(); away() }
	}
}

// installedByName asks for what is installed by its name.
func installedByName(name string) func(*world, *testing.T, string) seen {
	return func(w *world, t *testing.T, way string) seen {
		switch way {
		case "check":
			return ofVerdict(w.kmodtrace("check", "--json", name))
		case "load":
			return ofResult(w.kmodtrace("load", "--json", name))
		}
		return w.seenDuring(func() { command("/sbin/modprobe", name) })
	}
}

// byName has modprobe load what is installed by its name.
func byName(w *world, t *testing.T, _ string) seen {
	s := w.seenDuring(func() { command("/sbin/modprobe", "dummy") })
	command("/sbin/modprobe", "-r", "dummy")
	return s
}

// builtin gives the name of something that is part of the kernel image.
func (w *world) builtin(t *testing.T) string {
	t.Helper()
	dir, _ := w.kernel.ModulesDir()
	text, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.Lines(string(text)) {
		name := strings.ReplaceAll(strings.TrimSuffix(filepath.Base(strings.TrimSpace(path)), ".ko"), "-", "_")
		if _, err := os.Stat("/sys/module/" + name); err == nil {
			return name
		}
	}
	t.Fatal("no built-in module shows in /sys/module")
	return ""
}
