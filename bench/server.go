package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A reading is what the servers have used and done so far, all of them together.
type reading struct {
	at       time.Time
	cpu      float64 // seconds
	memory   float64 // resident bytes
	packets  float64 // RTP packets sent
	bytes    float64 // sent on the media sockets
	received float64 // RTP packets
	linked   float64 // bytes sent over links to other nodes
	routines float64 // goroutines
}

// read asks every server for its metrics.
func (r *rest) read(ctx context.Context, urls []string) (reading, error) {
	sum := reading{at: time.Now()}
	for _, u := range urls {
		if err := r.readOne(ctx, u, &sum); err != nil {
			return reading{}, fmt.Errorf("metrics of %s: %w", u, err)
		}
	}
	return sum, nil
}

func (r *rest) readOne(ctx context.Context, url string, sum *reading) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	return sum.add(io.LimitReader(resp.Body, maxAnswer))
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
		case "parley_rtp_packets_received_total":
			sum.received += v
		case "parley_udp_sent_bytes":
			sum.bytes += v
		case "parley_link_bytes_total":
			if strings.Contains(labels, `direction="sent"`) {
				sum.linked += v
			}
		}
	}
	return lines.Err()
}

// ownCPU is the time that this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
