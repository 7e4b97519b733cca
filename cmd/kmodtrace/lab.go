package main

import "github.com/spf13/cobra"

// exitLab is the lab's own failure, as opposed to its command's: no kernel, no
// QEMU, a guest that panicked or hung. It is the number that other programs
// that run programs (env, timeout, docker) have for this.
const exitLab = 125

func newLabCommand() *cobra.Command {
	lab := &cobra.Command{
		Use:   "lab",
		Short: "Run commands on real kernels, in virtual machines",
		Long: `Boot an unmodified distribution kernel in QEMU and run a command in it, without
risk for this machine's own kernel, and also where that has no modules or probes.`,
	}
	lab.AddCommand(
		newLabRunCommand(),
		newLabExecCommand(),
		newLabBenchCommand(),
		newLabKernelsCommand(),
		newLabFetchCommand(),
		newLabBuildCommand(),
		newLabCleanCommand(),
	)
	return lab
}
