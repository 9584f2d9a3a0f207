package client

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Regions are measured by what a round trip takes on a connection that is there already, and the dead are left out.
func TestRegionsAreMeasured(t *testing.T) {
	const far = 30 * time.Millisecond
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	regions := []region{{"near", server.URL + "/near"}, {"far", server.URL + "/far"}, {"broken", server.URL + "/none"}, {"dead", "http://127.0.0.1:1/"}}
	mux.HandleFunc("/v1/regions", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"regions": regions})
	})
	mux.HandleFunc("/near", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/far", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(far):
		case <-r.Context().Done():
		}
	})
	httpClient := &http.Client{Transport: &http.Transport{}}
	defer httpClient.CloseIdleConnections()
	rtts, err := MeasureRegions(t.Context(), server.URL+"/", httpClient)
	if err != nil || len(rtts) != 2 || rtts["far"] < 30 || rtts["near"] >= rtts["far"] {
		t.Errorf("round trips = %v, %v", rtts, err)
	}
	regions = regions[:1]
	if rtts, err = MeasureRegions(t.Context(), server.URL, httpClient); err != nil || len(rtts) != 0 {
		t.Errorf("one region was measured: %v, %v", rtts, err)
	}
	if _, err = MeasureRegions(t.Context(), "http://127.0.0.1:1", httpClient); err == nil {
		t.Error("a server that is not there has regions")
	}
}
