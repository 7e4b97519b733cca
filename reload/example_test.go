package reload_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/reload"
)

// Replace a module by its new build, and say which copy is in the kernel.
func Example() {
	ctx := context.Background()
	s, err := proof.Open(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	r, err := reload.Open(&reload.Options{Wait: true})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	plan, err := r.Plan(ctx, "./hello.ko", nil)
	if err != nil {
		log.Fatal(err) // this kernel would refuse the file; nothing was touched
	}
	if why := plan.NoWayBack(); why != "" {
		log.Fatal(why)
	}
	result, err := r.Do(ctx, s, plan)
	switch {
	case err == nil:
		fmt.Println("loaded with", result.Params.Params)
	case errors.Is(err, reload.ErrDown):
		log.Fatal(err) // neither copy is at work
	default:
		fmt.Println(err, result.After.BuildID)
	}
}
