package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// What modprobe goes by is checked before a load fails because of it.

func moduleTree() (*kernel.Tree, error) {
	k, err := kernel.Open(nil)
	if err != nil {
		return nil, err
	}
	return k.Tree()
}

const runDepmod = ": run depmod -a as root (kmodtrace explain depmod-stale)"

// listCheck tells whether modules.dep, by which modprobe finds files, has what is there.
func listCheck(tree *kernel.Tree, err error) check {
	c := check{Name: "modules.dep", Have: yes}
	switch {
	case err != nil && tracer.HaveModules() != nil:
		c.Note = "this kernel has no modules"
	case err != nil:
		c.Have, c.Note = Unknown, cells.OneLine(err).Error()
	case tree.NoList:
		c.Have = no
		c.Note = fmt.Sprintf("there is none, and modprobe does not find %s%s%s", tree.Unlisted[0], andMore(len(tree.Unlisted)), runDepmod)
	default:
		c.Note = strings.Join(treeNotes(tree), "; ")
		if len(tree.Gone)+len(tree.Unlisted) > 0 {
			c.Have = no
			c.Note = "it is stale: " + c.Note + runDepmod
		}
		if n := len(tree.Broken); n > 0 {
			c.Have = no
			c.Note = fmt.Sprintf("modprobe's index %s %s%s%s", tree.Broken[0].Index, tree.Broken[0].Why, andMore(n), runDepmod)
		}
	}
	return c
}

// treeNotes has an example of each difference, and how many more there are.
func treeNotes(tree *kernel.Tree) (notes []string) {
	if n := len(tree.Gone); n > 0 {
		notes = append(notes, "it lists "+tree.Gone[0]+andMore(n)+", not there any more")
	}
	if n := len(tree.Unlisted); n > 0 {
		notes = append(notes, "it does not list "+tree.Unlisted[0]+andMore(n))
	}
	if n := len(tree.Hidden); n > 0 {
		h := tree.Hidden[0]
		note := fmt.Sprintf("modprobe takes %s, and not %s%s", h.Taken, h.Path, andMore(n))
		if h.Later {
			note += ", which was put there after depmod ran"
		}
		notes = append(notes, note+" (kmodtrace explain file-hidden)")
	}
	if tree.Partial {
		notes = append(notes, "there are more files than were looked at")
	}
	return notes
}

// andMore counts those beside the first.
func andMore(n int) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n-1)
}

// askModprobe is how long modprobe has for all questions about its configuration.
const askModprobe = 5 * time.Second

func ineffective() ([]kernel.Ineffective, error) {
	k, err := kernel.Open(nil)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), askModprobe)
	defer cancel()
	found := k.Ineffective(ctx)
	return found, ctx.Err()
}

// configurationCheck tells whether the lines of modprobe's configuration do what they say.
func configurationCheck(found []kernel.Ineffective, err error) check {
	c := check{Name: "modprobe.d", Have: yes}
	const most = 4
	var notes []string
	for _, line := range found[:min(len(found), most)] {
		notes = append(notes, cells.ShortLine(line.String()))
	}
	if n := len(found) - most; n > 0 {
		notes = append(notes, fmt.Sprintf("and %d more", n))
	}
	switch {
	case len(found) > 0:
		c.Have, c.Note = no, strings.Join(notes, "; ")+" (kmodtrace explain config-ignored)"
	case errors.Is(err, context.DeadlineExceeded):
		c.Have, c.Note = Unknown, "modprobe did not answer in time"
	case err != nil:
		c.Have, c.Note = Unknown, cells.OneLine(err).Error()
	}
	return c
}
