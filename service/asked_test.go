package service

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// TestHealth: by TCP and by a socket, of a service that is well, one that is not, and none.
func TestHealth(t *testing.T) {
	sick := false
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/healthz" || !localHost(r.Host):
			http.Error(w, "another question", http.StatusMisdirectedRequest)
		case sick:
			http.Error(w, "no hook on load_module", http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, "ok")
		}
	})
	socket := filepath.Join(t.TempDir(), "metrics.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	onSocket := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	onSocket.Start()
	defer onSocket.Close()
	byTCP := httptest.NewServer(handler)
	defer byTCP.Close()
	for _, listen := range []string{"unix:" + socket, byTCP.Listener.Addr().String()} {
		sick = false
		if said, err := Health(t.Context(), MetricsConfig{Listen: listen}); said != "ok" || err != nil {
			t.Errorf("%s: %q, %v", listen, said, err)
		}
		sick = true
		if _, err := Health(t.Context(), MetricsConfig{Listen: listen}); err == nil || !strings.HasSuffix(err.Error(), "says 503: no hook on load_module") {
			t.Errorf("%s: %v", listen, err)
		}
	}
	onSocket.Close()
	for listen, want := range map[string]string{"unix:" + socket: "ask the service at unix:", "": "not configured"} {
		if _, err := Health(t.Context(), MetricsConfig{Listen: listen}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", listen, err, want)
		}
	}
}
