package render

import (
	"strings"

	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/record"
)

// suspicions says what an auditor would stumble at in where a file comes from, beside
// what fileText says.
func suspicions(a *record.Record) string {
	f, o := a.File, a.Origin
	if f == nil || o == nil {
		return ""
	}
	found := noter{}
	found.add(o.Temporary && !o.Root && !f.Memfd, "on %s", o.FileSystem)
	found.add(o.Removable, "on a removable disk")
	found.add(o.WritableByOthers && !f.Memfd, "writable by others")
	found.add(o.Package != nil && o.Package.Content == provenance.Differs, "not as its package brought it")
	switch o.State {
	case provenance.Changed, provenance.Replaced:
		found.add(true, "%s since", o.State)
	case provenance.Gone:
		found.add(!f.Memfd && !f.Deleted, "gone since")
	}
	if len(found) == 0 {
		return ""
	}
	return "file " + strings.Join(found, ", ")
}

// originText says where a file comes from, as far as that is not the ordinary.
func originText(o *provenance.Origin) string {
	parts := noter{}
	if p := o.Package; p != nil {
		parts.add(true, "%s (%s)", strings.Join(NonEmpty(p.Name, p.Version), " "), p.Manager)
	}
	parts.add(o.Package != nil && o.Package.Content == provenance.Differs, "not as the package brought it")
	parts.add(o.DKMS != "", "built on this machine by DKMS (%s)", o.DKMS)
	parts.add(o.InPlaceOf != "", "in the place of %s", o.InPlaceOf)
	parts.add(o.Temporary, "%s, in memory", o.FileSystem)
	parts.add(o.Overlay, "%s, in layers", o.FileSystem)
	parts.add(o.Network, "%s, over the network", o.FileSystem)
	parts.add(o.Removable, "%s on a removable disk", o.FileSystem)
	if owner := o.Owner; owner != nil && (owner.UID != 0 || o.WritableByOthers) {
		text := ownerName(owner) + "'s, mode " + o.Mode
		if o.WritableByOthers {
			text += ", writable by others"
		}
		parts.add(true, "%s", text)
	}
	switch {
	case o.InTree:
	case o.OtherRelease != "":
		parts.add(true, "among the modules of another kernel, %s", o.OtherRelease)
	default:
		parts.add(true, "not among this kernel's modules")
	}
	return strings.Join(parts, "; ")
}

func ownerName(o *provenance.Owner) string {
	if o.User != "" {
		return o.User
	}
	return Users{}.name(o.UID)
}
