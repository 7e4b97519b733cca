package kmod_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// A name's modules are loaded one after the other. Locked to its thread, the caller
// knows which thread makes each system call, and so which kernel events are its own.
func ExamplePlan() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	steps, err := kmod.Plan(context.Background(), "xfs", nil)
	if err != nil {
		log.Fatal(err)
	}
	for i := range steps {
		step := &steps[i]
		fmt.Printf("thread %d: %v %s from %s\n", unix.Gettid(), step.Kind, step.Module, step.Path)
		if err := step.Do(); err != nil {
			log.Fatal(err)
		}
	}
}

// Load a file as insmod does, with a parameter that has blanks.
func ExampleLoad() {
	_, err := kmod.Load(context.Background(), "./hello.ko", &kmod.LoadOptions{
		Params: kmod.Params{"whom=big wide world"},
	})
	switch {
	case errors.Is(err, kmod.ErrLoaded):
		fmt.Println("it is there already")
	case errors.Is(err, unix.EPERM):
		fmt.Println("that takes CAP_SYS_MODULE")
	case err != nil:
		log.Fatal(err)
	}
}

// Unload, and give its users five seconds to let go.
func ExampleUnload() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := kmod.Unload(ctx, "hello", &kmod.UnloadOptions{Wait: true})
	if errors.Is(err, kmod.ErrInUse) {
		fmt.Println(err) // says by whom
	}
}

func ExampleList() {
	root, err := os.MkdirTemp("", "root")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(root)
	text := "hello 16384 0 - Live 0x0000000000000000 (OE)\nllc 16384 2 stp,garp, Live 0x0000000000000000\n"
	if err := os.Mkdir(filepath.Join(root, "proc"), 0o700); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "proc", "modules"), []byte(text), 0o600); err != nil {
		log.Fatal(err)
	}

	modules, err := kmod.List(&kmod.ListOptions{Root: root}) // nil lists the running kernel's
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range modules {
		fmt.Println(m.Name, m.State, *m.Refs, m.Holders, m.Taints)
	}
	// Output:
	// hello live 0 [] [out-of-tree unsigned]
	// llc live 2 [stp garp] []
}

func ExampleParse() {
	data := koimage.Hello().Bytes() // the bytes of any module file
	f, err := kmod.Parse(data)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(f.Name, f.Value("version"), f.Value("license"))
	for _, p := range f.Parameters {
		fmt.Printf("takes %s, a %s\n", p.Name, p.Type)
	}
	for _, s := range f.Imports {
		fmt.Println("needs", s.Name, s.CRC)
	}
	fmt.Println("signed:", f.Signature != nil)

	_, err = kmod.Parse([]byte("not a module"))
	fmt.Println(errors.Is(err, kmod.ErrNotModule))
	// Output:
	// hello 1.0 GPL
	// takes who, a charp
	// takes times, a int
	// needs _printk 0x12345678
	// needs maybe 0x00000001
	// signed: false
	// true
}

func ExampleParams_Quote() {
	text, err := kmod.Params{"who=big world", "debug"}.Quote()
	fmt.Println(text, err)
	_, err = kmod.Params{`who=say "hi there"`}.Quote()
	fmt.Println(err)
	// Output:
	// who="big world" debug <nil>
	// bad module parameters: the kernel cannot be given both quotes and blanks in who=say "hi there"
}
