package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// Ineffective is a line of modprobe's configuration, or a whole file, that does not do what it says.
type Ineffective struct {
	Place string // the file, and the line where it is about one
	Text  string // the line; empty for a file
	Why   string
}

func (i Ineffective) String() string {
	if i.Text == "" {
		return i.Place + ": " + i.Why
	}
	return fmt.Sprintf("%s says %q: %s", i.Place, i.Text, i.Why)
}

// maxAsked bounds how many install lines modprobe is asked about.
const maxAsked = 16

// Ineffective gives the files that cannot be read, the lines that modprobe cannot, those of files that it does not read,
// install lines after the first for a name and those that modprobe ignores, and what is against
// modules that are loaded all the same. A file that hides another of its name is not among them: that is
// how a line is meant to be taken out.
func (k *Kernel) Ineffective(ctx context.Context) []Ineffective {
	found := k.Unreadable()
	found = append(found, k.ineffectiveLines(ctx)...)
	return append(found, k.loadedAllTheSame()...)
}

func (k *Kernel) ineffectiveLines(ctx context.Context) (found []Ineffective) {
	installs := make(map[string]string)
	asked := 0
	for _, line := range k.configLines() {
		say := func(why string) { found = append(found, Ineffective{line.Place(), line.Text, why}) }
		if line.Ignored != "" {
			if !line.unread && line.hiddenBy == "" {
				say(line.Ignored)
			}
			continue
		}
		about := modname.Normal(strings.FieldsFunc(line.Text, isBlank)[1])
		switch {
		case line.Alias:
		case line.unread:
			say("modprobe reads only files that end in .conf")
		case strings.HasSuffix(line.Text, "\r") && !line.Options && line.hiddenBy == "":
			say("it ends with a carriage return, as in files of Windows, which is a part of the name or command to modprobe")
		case line.hiddenBy != "" || !line.Install:
		case installs[about] != "":
			say(installs[about] + " is about the same name, and comes first")
		default:
			installs[about] = line.Place()
			if asked++; asked <= maxAsked && k.ignoresInstall(ctx, about) {
				say("modprobe loads " + about + " without the command (kmod 34 ignores it where a module has soft dependencies)")
			}
		}
	}
	return found
}

// ignoresInstall asks modprobe whether it loads a module though an install line has another command.
func (k *Kernel) ignoresInstall(ctx context.Context, name string) bool {
	if !k.running || k.root != "/" || strings.ContainsAny(name, "*?[") {
		return false
	}
	steps, err := kmod.Plan(ctx, name, nil)
	if err != nil || len(steps) == 0 {
		return false
	}
	target := func(s kmod.Step) bool { return s.Module == name && s.Kind == kmod.StepLoad }
	return slices.ContainsFunc(steps, target) && !slices.ContainsFunc(steps, func(s kmod.Step) bool { return s.Kind == kmod.StepInstall })
}

// loadedAllTheSame finds what is against modules that are loaded.
func (k *Kernel) loadedAllTheSame() (found []Ineffective) {
	if !k.running {
		return nil
	}
	modules, err := kmod.List(&kmod.ListOptions{Root: k.root})
	if err != nil {
		return nil
	}
	for i := range modules {
		for _, line := range k.Against(modules[i].Name) {
			found = append(found, Ineffective{line.Place(), line.Text, modules[i].Name + " is loaded all the same"})
		}
	}
	return found
}

// Against gives the lines of [Kernel.Blocked] that say that a module is not to be loaded.
func (k *Kernel) Against(name string) []ConfigLine {
	return slices.DeleteFunc(k.Blocked(name), func(line ConfigLine) bool { return !line.Blocking })
}

// Unreadable gives the files of modprobe's configuration that cannot be read: what they say is not
// known. A file that is gone by now is not among them.
func (k *Kernel) Unreadable() (found []Ineffective) {
	files, _ := k.modprobeFiles()
	for _, file := range files {
		if _, err := procfs.ReadFile(file, maxConfig); err != nil && !errors.Is(err, fs.ErrNotExist) {
			found = append(found, Ineffective{Place: file, Why: whyUnreadable(err)})
		}
	}
	return found
}

// whyUnreadable leaves out the path, which is named beside it.
func whyUnreadable(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return "it cannot be read (" + err.Error() + ")"
}
