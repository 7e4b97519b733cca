package cause

import (
	"path/filepath"
	"strings"

	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// fileModule gives the name by which modprobe's configuration goes: that of the file.
func (s *scene) fileModule() string {
	if f := s.action.File; f != nil && f.Path != "" {
		return kmod.NameOfFile(f.Path)
	}
	return s.action.Module
}

// configured tells whether who loaded the module passes the parameters of modprobe's configuration:
// modprobe does, and udev, systemd and kmodtrace for what is installed; insmod does not.
func (s *scene) configured() bool {
	switch {
	case !s.live: // what the configuration is now says nothing about the past
		return false
	case s.action.Thread.Comm == "modprobe":
		return true
	case s.action.Thread.Comm == "insmod" || s.action.Thread.Comm == "busybox" || s.action.File == nil:
		return false
	}
	dir, _ := s.ask("the directory of modules").ModulesDir()
	if whole, err := filepath.EvalSymlinks(dir); err == nil { // the kernel's path has no link in it
		dir = whole
	}
	inside, err := filepath.Rel(dir, s.action.File.Path)
	return err == nil && filepath.IsLocal(inside)
}

// setBy names the line of modprobe's configuration that set a parameter; a value on the command line
// comes later and counts, unless it is the same.
func (s *scene) setBy(parameter, value string) {
	if !s.configured() {
		return
	}
	lines := s.ask("the configuration of modprobe").Options(s.fileModule(), s.action.Module, s.askedFor())
	if line := lineSetting(lines, parameter, value); line != nil {
		s.name("config", line.Place())
		s.prove("%s: %s", line.Place(), line.Text)
		return
	}
	for _, file := range s.ask("the configuration of modprobe").Unreadable() {
		s.prove("%s: whether it sets the parameter is not known", file)
	}
}

// askedFor is the alias for which the kernel had the module loaded; "" where somebody else asked modprobe.
func (s *scene) askedFor() string {
	if r := s.action.Requester; r != nil {
		return r.Request.Name
	}
	return ""
}

// lineSetting gives the last line that passes a parameter with that value.
func lineSetting(lines []kernel.OptionLine, parameter, value string) *kernel.OptionLine {
	var found *kernel.OptionLine
	for i := range lines {
		for _, option := range lines[i].Params {
			name, set, _ := strings.Cut(option.Text, "=")
			if lines[i].Ignored == "" && sameName(name, parameter) && set == value {
				found = &lines[i]
			}
		}
	}
	return found
}

func sameName(a, b string) bool {
	return strings.ReplaceAll(a, "-", "_") == strings.ReplaceAll(b, "-", "_")
}

// unknownParameter is the warning of a parameter that the kernel ignored.
func (s *scene) unknownParameter(parameter string) *Cause {
	s.name("parameter", parameter)
	if s.question.kernel != nil && s.action.Call != nil {
		given, _ := kmod.ParseParams(s.action.Call.Text)
		for _, param := range given {
			if name, value, _ := strings.Cut(param, "="); sameName(name, parameter) {
				s.setBy(parameter, value)
			}
		}
	}
	return s.say(ParameterUnknown, sayParameterUnknown)
}

// ignoredOptions warns of lines with parameters for the module that were not passed.
func (s *scene) ignoredOptions() []Cause {
	insmod := s.live && s.action.Thread.Comm == "insmod"
	if !insmod && !s.configured() {
		return nil
	}
	return ignoredOptions(s.ask("the configuration of modprobe").Options(s.fileModule(), s.action.Module, s.askedFor()), s.action.Module, insmod)
}

// ignoredOptions makes a warning of each line that is ignored; insmod passes none.
func ignoredOptions(lines []kernel.OptionLine, module string, insmod bool) []Cause {
	var warnings []Cause
	for i := range lines {
		line := &lines[i]
		why := line.Ignored
		if insmod && why == "" {
			why = "insmod does not read this configuration"
		}
		if why == "" {
			continue
		}
		names := map[string]string{"config": line.Place(), "text": line.Text, "why": why, "module": module}
		warnings = append(warnings, Cause{
			Code: OptionsIgnored, Text: sentence(sayOptionsIgnored, names), Evidence: []string{sentence("{config}: {text}", names)},
			Next: nextOf(OptionsIgnored), Names: names,
		})
	}
	return warnings
}
