package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Metrics reads the node's own metrics, by name; those that differ in labels only are added up. It is an error when one of the
// wanted is missing: as 0 it would be a good figure.
func (p *Parley) Metrics(ctx context.Context, wanted ...string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics: %s", resp.Status)
	}
	all, err := parseMetrics(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	for _, name := range wanted {
		if _, ok := all[name]; !ok {
			return nil, fmt.Errorf("metrics: the node does not tell its %s", name)
		}
	}
	return all, nil
}

// parseMetrics reads the text format of Prometheus. Lines that are no sample are passed over.
func parseMetrics(text io.Reader) (map[string]float64, error) {
	sums := map[string]float64{}
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		at := strings.LastIndexByte(lines.Text(), ' ')
		if at <= 0 || strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		value, err := strconv.ParseFloat(lines.Text()[at+1:], 64)
		if err != nil {
			continue
		}
		family, _, _ := strings.Cut(lines.Text()[:at], "{")
		sums[family] += value
	}
	return sums, lines.Err()
}
