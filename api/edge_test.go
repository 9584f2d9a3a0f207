package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/parley-sfu/parley/node/grant"
)

func TestUnknownRoutes(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/", "/v1", "/v1/", "/v2/meetings", "/v1/meetings/", "/v1/meetings/a/b/c/d", "/.env", "/.well-known/x"} {
		r.get(path).wantProblem(http.StatusNotFound, "not_found")
	}
	for method, path := range map[string]string{"PUT": "/v1/meetings", "DELETE": "/livez", "PATCH": "/v1/regions", "BREW": "/openapi.json"} {
		got := r.do(method, path, nil)
		got.wantProblem(http.StatusMethodNotAllowed, "method_not_allowed")
		if got.header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", method, path)
		}
	}
}

func TestHead(t *testing.T) {
	r := newRig(t)
	got := r.do(http.MethodHead, "/v1/meetings", nil, bearer(r.token(rightRead)))
	if got.want(http.StatusOK); len(got.body) != 0 || got.header.Get("Content-Type") == "" {
		t.Errorf("HEAD = %q %v", got.body, got.header)
	}
}

func TestRequestIDs(t *testing.T) {
	r := newRig(t)
	for _, tc := range []struct {
		name, sent string
		kept       bool
	}{
		{"good", "abc-1.2_X", true},
		{"none", "", false},
		{"long", strings.Repeat("x", 65), false},
		{"markup", "<script>", false},
		{"space", "a b", false},
		{"not ASCII", "ä", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := r.in(t)
			got := r.get("/v1/meetings", header("X-Request-Id", tc.sent))
			p := got.wantProblem(http.StatusUnauthorized, "unauthenticated")
			if kept := p.RequestID == tc.sent; kept != tc.kept {
				t.Errorf("id = %q for %q", p.RequestID, tc.sent)
			}
		})
	}
	a, b := r.get("/livez"), r.get("/livez")
	if a.header.Get("X-Request-Id") == b.header.Get("X-Request-Id") {
		t.Error("two requests have one id")
	}
}

func TestPanicsAreAnswered(t *testing.T) {
	r := newRig(t, func(_ *Config, d *Deps) {
		d.Locator = locate(func(context.Context, JoinRequest) ([]grant.Candidate, error) { panic("a mistake") })
	})
	m := r.create(object{"title": "x", "settings": object{"guests": true}})
	got := r.post("/v1/meetings/"+m.ID+"/join", nil)
	if got.wantProblem(http.StatusInternalServerError, "internal"); strings.Contains(string(got.body), "mistake") {
		t.Errorf("the cause is shown: %s", got.body)
	}
	r.get("/livez").want(http.StatusOK)
}

func TestCORS(t *testing.T) {
	r := newRig(t, func(c *Config, _ *Deps) {
		c.AllowedOrigins = []string{"https://meet.example.org", "http://localhost:*"}
	})
	for origin, allowed := range map[string]bool{
		"https://meet.example.org": true, "http://localhost:5173": true, "http://localhost": true,
		"https://meet.example.org.evil.example": false, "http://meet.example.org": false, "https://evil.example": false,
		"http://localhost:80:80": false, "http://localhost:x": false, "http://localhost.evil.example:80": false, "null": false,
	} {
		t.Run(origin, func(t *testing.T) {
			r := r.in(t)
			got := r.get("/v1/regions", header("Origin", origin))
			got.want(http.StatusOK)
			if (got.header.Get("Access-Control-Allow-Origin") == origin) != allowed || got.header.Get("Vary") != "Origin" {
				t.Errorf("headers = %v, want allowed %v", got.header, allowed)
			}
			pre := r.do(http.MethodOptions, "/v1/meetings", nil, header("Origin", origin), header("Access-Control-Request-Method", "POST"))
			if allowed {
				pre.want(http.StatusNoContent)
				for _, name := range []string{"Authorization", "Content-Type", "Idempotency-Key", "X-Host-Key", "X-Request-Id"} {
					if !strings.Contains(pre.header.Get("Access-Control-Allow-Headers"), name) {
						t.Errorf("preflight does not allow %s", name)
					}
				}
				return
			}
			pre.wantProblem(http.StatusForbidden, "origin_denied")
		})
	}
}

func TestSecurityHeaders(t *testing.T) {
	r := newRig(t, func(c *Config, _ *Deps) { c.PublicURL = "https://meet.example.org" })
	for _, path := range []string{"/livez", "/v1/regions", "/nothing"} {
		h := r.get(path).header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": strictPolicy, "Strict-Transport-Security": "max-age=31536000",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s = %q, want %q", path, name, h.Get(name), want)
			}
		}
	}
}

func TestDevAnswersLoopbackOnly(t *testing.T) {
	r := newRig(t, func(c *Config, _ *Deps) { c.Dev = true })
	for host, ok := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:7880": true, "localhost": true, "LOCALHOST:1": true, "[::1]:7880": true, "127.8.9.1": true,
		"evil.example": false, "evil.example:7880": false, "127.0.0.1.evil.example": false, "localhost.evil.example": false,
		"192.0.2.1": false, "0.0.0.0:7880": false, "[::]:7880": false,
	} {
		t.Run(host, func(t *testing.T) {
			r := r.in(t)
			got := r.get("/livez", func(req *http.Request) { req.Host = host })
			if ok {
				got.want(http.StatusOK)
				return
			}
			got.wantProblem(http.StatusMisdirectedRequest, "host_denied")
		})
	}
}

func TestPage(t *testing.T) {
	r := newRig(t, func(_ *Config, d *Deps) {
		d.Web = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != "/" && !strings.HasPrefix(req.URL.Path, "/m/") {
				http.NotFound(w, req)
				return
			}
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Content-Security-Policy", "the page's own")
			fmt.Fprint(w, "the page")
		})
	})
	for _, path := range []string{"/", "/m/mtg_x"} {
		got := r.get(path)
		got.want(http.StatusOK)
		if string(got.body) != "the page" || got.header.Get("Content-Security-Policy") != "the page's own" {
			t.Errorf("%s = %s %v", path, got.body, got.header)
		}
		r.do(http.MethodHead, path, nil).want(http.StatusOK)
	}
	r.get("/favicon.ico").wantProblem(http.StatusNotFound, "not_found")
	r.get("/v1/x").wantProblem(http.StatusNotFound, "not_found")
	r.post("/", nil).wantProblem(http.StatusNotFound, "not_found")
}

func TestSocketNeedsAnUpgrade(t *testing.T) {
	r := newRig(t)
	r.get("/v1/signal").wantProblem(http.StatusUpgradeRequired, "upgrade_required")
}
