package reload

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// OldCopy is the copy that is in the kernel before a reload, and the way back to it.
type OldCopy struct {
	BuildID    string `json:"build_id,omitempty"`
	SrcVersion string `json:"src_version,omitempty"`
	// Content says where its file was found: kept by kmodtrace, or at File. Absent where it
	// was not, and Why says why.
	Content ContentFrom `json:"content,omitempty"`
	File    string      `json:"file,omitempty"`
	Why     string      `json:"why,omitempty"`

	loaded   *kmod.Loaded
	settings *settings
	file     *kmod.File // what the content says of itself
	path     string     // of the content
}

// ContentFrom says where the file of the old copy was found.
type ContentFrom string

// The places.
const (
	ContentKept      ContentFrom = "kept"      // in the [Store]
	ContentFile      ContentFrom = "file"      // the new file is the old one
	ContentJournal   ContentFrom = "journal"   // by [Options.LoadedFrom]
	ContentInstalled ContentFrom = "installed" // among the kernel's modules
)

// findOld looks at the copy of a file's module that is in the kernel; nil where there
// is none.
func (r *Reloader) findOld(ctx context.Context, f *kmod.File) (*OldCopy, error) {
	l, err := kmod.Look(f.Name, nil)
	if errors.Is(err, kmod.ErrNotLoaded) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o := &OldCopy{BuildID: l.BuildID, SrcVersion: l.SrcVersion, loaded: l}
	k := r.findContent(ctx, o, f)
	if o.settings, err = settingsOf(f.Name, l.Instance, k); err != nil {
		return nil, err
	}
	return o, nil
}

// findContent sees to it that the file of the old copy is kept, if it is anywhere.
func (r *Reloader) findContent(ctx context.Context, o *OldCopy, f *kmod.File) *kept {
	switch {
	case r.storeErr != nil:
		o.Why = "its file cannot be kept: " + r.storeErr.Error()
		return nil
	case o.loaded.Identity == kmod.Identity{}:
		o.Why = "it has neither a build ID nor a srcversion to know its file by"
		return nil
	}
	if k, err := r.store.find(f.Name, o.loaded.Identity); err == nil && o.found(k, ContentKept) {
		return k
	}
	var tried []string
	for _, place := range r.places(ctx, f) {
		image, err := kmod.ReadImage(place.file)
		if err == nil {
			var k *kept
			if k, err = r.store.keep(f.Name, image, place.file, nil); err == nil && o.found(k, place.from) {
				return k
			}
		}
		tried = append(tried, place.file)
	}
	o.Why = "kmodtrace did not load it, and the build that is loaded is not in " + strings.Join(tried, ", ")
	return nil
}

// found takes a kept file for the content, if it is whole.
func (o *OldCopy) found(k *kept, from ContentFrom) bool {
	file, err := kmod.Inspect(k.path)
	if err != nil {
		return false
	}
	o.Content, o.File, o.file, o.path = from, k.File, file, k.path
	return true
}

// place is a file that may be that of the old copy.
type place struct {
	file string
	from ContentFrom
}

func (r *Reloader) places(ctx context.Context, f *kmod.File) []place {
	places := []place{{f.Path, ContentFile}}
	if r.options.LoadedFrom != nil {
		if file := r.options.LoadedFrom(ctx, f.Name); filepath.IsAbs(file) {
			places = append(places, place{file, ContentJournal})
		}
	}
	files, _ := kmod.Find(ctx, f.Name, nil)
	for _, file := range files {
		places = append(places, place{file, ContentInstalled})
	}
	return places
}
