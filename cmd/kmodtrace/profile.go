package main

import (
	"fmt"
	"os"
	"runtime/pprof"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// profileFlag names a new file for a profile of this process's CPU time, as make bench
// wants one: it is for those who work on kmodtrace. It is a flag and no variable: who
// can set a variable for root's kmodtrace must not have it make files.
const profileFlag = "cpuprofile"

// profile is recorded from the flag's being read on.
type profile struct {
	name string
	file *os.File
}

// addProfileFlag adds the flag to all commands.
func addProfileFlag(root *cobra.Command) *profile {
	p := new(profile)
	root.PersistentFlags().StringVar(&p.name, profileFlag, "", "record a profile of this process's CPU time in a new `FILE`")
	if err := root.PersistentFlags().MarkHidden(profileFlag); err != nil {
		panic(err) // it was added above
	}
	before := root.PersistentPreRun
	root.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		before(cmd, args)
		return p.begin()
	}
	return p
}

func (p *profile) begin() (err error) {
	if p.name == "" {
		return nil
	}
	if p.file, err = os.OpenFile(p.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600); err == nil {
		err = pprof.StartCPUProfile(p.file)
	}
	if err != nil {
		return fmt.Errorf("--%s: %w", profileFlag, err)
	}
	return nil
}

func (p *profile) end() {
	if p.file != nil {
		pprof.StopCPUProfile()
		_ = p.file.Close()
	}
}
