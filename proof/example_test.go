package proof_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// Load a file and unload it again, each with proof.
func Example() {
	ctx := context.Background()
	s, err := proof.Open(nil)
	if err != nil {
		log.Fatal(err) // this kernel, or this user, cannot trace
	}
	defer s.Close()

	loaded, err := s.Load(ctx, "./hello.ko", &kmod.LoadOptions{Params: kmod.Params{"whom=Bob"}})
	switch {
	case errors.Is(err, proof.ErrRefused):
		s.Explain(ctx, loaded)
		fmt.Println(err, "because", loaded.Cause)
		return
	case err != nil: // not proven, or the events contradict the answer
		fmt.Println(loaded.Verdict, err)
		return
	}
	for _, stage := range loaded.Actions[0].Stages {
		fmt.Println(stage.Stage, stage.Took)
	}
	if _, err := s.Unload(ctx, "hello", nil); err != nil {
		log.Fatal(err)
	}
}

// Unload a module as soon as its last user is gone, and wait no longer than a minute.
func ExampleSession_Unload() {
	s, err := proof.Open(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	result, err := s.Unload(ctx, "hello", &kmod.UnloadOptions{Wait: true})
	if errors.Is(err, kmod.ErrInUse) {
		fmt.Printf("asked %d times: %v\n", len(result.Actions), err)
	}
}

// A program that knows beforehand that a load cannot be done gives a Result all the same.
func ExampleNewResult() {
	r := proof.NewResult(tracer.Load, "hello", proof.Refused, &kmod.Error{Op: "load", Module: "hello", Err: unix.EPERM})
	fmt.Println(r.Verdict, r.ErrnoName)
	fmt.Println(r.Err(), errors.Is(r.Err(), proof.ErrRefused), errors.Is(r.Err(), unix.EPERM))
	// Output:
	// refused EPERM
	// load hello: operation not permitted true true
}
