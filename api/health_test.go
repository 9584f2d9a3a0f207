package api

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/parley-sfu/parley/internal/bus"
)

// deadBus is NATS being away.
type deadBus struct{}

func (deadBus) Bucket(context.Context, bus.BucketConfig) (*bus.Bucket, error) {
	return nil, bus.ErrUnavailable
}

type noKeys struct{ Keys }

type noRevocations struct{ Revocations }

// serverWithoutNATS is a server whose every dependency is missing at run time.
func serverWithoutNATS(t *testing.T) *Server {
	t.Helper()
	cfg := Defaults()
	cfg.APIKeys = []APIKey{{ID: testKeyID, Secret: testSecret}}
	s, err := New(cfg, Deps{
		Signal: &fakeSignal{}, Keys: noKeys{}, Revoked: noRevocations{}, Bus: deadBus{}, Locator: oneNode{}, Log: slog.New(slog.DiscardHandler),
		Ready: func() []Missing { return []Missing{{Component: "bus", Detail: "NATS does not answer."}} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHealthWithoutNATS(t *testing.T) {
	s := serverWithoutNATS(t)
	get := func(path, token string) answer {
		rec := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		s.Handler().ServeHTTP(rec, req)
		resp := rec.Result()
		if err := loadContract(t).check(req, resp, rec.Body.Bytes()); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		return answer{t: t, status: rec.Code, header: resp.Header, body: rec.Body.Bytes()}
	}
	get("/livez", "").want(http.StatusOK)
	p := get("/readyz", "").wantProblem(http.StatusServiceUnavailable, "not_ready")
	var components []string
	for _, m := range p.Missing {
		components = append(components, m.Component)
	}
	if !slices.Equal(components, []string{"store", "bus"}) {
		t.Errorf("missing = %v", components)
	}
	token := (&rig{t: t}).token(rightRead)
	if got := get("/v1/meetings", token); got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	} else {
		got.wantProblem(http.StatusServiceUnavailable, "store_unavailable")
	}
	get("/v1/regions", "").want(http.StatusOK)
}

func TestHealth(t *testing.T) {
	r := newRig(t)
	r.get("/livez").want(http.StatusOK)
	r.get("/readyz").want(http.StatusOK)
	r.get("/.well-known/jwks.json").want(http.StatusOK)
	got := r.get("/metrics")
	got.want(http.StatusOK)
	if !strings.Contains(string(got.body), `parley_http_requests_total{route="/livez",status="200"}`) {
		t.Error("metrics do not count requests")
	}
}

// Nothing secret reaches the log.
func TestLogHasNoSecrets(t *testing.T) {
	var out bytes.Buffer
	r := newRig(t, func(_ *Config, d *Deps) {
		d.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	token := r.token(allRights...)
	m := r.create(object{"title": "x"})
	v := r.join(m.ID, object{"host_key": m.HostKey})
	r.post("/v1/meetings/"+m.ID+"/lock", nil, header(HostKeyHeader, m.HostKey), header("X-Request-Id", "find-me")).want(http.StatusNoContent)
	r.client.CloseIdleConnections()
	log := out.String()
	for name, secret := range map[string]string{"user token": token, "host key": m.HostKey, "join token": v.JoinToken} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has the %s", name)
		}
	}
	if !strings.Contains(log, "find-me") {
		t.Error("the log does not have the request id")
	}
}

func TestNewNeedsItsDependencies(t *testing.T) {
	if _, err := New(Defaults(), Deps{}); err == nil {
		t.Error("no error without dependencies")
	}
	bad := Defaults()
	bad.PublicURL = "meet"
	if _, err := New(bad, Deps{}); err == nil || !strings.Contains(err.Error(), "public_url") {
		t.Errorf("error = %v, want one about public_url", err)
	}
}
