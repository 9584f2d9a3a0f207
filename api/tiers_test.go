package api

import (
	"net/http"
	"testing"
)

// A node of a split cluster serves only what it is for; health, metrics and keys are there always.
func TestANodeServesWhatItIsFor(t *testing.T) {
	paths := []string{"/livez", "/metrics", "/.well-known/jwks.json", "/v1/regions", "/v1/meetings", "/v1/signal", "/"}
	for _, tc := range []struct {
		name             string
		noREST, noSocket bool
		want             []int // by path; the page is the fallback's
	}{
		{"everything", false, false, []int{200, 200, 200, 200, 401, 426, 204}},
		{"REST", false, true, []int{200, 200, 200, 200, 401, 404, 204}},
		{"signalling", true, false, []int{200, 200, 200, 404, 404, 426, 404}},
		{"media", true, true, []int{200, 200, 200, 404, 404, 404, 404}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, func(_ *Config, d *Deps) {
				d.Web = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
				if d.NoREST, d.NoSocket = tc.noREST, tc.noSocket; tc.noREST && tc.noSocket {
					d.Signal, d.Cluster = nil, &fakeCluster{}
				}
			})
			for i, path := range paths {
				resp, err := http.Get(r.url + path) //nolint:noctx // the rig ends it
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != tc.want[i] {
					t.Errorf("GET %s = %d, want %d", path, resp.StatusCode, tc.want[i])
				}
			}
			resp, err := http.Get(r.url + "/readyz") //nolint:noctx // likewise
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("not ready: %d", resp.StatusCode)
			}
		})
	}
}
