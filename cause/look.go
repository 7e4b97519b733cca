package cause

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/holders"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// The extra looks: more names and evidence for a cause that is already certain.

// lookOops finds the first line of the oops.
func lookOops(s *scene) {
	s.find(oopsText)
	if d := s.action.Details; d != nil && s.action.Stage == tracer.StageInit {
		s.prove("its init had begun")
	}
}

// lookFile says what kind of file it is, where it can still be asked.
func lookFile(s *scene) {
	mode, err := s.fileMode()
	if err != nil {
		return
	}
	kinds := []struct {
		mode fs.FileMode
		text string
	}{
		{fs.ModeDir, "a directory"}, {fs.ModeNamedPipe, "a pipe"}, {fs.ModeSocket, "a socket"},
		{fs.ModeCharDevice, "a character device"}, {fs.ModeDevice, "a device"},
	}
	for _, k := range kinds {
		if mode&k.mode != 0 {
			s.name("kind", k.text)
			return
		}
	}
}

func lookDecompression(s *scene) {
	if method, err := s.ask("what the kernel decompresses").Decompression(); err == nil {
		s.prove("this kernel undoes %v only", method)
	}
}

// lookMachine names the machines for a refusal that was told by the kernel's words.
func lookMachine(s *scene) {
	if i := s.action.Image; i != nil {
		s.name("machine", kmod.MachineName(elf.Machine(i.Machine)))
	}
	s.name("wanted", s.ask("the kernel's architecture").Machine())
}

// maxKeys bounds the trusted keys that are listed.
const maxKeys = 8

// lookKeys tells who signed the module, and which keys this kernel trusts.
func lookKeys(s *scene) {
	if file, _ := s.inspect(); file != nil && file.Signature != nil {
		sig := file.Signature
		s.name("signer", quoted(sig.Signer))
		s.name("key", sig.KeyID)
		s.name("hash", sig.Hash)
		s.name("signature", sig.Problem)
		if sig.Problem == "" {
			s.prove("signature: by %s, key %s, %s", orUnknown(sig.Signer), orUnknown(sig.KeyID), orUnknown(sig.Hash))
		}
	}
	if enforced, err := s.ask("whether signatures are enforced").SignatureEnforced(); err == nil && enforced {
		s.prove("signatures are enforced (module.sig_enforce)")
	}
	keys, err := s.ask("the trusted keys").Keys() // perhaps only some, and why not all
	for i, key := range keys {
		if i == maxKeys {
			s.prove("and %d more trusted keys", len(keys)-i)
			break
		}
		s.prove("trusted: %s (%s, in %s)", key.Description, key.ID, key.Keyring)
	}
	switch {
	case err != nil:
		s.prove("not all keys that it trusts can be read: %v", err)
	case len(keys) == 0:
		s.prove("this kernel has no key that it trusts for modules")
	}
}

func quoted(text string) string {
	if text == "" {
		return ""
	}
	return `"` + text + `"`
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// lookBuilt tells what the module was built for.
func lookBuilt(s *scene) {
	if file, _ := s.inspect(); file != nil {
		s.prove("built for: %s", strings.TrimSpace(file.Value("vermagic")))
	}
	if ours, err := s.ask("the kernel's vermagic").Vermagic(); err == nil {
		s.prove("this kernel: %s", strings.TrimSpace(ours))
	}
}

// lookStruct compares the sizes of struct module.
func lookStruct(s *scene) {
	lookBuilt(s)
	if file, _ := s.inspect(); file != nil {
		s.name("module", file.Name) // the kernel refused it before it had come to the name
		s.name("built", strings.TrimSpace(file.Value("vermagic")))
		s.name("theirs", fmt.Sprint(file.StructSize))
	}
	ours, err := s.ask("the size of struct module").StructSize()
	if err != nil {
		s.prove("the size of this kernel's struct module is not known: %v", err)
		return
	}
	s.name("ours", fmt.Sprint(ours))
}

// lookRival names who made the other load.
func lookRival(s *scene) {
	if s.action.Rival == 0 {
		return
	}
	s.prove("the other load: attempt %d", s.action.Rival)
}

// lookWriters finds processes that have the file open for writing.
func lookWriters(s *scene) {
	if !s.live || s.action.File == nil {
		return
	}
	s.question.now("who has the file open")
	found, err := writers(s.ctx, s.action.File)
	for _, w := range found {
		s.prove("open for writing: %s", w)
	}
	if err != nil {
		s.prove("not all open files could be looked at: %v", err)
	}
}

// lookBoth names a symbol for GPL-compatible modules only: the kernel had met it, without saying so,
// when it came to that of the proprietary module.
func lookBoth(s *scene) {
	if s.names["symbol"] == "" {
		s.find(unknownSymbol) // what the kernel refused it
	}
	file, _ := s.inspect()
	if file == nil {
		return
	}
	k := s.ask("the symbols of the kernel")
	for _, i := range file.Imports {
		if i.Name == s.names["symbol"] {
			return
		}
		if symbol, err := k.Symbol(i.Name); err == nil && symbol.GPL != nil && *symbol.GPL {
			s.name("gpl", i.Name)
			s.prove("%s is for GPL-compatible modules only", i.Name)
			return
		}
	}
}

// lookLeaving looks for who unloads the owner.
func lookLeaving(s *scene) {
	s.question.now("who unloads " + s.names["owner"])
	s.name("unloader", unloader(s.names["owner"]))
}

// lookOwner names the exporter of a symbol.
func lookOwner(s *scene) {
	if s.names["owner"] == "" {
		s.name("owner", "the kernel")
	}
	if source := s.names["source"]; source != "" {
		s.prove("%s is known from %s", s.names["symbol"], source)
	}
}

// lookProviders finds installed modules that would export a missing symbol.
func lookProviders(s *scene) {
	providers, err := s.ask("which modules export the symbol").Providers(s.names["symbol"])
	if err != nil || len(providers) == 0 {
		return
	}
	s.name("providers", strings.Join(providers, ", "))
	s.prove("installed, and exporting it: %s", strings.Join(providers, ", "))
}

// lookVersions compares the checksums of a symbol.
func lookVersions(s *scene) {
	name := s.names["symbol"]
	if file, _ := s.inspect(); file != nil {
		i := slices.IndexFunc(file.Imports, func(i kmod.Import) bool { return i.Name == name })
		if i >= 0 && file.Imports[i].CRC != nil {
			s.name("theirs", file.Imports[i].CRC.String())
		}
	}
	if symbol, err := s.ask("the symbols of the kernel").Symbol(name); err == nil && symbol.CRC != nil {
		s.name("ours", symbol.CRC.String())
	}
}

// lookParameter finds the parameter's type, and the line of modprobe's configuration that sets it.
func lookParameter(s *scene) {
	s.setBy(s.names["parameter"], s.names["value"])
	file, _ := s.inspect()
	if file == nil {
		return
	}
	for _, p := range file.Parameters {
		if p.Name == s.names["parameter"] {
			s.name("type", p.Type)
		}
	}
}

// lookSize tells how much a module wanted.
func lookSize(s *scene) {
	if i := s.action.Image; i != nil {
		s.prove("the file has %d bytes; sections without content in it may be larger", i.Size)
	}
}

// lookPerCPU tells what the reserve is, and what the loaded modules have of it.
func lookPerCPU(s *scene) {
	k := s.ask("the reserve for per-CPU data")
	if reserve, err := k.PerCPUReserve(); err == nil {
		s.name("reserve", fmt.Sprint(reserve))
		s.prove("all modules together have %d bytes of per-CPU data at most", reserve)
	}
	if !s.live {
		return
	}
	if used, err := k.PerCPUUsed(); err == nil && used > 0 {
		s.prove("the files of the modules that are loaded have %d bytes of it", used)
	}
}

// lookAddresses tells what the file's sections take.
func lookAddresses(s *scene) {
	if file, _ := s.inspect(); file != nil {
		s.name("bytes", fmt.Sprint(file.MemorySize))
		s.prove("the file's sections take %d bytes", file.MemorySize)
	}
}

// maxUsers bounds the users that the sentence names; the evidence has them all.
const maxUsers = 3

// lookUsers looks for who holds references, which only the living system tells.
func lookUsers(s *scene) {
	if !s.live {
		return
	}
	s.question.now("who uses the module")
	users, err := holders.Find(s.action.Module, nil)
	var texts []string
	for _, u := range users {
		texts = append(texts, userText(&u))
		switch text := userText(&u); u.LetGo {
		case "":
			s.prove("in use by %s", text)
		default:
			s.prove("in use by %s; this lets go of it: %s", text, u.LetGo)
		}
	}
	s.name("letgo", letGo(users))
	if n := len(texts); n > maxUsers {
		texts = append(texts[:maxUsers], "…")
	}
	s.name("users", strings.Join(texts, ", "))
	switch {
	case err != nil:
		s.prove("not all users could be looked for: %v", err)
	case len(users) == 0:
		s.prove("nothing that the kernel lists uses it: no open file, mount, device, socket, network setting or rule, or BPF program. Other code in the kernel does")
	default:
		if l := s.action.Lookup; l != nil && l.Refs != nil && int(*l.Refs) > references(users) {
			s.prove("the kernel counted %s: a user can have several, and code that the kernel does not list can have some", cells.Plural(int(*l.Refs), "reference"))
		}
	}
}

// lookCalled finds what the module in the file of that name is called.
func lookCalled(s *scene) {
	name := s.ask("the file of that name").NameInFile(s.action.Module)
	if name == "" || name == s.action.Module {
		return
	}
	s.name("called", name)
	s.prove("the kernel goes by the name in the file, modprobe by that of the file")
}

func lookStuck(s *scene) {
	s.prove("the thread is %s; /proc/%d/stack shows where it waits", s.names["who"], s.action.Thread.TID)
}

// references are at least as many as the users have, each one or more.
func references(users []holders.User) (n int) {
	for _, u := range users {
		if u.Holds {
			n += max(1, u.Count)
		}
	}
	return n
}

// letGo lists the commands, each once and as many as the sentence names users; the evidence has
// them all.
func letGo(users []holders.User) string {
	var commands []string
	for _, u := range users {
		if u.LetGo != "" && !slices.Contains(commands, u.LetGo) {
			commands = append(commands, u.LetGo)
		}
	}
	if n := len(commands); n > maxUsers {
		commands = append(commands[:maxUsers], "…")
	}
	return strings.Join(commands, "; ")
}

// userText says who uses a module, and how.
func userText(u *holders.User) string {
	text := u.Kind.String()
	for _, word := range []string{u.Name, u.Path} {
		if word != "" {
			text += " " + word
		}
	}
	if u.On != "" {
		text += " on " + u.On
	}
	if u.Path == "" && u.Device != "" {
		text += " " + u.Device
	}
	if u.Count > 0 {
		text += fmt.Sprintf(" (%d)", u.Count)
	}
	if u.PID != 0 && u.Comm != "" {
		text += fmt.Sprintf(" by %s[%d]", u.Comm, u.PID)
	}
	if u.Network != "" {
		text += " in network namespace " + u.Network
	}
	return text
}
