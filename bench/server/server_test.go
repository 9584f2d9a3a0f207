package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestResidentMemory(t *testing.T) {
	for name, tc := range map[string]struct {
		status string
		want   float64
		fails  bool
	}{
		"running":  {"Name:\tx\nVmRSS:\t   1234 kB\nThreads:\t3\n", 1234 * 1024, false},
		"a zombie": {"Name:\tx\nState:\tZ (zombie)\n", 0, true},
		"garbage":  {"VmRSS: lots kB\n", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := residentIn(tc.status)
			if got != tc.want || (err != nil) != tc.fails {
				t.Errorf("= %v, %v", got, err)
			}
		})
	}
}

func TestMetricsAreAddedUpOverLabels(t *testing.T) {
	got, err := parseMetrics(strings.NewReader(`# HELP x y
a_total{peer="1 2"} 3
a_total{peer="2"} 4
go_goroutines 17
broken
NaN_too x
`))
	if err != nil || len(got) != 2 || got["a_total"] != 7 || got["go_goroutines"] != 17 {
		t.Errorf("= %v, %v", got, err)
	}
}

// What a node does not tell is no 0.
func TestMetricsThatAreMissing(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		text   string
		fails  bool
	}{
		"told":     {http.StatusOK, "go_goroutines 0\n", false},
		"not told": {http.StatusOK, "go_threads 9\n", true},
		"refused":  {http.StatusServiceUnavailable, "go_goroutines 17\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.text))
			}))
			defer node.Close()
			p := &Parley{URL: node.URL}
			if got, err := p.Metrics(t.Context(), "go_goroutines"); (err != nil) != tc.fails {
				t.Errorf("= %v, %v", got, err)
			}
		})
	}
}
