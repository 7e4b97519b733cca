package timeline

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Facts are what the kernel's events do not say about a load: what is in the file, where
// it went, and who provides its symbols. They hold at the moment at which they were gathered.
type Facts struct {
	FileSize    int       `json:"file_size"` // bytes, compressed or not
	Size        int       `json:"size"`      // bytes of the module in it
	Compression string    `json:"compression"`
	Sections    []Section `json:"sections"`
	// Providers are in the order of how many symbols they provide: most first.
	Providers []Provider `json:"providers"`
	// Missing are the symbols that nothing provides; weak ones may stay missing.
	Missing []string `json:"missing,omitempty"`
	// Doubts say what could not be found out, and why.
	Doubts []string `json:"doubts,omitempty"`
}

// Section is a part of the file, and where the kernel put it.
type Section struct {
	Name string           `json:"name"`
	Kind kmod.SectionKind `json:"kind"`
	Size uint64           `json:"size"`
	Init bool             `json:"init,omitempty"`
	// Address is zero where it is not known. That of a section of the init is where it was.
	Address tracer.Address `json:"address,omitzero"`
}

// Provider is a module that provides symbols, or the kernel itself, which has no name.
type Provider struct {
	Module  string   `json:"module,omitempty"`
	Symbols []string `json:"symbols"`
}

// Gather finds out what it can about the module that was loaded from a file just now. It
// does not err: what it cannot find out is a doubt.
func Gather(k *kernel.Kernel, a *tracer.Action, path string) *Facts {
	f := new(Facts)
	file, err := kmod.Inspect(path)
	if err != nil {
		f.doubt("What is in its file is not known: %v.", err)
		return f
	}
	f.FileSize, f.Size, f.Compression = file.FileSize, file.Size, file.Compression.String()
	// Where the kernel decompresses itself, it counts what it was given.
	if a.Image != nil && a.Image.Size != uint64(file.Size) && a.Image.Size != uint64(file.FileSize) {
		f.doubt("The file has changed: it holds %s bytes now, and the kernel got %s.", bytesText(uint64(file.Size)), bytesText(a.Image.Size))
	}
	f.addSections(file, a)
	f.addProviders(k, file)
	return f
}

func (f *Facts) doubt(format string, args ...any) {
	f.Doubts = append(f.Doubts, fmt.Sprintf(format, args...))
}

func (f *Facts) addSections(file *kmod.File, a *tracer.Action) {
	var addresses map[string]kmod.Address
	if a.Outcome == tracer.Live {
		var err error
		switch addresses, err = kmod.SectionAddresses("", a.Module); {
		case errors.Is(err, fs.ErrPermission):
			f.doubt("Where its sections lie, this kernel does not show to this user.")
		case err != nil:
			f.doubt("Where its sections lie is not known: %v.", err)
		}
	}
	for _, s := range file.Sections {
		section := Section{Name: s.Name, Kind: s.Kind, Size: s.Size, Init: s.Init}
		section.Address = tracer.Address(addresses[s.Name])
		f.Sections = append(f.Sections, section)
	}
}

func (f *Facts) addProviders(k *kernel.Kernel, file *kmod.File) {
	by := make(map[string][]string)
	unknown := 0
	var why error
	for _, symbol := range file.Imports {
		found, err := k.Symbol(symbol.Name)
		switch {
		case err == nil:
			by[found.Owner] = append(by[found.Owner], symbol.Name)
		case errors.Is(err, kernel.ErrNoSymbol):
			f.Missing = append(f.Missing, symbol.Name)
		default:
			unknown, why = unknown+1, err
		}
	}
	if why != nil {
		f.doubt("Who provides %s cannot be told: %v.", plural(uint64(unknown), "symbol"), why)
	}
	for module, symbols := range by {
		slices.Sort(symbols)
		f.Providers = append(f.Providers, Provider{module, symbols})
	}
	slices.SortFunc(f.Providers, func(a, b Provider) int {
		return cmp.Or(len(b.Symbols)-len(a.Symbols), cmp.Compare(a.Module, b.Module))
	})
}

// name is the provider's, as it is shown.
func (p *Provider) name() string {
	if p.Module == "" {
		return "the kernel"
	}
	return p.Module
}
