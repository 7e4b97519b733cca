package trial

import (
	"cmp"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// Parse takes the files, the parameters and the command from a command line, of which dash words stand
// before the --; it is negative where there is none. Then it checks the whole plan.
func (p *Plan) Parse(args []string, dash int) error {
	if dash >= 0 {
		args, p.Command = args[:dash], args[dash:]
		if len(p.Command) == 0 || p.Command[0] == "" {
			return cli.Usagef("-- must be followed by a COMMAND to run in the machine")
		}
	}
	for _, arg := range args {
		switch {
		case kmod.IsFile(arg) && len(p.Params) == 0:
			p.Files = append(p.Files, arg)
		case kmod.IsFile(arg) && !strings.Contains(arg, "="):
			return cli.Usagef("%s: the FILES must come before the parameters", cells.Short(arg))
		case len(p.Files) == 0:
			return cli.Usagef("%s: must be the FILE of a module: a path with a slash, or one that ends in .ko", cmp.Or(cells.Short(arg), `""`))
		default:
			if _, err := kmod.ParseParams(arg); err != nil {
				return cli.Usagef("%w", err)
			}
			p.Params = append(p.Params, arg)
		}
	}
	switch {
	case len(p.Files) == 0:
		return cli.Usagef("try takes the FILES of modules")
	case p.Times < 1 || p.Times > maxTrials:
		return cli.Usagef("--times %d: must be 1 to %d", p.Times, maxTrials)
	case p.Patience <= 0:
		return cli.Usagef("--patience %v: must be more than 0, such as 30s", p.Patience)
	}
	return nil
}

const maxTrials = 10_000
