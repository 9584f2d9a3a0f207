package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A reading is what servers have used and done so far.
type reading struct {
	cpu     float64 // seconds
	packets float64 // RTP packets sent
	bytes   float64 // sent on the media sockets
	linked  float64 // bytes sent over links to other nodes

	memory   float64 // resident bytes, now
	routines float64 // goroutines, now
}

// meters reads the metrics of all servers. It is not safe for concurrent use.
type meters struct {
	rest *rest
	urls []string
	last map[string]reading // of each server
	sum  reading            // since the first reading, over restarts
	at   time.Time
}

func newMeters(r *rest, urls []string) *meters {
	return &meters{rest: r, urls: urls, last: map[string]reading{}}
}

// read asks every server. One that does not answer, because it is dead or too busy, keeps what it had; that is an error
// only if none answers.
func (m *meters) read(ctx context.Context) (reading, error) {
	var fault error
	answered := 0
	m.sum.memory, m.sum.routines = 0, 0
	for _, u := range m.urls {
		now, err := m.rest.metrics(ctx, u)
		if err != nil {
			fault = fmt.Errorf("metrics of %s: %w", u, err)
			continue
		}
		answered++
		last, known := m.last[u]
		m.last[u] = now
		m.sum.memory += now.memory
		m.sum.routines += now.routines
		if known {
			m.sum.grow(last, now)
		}
	}
	m.at = time.Now()
	if answered == 0 {
		return reading{}, fault
	}
	return m.sum, nil
}

// grow adds what a server did from one reading to the next. One that was started again has begun from nothing.
func (sum *reading) grow(last, now reading) {
	if now.cpu < last.cpu {
		last = reading{}
	}
	sum.cpu += now.cpu - last.cpu
	sum.packets += now.packets - last.packets
	sum.bytes += now.bytes - last.bytes
	sum.linked += now.linked - last.linked
}

// metrics reads one server's.
func (r *rest) metrics(ctx context.Context, url string) (one reading, err error) {
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return one, err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return one, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return one, fmt.Errorf("%s", resp.Status)
	}
	err = one.add(io.LimitReader(resp.Body, maxAnswer))
	return one, err
}

// add adds one server's metrics, in the text format of Prometheus.
func (sum *reading) add(text io.Reader) error {
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			continue
		}
		family, labels, _ := strings.Cut(name, "{")
		switch family {
		case "process_cpu_seconds_total":
			sum.cpu += v
		case "process_resident_memory_bytes":
			sum.memory += v
		case "go_goroutines":
			sum.routines += v
		case "parley_rtp_packets_sent_total":
			sum.packets += v
		case "parley_udp_sent_bytes":
			sum.bytes += v
		case "parley_link_bytes_total":
			if strings.Contains(labels, `direction="out"`) {
				sum.linked += v
			}
		}
	}
	return lines.Err()
}
