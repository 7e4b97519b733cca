package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Health asks the service that answers at the address of a configuration how it is, as a probe in a container does: what /healthz
// says there, and an error where that is not 200.
func Health(ctx context.Context, c MetricsConfig) (string, error) {
	if c.Listen == "" {
		return "", errors.New("metrics.listen is not configured, so nothing answers /healthz")
	}
	network, address, host := "tcp", c.Listen, c.Listen
	if path, ok := strings.CutPrefix(c.Listen, "unix:"); ok {
		network, address, host = "unix", path, "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/healthz", nil)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	}}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return "", fmt.Errorf("ask the service at %s: %w", c.Listen, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<12))
	said := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		return "", fmt.Errorf("ask the service at %s: %w", c.Listen, err)
	case answer.StatusCode != http.StatusOK:
		return "", fmt.Errorf("the service at %s says %d: %s", c.Listen, answer.StatusCode, said)
	}
	return said, nil
}
