//go:build !race

package service

import "testing"

func TestDeliveryLong(t *testing.T) {
	if testing.Short() {
		t.Skip("delivers for half a minute: not with -short")
	}
	deliverBacklog(t, 100_000)
}
