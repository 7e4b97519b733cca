package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestOriginText pins what load and watch say about where a file comes from.
func TestOriginText(t *testing.T) {
	const hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	root := &provenance.Owner{User: "root", Group: "root"}
	for name, test := range map[string]struct {
		origin     provenance.Origin
		memfd      bool
		suspicions string
		want       string
	}{
		"packaged": {
			origin: provenance.Origin{
				State: provenance.Same, SHA256: hash, FileSystem: "ext4", Owner: root, Mode: "0644", InTree: true,
				Package: &provenance.Package{Name: "linux-image-6.12", Version: "6.12.9-1", Manager: "dpkg"},
			},
			want: "  sha256     " + hash + "\n  from       linux-image-6.12 6.12.9-1 (dpkg)\n",
		},
		"in tree, of no package": {
			origin: provenance.Origin{State: provenance.Same, SHA256: hash, FileSystem: "ext4", Owner: root, Mode: "0644", InTree: true},
			want:   "  sha256     " + hash + "\n",
		},
		"everything": {
			origin: provenance.Origin{
				State: provenance.Changed, Why: "it had 25 bytes, and has 27 now", FileSystem: "tmpfs", Temporary: true, Removable: true,
				Owner: &provenance.Owner{UID: 1000, User: "alice", GID: 1000}, Mode: "0666", WritableByOthers: true, OtherRelease: "6.1.0-9",
			},
			suspicions: "file on tmpfs, on a removable disk, writable by others, changed since",
			want: `  sha256     none: it had 25 bytes, and has 27 now
  from       tmpfs, in memory; tmpfs on a removable disk; alice's, mode 0666, writable
             by others; among the modules of another kernel, 6.1.0-9
`,
		},
		"memfd": {
			origin: provenance.Origin{
				State: provenance.Gone, Why: "it never had a name", FileSystem: "tmpfs", Temporary: true, Owner: root, Mode: "0777", WritableByOthers: true,
			},
			memfd: true,
			want:  "  sha256     none: it never had a name\n  from       tmpfs, in memory; root's, mode 0777, writable by others; not among this\n             kernel's modules\n",
		},
		"initramfs": {
			origin: provenance.Origin{State: provenance.Same, SHA256: hash, FileSystem: "ramfs", Temporary: true, Root: true, Owner: root, Mode: "0644", InTree: true},
			want:   "  sha256     " + hash + "\n  from       ramfs, in memory\n",
		},
		"gone": {
			origin:     provenance.Origin{State: provenance.Gone, Why: "there is nothing at its path now", FileSystem: "overlay", Overlay: true, InTree: true},
			suspicions: "file gone since",
			want:       "  sha256     none: there is nothing at its path now\n  from       overlay, in layers\n",
		},
		"no package yet": {
			origin: provenance.Origin{State: provenance.Same, SHA256: hash, InTree: true, Why: "its package is not known: no answer within 3s"},
			want:   "  sha256     " + hash + "\n  from       its package is not known: no answer within 3s\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := sample.Loaded()
			a.Origin = &test.origin
			a.File = &tracer.File{Path: "/x.ko", Memfd: test.memfd}
			results := NewResultText(term.Theme{}, 86)
			if diff := cmp.Diff(test.want, results.Text(results.Origin(a.Origin))); diff != "" {
				t.Errorf("load (-want +got):\n%s", diff)
			}
			if got := suspicions(&a); got != test.suspicions {
				t.Errorf("watch: %q, want %q", got, test.suspicions)
			}
			row := NewActionTable(term.Theme{}, 400).Render(&a)
			if test.suspicions != "" && !strings.Contains(row, test.suspicions) {
				t.Errorf("watch does not show it: %s", row)
			}
		})
	}
}

func TestSignatureText(t *testing.T) {
	yes, no := true, false
	for _, test := range []struct {
		signed *bool
		signer string
		want   string
	}{
		{nil, "", "not checked by this kernel"},
		{nil, "Me", "not checked by this kernel, said to be of Me"},
		{&yes, "", "valid"},
		{&yes, "Debian", "valid, of Debian"},
		{&no, "", "none that this kernel trusts"},
		{&no, "Me", "none that this kernel trusts, said to be of Me"},
	} {
		if got := signatureText(test.signed, &provenance.Origin{Signer: test.signer}); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
	if got := signatureText(&yes, nil); got != "valid" {
		t.Errorf("%q", got)
	}
}
