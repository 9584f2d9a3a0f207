package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	probes       = 3               // a region; the first also makes the connection
	probeTimeout = 3 * time.Second // for all of a region's
	maxRegions   = 64              // are measured at most
)

// region is a place of the cluster, with what to measure the round trip to it by.
type region struct {
	Name     string `json:"name"`
	ProbeURL string `json:"probe_url"`
}

// MeasureRegions asks the REST plane at baseURL for its regions and measures the round trip to each of them, all at once,
// in at most three seconds or as long as ctx allows. The result, in milliseconds by region, is for JoinOptions.RegionRTTs.
// Regions that do not answer are left out; where there is only one there is nothing to choose, and nothing is measured. A
// nil httpClient is http.DefaultClient.
func MeasureRegions(ctx context.Context, baseURL string, httpClient *http.Client) (map[string]float64, error) {
	if httpClient == nil {
		httpClient = http.DefaultClient
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	body, err := fetch(ctx, httpClient, strings.TrimSuffix(baseURL, "/")+"/v1/regions")
	if err != nil {
		return nil, fmt.Errorf("measure regions: %w", err)
	}
	var answer struct {
		Regions []region `json:"regions"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("measure regions: decode the answer: %w", err)
	}
	if len(answer.Regions) < 2 {
		return nil, nil
	}
	rtts := map[string]float64{}
	var mu sync.Mutex // guards rtts
	var wg sync.WaitGroup
	for _, r := range answer.Regions[:min(len(answer.Regions), maxRegions)] {
		wg.Go(func() {
			rtt, err := probe(ctx, httpClient, r.ProbeURL)
			if err != nil {
				return // as far away as can be
			}
			mu.Lock()
			defer mu.Unlock()
			rtts[r.Name] = float64(rtt) / float64(time.Millisecond)
		})
	}
	wg.Wait()
	return rtts, nil
}

// probe returns the shortest of a few round trips over one connection.
func probe(ctx context.Context, httpClient *http.Client, url string) (time.Duration, error) {
	best := probeTimeout
	for range probes {
		start := time.Now()
		if _, err := fetch(ctx, httpClient, url); err != nil {
			return 0, err
		}
		best = min(best, time.Since(start))
	}
	return best, nil
}

func fetch(ctx context.Context, httpClient *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // to the end, so that the connection is used again
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return body, err
}
