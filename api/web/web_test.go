package web

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"testing/fstest"
)

func testApp(t *testing.T) http.Handler {
	t.Helper()
	files, err := load(fstest.MapFS{
		"dist/index.html":         {Data: []byte("<!doctype html>page")},
		"dist/icon.svg":           {Data: []byte("<svg/>")},
		"dist/assets/app-1234.js": {Data: []byte("let a")},
		"dist/assets/app-1.css":   {Data: []byte("a{}")},
	}, "dist")
	if err != nil {
		t.Fatal(err)
	}
	return app(files)
}

func TestHandlerServesTheApp(t *testing.T) {
	const forever = "public, max-age=31536000, immutable"
	tests := map[string]struct {
		method, path, contentType, cache, body string
		status                                 int
	}{
		"home":                   {"GET", "/", "text/html; charset=utf-8", "no-cache", "<!doctype html>page", 200},
		"meeting":                {"GET", "/m/mtg_x", "text/html; charset=utf-8", "no-cache", "<!doctype html>page", 200},
		"cluster":                {"GET", "/cluster", "text/html; charset=utf-8", "no-cache", "<!doctype html>page", 200},
		"meeting, deeper":        {"GET", "/m/mtg_x/y", "text/html; charset=utf-8", "no-cache", "<!doctype html>page", 200},
		"script":                 {"GET", "/assets/app-1234.js", "text/javascript; charset=utf-8", forever, "let a", 200},
		"style":                  {"GET", "/assets/app-1.css", "text/css; charset=utf-8", forever, "a{}", 200},
		"icon":                   {"GET", "/icon.svg", "image/svg+xml", "no-cache", "<svg/>", 200},
		"head":                   {"HEAD", "/", "text/html; charset=utf-8", "no-cache", "", 200},
		"missing script":         {"GET", "/assets/gone.js", "", "", "", 404},
		"unknown page":           {"GET", "/other", "", "", "", 404},
		"the meetings' root":     {"GET", "/m", "", "", "", 404},
		"API path":               {"GET", "/v1/meetings", "", "", "", 404},
		"climbing out":           {"GET", "/../web.go", "", "", "", 404},
		"a directory":            {"GET", "/assets/", "", "", "", 404},
		"writing is not allowed": {"POST", "/", "", "", "", 405},
	}
	handler := testApp(t)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest(tc.method, tc.path, nil))
			if w.Code != tc.status {
				t.Fatalf("status = %d, want %d", w.Code, tc.status)
			}
			if tc.status != 200 {
				return
			}
			if got := w.Header().Get("Content-Type"); got != tc.contentType {
				t.Errorf("content type = %q, want %q", got, tc.contentType)
			}
			if got := w.Header().Get("Cache-Control"); got != tc.cache {
				t.Errorf("cache = %q, want %q", got, tc.cache)
			}
			if got := w.Body.String(); got != tc.body {
				t.Errorf("body = %q, want %q", got, tc.body)
			}
		})
	}
}

func TestHandlerRevalidates(t *testing.T) {
	handler := testApp(t)
	first := httptest.NewRecorder()
	handler.ServeHTTP(first, httptest.NewRequest("GET", "/", nil))
	again := httptest.NewRequest("GET", "/", nil)
	again.Header.Set("If-None-Match", first.Header().Get("ETag"))
	second := httptest.NewRecorder()
	handler.ServeHTTP(second, again)
	if second.Code != http.StatusNotModified {
		t.Errorf("status = %d, want 304", second.Code)
	}
}

func TestPageAllowsNoForeignCode(t *testing.T) {
	w := httptest.NewRecorder()
	testApp(t).ServeHTTP(w, httptest.NewRequest("GET", "/m/mtg_x", nil))
	csp := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("policy %q lacks %q", csp, want)
		}
	}
	if strings.Contains(csp, "unsafe") {
		t.Errorf("policy %q has an unsafe source", csp)
	}
}

func TestLoadRefusesAnEmptyApp(t *testing.T) {
	if _, err := load(fstest.MapFS{"dist": {Mode: fs.ModeDir | 0o755}}, "dist"); err == nil {
		t.Error("load of an empty app succeeded")
	}
}

// TestCommittedApp reads the app that is really embedded: the page must find its own files, and nobody else's.
func TestCommittedApp(t *testing.T) {
	server := httptest.NewServer(Handler())
	defer server.Close()
	page := fetch(t, server.URL+"/")
	for _, attr := range []string{`src="`, `href="`} {
		for _, part := range strings.Split(page, attr)[1:] {
			name, _, _ := strings.Cut(part, `"`)
			if !path.IsAbs(name) || strings.HasPrefix(name, "//") {
				t.Errorf("the page refers to %q outside of the app", name)
				continue
			}
			if fetch(t, server.URL+name) == "" {
				t.Errorf("%s is empty", name)
			}
		}
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s = %s", url, res.Status)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
