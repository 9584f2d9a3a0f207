package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	natsPort    = 4222
	routePort   = 6222
	monitorPort = 8222

	// natsEnv names the nats-server binary; make natsserver makes it.
	natsEnv   = "LAB_NATS_SERVER"
	natsLimit = 30 * time.Second // for a cluster to have its leaders
)

// NATS is the NATS server of one region, a process of its own with the configuration that operators are given.
type NATS struct {
	*Process
	region *Region
	env    []string
}

// StartNATS starts the NATS server of every region that runs none, with what it had on disk, and waits until JetStream
// answers everywhere.
func (w *World) StartNATS(tb testing.TB) {
	tb.Helper()
	for _, r := range w.Regions {
		if r.NATS == nil {
			r.NATS = w.newNATS(tb, r)
		}
		if r.NATS.Process == nil || !r.NATS.Running() {
			r.NATS.Start(tb)
		}
	}
	for _, r := range w.Regions {
		r.NATS.AwaitHealthy(tb)
	}
}

// KillNATS ends all NATS servers at once, as kill -9 does.
func (w *World) KillNATS(tb testing.TB) {
	tb.Helper()
	for _, r := range w.Regions {
		r.NATS.Kill(tb)
	}
}

func (w *World) newNATS(tb testing.TB, r *Region) *NATS {
	tb.Helper()
	var routes []string
	for _, other := range w.Regions[:r.index+1] {
		routes = append(routes, fmt.Sprintf(`"nats://route:%s@%s:%d"`, w.secret, other.address(natsHost), routePort))
	}
	at := func(port uint16) string {
		return fmt.Sprintf("%q", netip.AddrPortFrom(r.address(natsHost), port))
	}
	return &NATS{region: r, env: []string{
		"NATS_NAME=" + r.Name,
		"NATS_LISTEN=" + at(natsPort),
		"NATS_ROUTE_LISTEN=" + at(routePort),
		"NATS_MONITOR_LISTEN=" + at(monitorPort),
		"NATS_ROUTES=[" + strings.Join(routes, ", ") + "]",
		"NATS_DATA=" + fmt.Sprintf("%q", tb.TempDir()),
		"NATS_TOKEN=" + fmt.Sprintf("%q", w.secret),
	}}
}

// natsURLs names the region's own server first and the others after it.
func (w *World) natsURLs(r *Region) string {
	urls := []string{natsURL(r)}
	for _, other := range w.Regions {
		if other != r {
			urls = append(urls, natsURL(other))
		}
	}
	return strings.Join(urls, ",")
}

func natsURL(r *Region) string { return fmt.Sprintf("nats://%s:%d", r.address(natsHost), natsPort) }

// Start starts the server and returns at once.
func (n *NATS) Start(tb testing.TB) {
	tb.Helper()
	binary := os.Getenv(natsEnv)
	if binary == "" {
		tb.Fatalf("lab: %s names no nats-server; the make targets set it", natsEnv)
	}
	cmd := n.region.space.command(binary, "--config", filepath.Join(Root(tb), "deploy", "nats.conf"))
	cmd.Env = append(slices.Clone(os.Environ()), n.env...)
	n.Process = startAs(tb, cmd, "nats-"+n.region.Name)
}

// Answering says whether the server takes clients.
func (n *NATS) Answering(tb testing.TB) bool {
	tb.Helper()
	conn, err := n.region.dial(tb.Context(), n.region.address(lastHost), netip.AddrPortFrom(n.region.address(natsHost), natsPort).String())
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	var greeting [5]byte
	_, err = io.ReadFull(conn, greeting[:])
	return err == nil && string(greeting[:]) == "INFO "
}

// Healthy says whether the server has a leader and all that it should have.
func (n *NATS) Healthy(tb testing.TB) bool {
	tb.Helper()
	status, _, err := n.monitor(tb, "/healthz")
	return err == nil && status == http.StatusOK
}

// AwaitHealthy waits until the server is healthy.
func (n *NATS) AwaitHealthy(tb testing.TB) {
	tb.Helper()
	untilAsked(tb, natsLimit, "NATS of "+n.region.Name+" is healthy", func() bool { return n.Healthy(tb) })
}

// Peers are the names of the other servers that this one has a route to, sorted.
func (n *NATS) Peers(tb testing.TB) []string {
	tb.Helper()
	var found struct {
		Routes []struct {
			Name string `json:"remote_name"`
		} `json:"routes"`
	}
	status, body, err := n.monitor(tb, "/routez")
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &found) != nil {
		return nil
	}
	names := make([]string, 0, len(found.Routes))
	for _, route := range found.Routes {
		names = append(names, route.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// NATSJoined says whether every NATS server has a route to every other.
func (w *World) NATSJoined(tb testing.TB) bool {
	tb.Helper()
	for _, r := range w.Regions {
		if len(r.NATS.Peers(tb)) != len(w.Regions)-1 {
			return false
		}
	}
	return true
}

// monitor asks the server about itself.
func (n *NATS) monitor(tb testing.TB, path string) (status int, body []byte, err error) {
	tb.Helper()
	at := netip.AddrPortFrom(n.region.address(natsHost), monitorPort)
	return get(tb, n.region.HTTPClient(), "http://"+at.String()+path)
}
