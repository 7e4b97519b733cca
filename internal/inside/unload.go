package inside

import (
	"context"
	"fmt"

	"github.com/kmodtrace/kmodtrace/calls"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/reload"
)

// PlanUnload plans for a module that is in the kernel, from its file: the one that is named, or that
// was kept when it was loaded, or that modprobe knows. It must be of the same build: another's functions
// lie elsewhere. A module that is not loaded has no plan, and the kernel says so.
func (c *Options) PlanUnload(ctx context.Context, module string) (*calls.Plan, error) {
	if !c.Wanted {
		return nil, nil
	}
	loaded, err := kmod.Look(module, nil)
	if err != nil {
		return nil, nil
	}
	path, err := c.unloadFile(ctx, module)
	if err != nil {
		return nil, cells.OneLine(fmt.Errorf("look inside %s: %w", module, err))
	}
	file, err := kmod.Inspect(path)
	if err != nil {
		return nil, cells.OneLine(fmt.Errorf("look inside %s: %w", module, err))
	}
	if !file.Identity().Same(loaded.Identity) {
		return nil, cli.WithHint(fmt.Errorf("look inside %s: %s is not the file that it was loaded from", module, cells.Short(path)), "--file names the right one")
	}
	return newPlan(module, path, calls.Exit)
}

func (c *Options) unloadFile(ctx context.Context, module string) (string, error) {
	if c.file != "" {
		return c.file, nil
	}
	if s, err := reload.OpenStore(reload.DefaultStore); err == nil {
		defer s.Close()
		if path, err := s.File(module); err == nil {
			return path, nil
		}
	}
	return kmod.FindOne(ctx, module)
}
