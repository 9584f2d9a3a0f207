package lab

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The ports of a node that has an address of its own.
const (
	httpPort   = 7880
	mediaPort  = 7881
	gossipPort = 7946
	turnPort   = 3478
	turnsPort  = 5349
	httpsPort  = 443
)

// readyLimit is for a node to become ready, its NATS cluster's elections included.
const readyLimit = 30 * time.Second

// settings are what nodes of the lab differ in.
type settings struct {
	id, region    string
	listen, media string // addresses of HTTP and media
	dir           string // of data
	secret        string // of the API
	bus, cluster  map[string]any
	tls           map[string]any // with an address to listen on
	roles         []string       // none: all
	voices        int            // microphones that are forwarded; 0: as many as by default
}

// write makes the configuration file and returns its path. It is JSON, and so YAML as well.
func (s settings) write(tb testing.TB) string {
	tb.Helper()
	all := map[string]any{
		"region": s.region, "listen": s.listen, "data_dir": s.dir,
		"log":  map[string]any{"format": "text"},
		"bus":  s.bus,
		"node": map[string]any{"media": map[string]any{"listen": s.media}},
		"api": map[string]any{
			"public_url": "http://" + s.listen,
			"api_keys":   []map[string]any{{"id": "lab", "secret": s.secret}},
		},
	}
	if s.id != "" {
		all["node_id"] = s.id
	}
	if s.voices > 0 {
		all["node"].(map[string]any)["audio_forward"] = s.voices
	}
	if len(s.roles) > 0 {
		all["roles"] = s.roles
	}
	if s.bus == nil {
		delete(all, "bus")
	}
	if s.cluster != nil {
		all["cluster"] = s.cluster
	}
	if host, port, err := net.SplitHostPort(s.listen); err == nil {
		relay, secure := turnPort, turnsPort
		if port != strconv.Itoa(httpPort) { // it shares its address with others
			relay, secure = 0, 0
		}
		all["turn"] = map[string]any{
			"listen": net.JoinHostPort(host, strconv.Itoa(relay)), "tls_listen": net.JoinHostPort(host, strconv.Itoa(secure)),
		}
	}
	if s.tls != nil {
		all["tls"] = s.tls
		all["api"].(map[string]any)["public_url"] = fmt.Sprint("https://", s.tls["listen"])
	}
	body, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(s.dir, "parley.yaml")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// ServeOn runs `parley serve` in the server's namespace of the link, reachable at its address, and returns at once: who
// needs it ready asks it from the client's side. Its MeetingID and what belongs to it are empty.
func ServeOn(tb testing.TB, l *Link) *Node {
	tb.Helper()
	listen := net.JoinHostPort(l.ServerIP, fmt.Sprint(httpPort))
	n := &Node{URL: "http://" + listen, DataDir: tb.TempDir()}
	n.config = settings{
		region: "lab", listen: listen, media: net.JoinHostPort(l.ServerIP, fmt.Sprint(mediaPort)), dir: n.DataDir, secret: rand.Text() + rand.Text(),
	}.write(tb)
	n.Token = tokenFor(tb, n.config)
	serve := exec.Command(Build(tb), "serve", "--config", n.config)
	inside(l.Server, serve)
	n.Process = start(tb, serve)
	return n
}

// Start runs a node of a cluster that does not run, with what it had on disk, and returns at once.
func (n *Node) Start(tb testing.TB) {
	tb.Helper()
	if n.Region == nil {
		n.Process = start(tb, exec.Command(Build(tb), "serve", "--config", n.config))
		return
	}
	n.Process = startAs(tb, n.Region.space.command(Build(tb), "serve", "--config", n.config), n.ID)
}

// Restart stops the node well and starts it again. It returns when the node is ready.
func (n *Node) Restart(tb testing.TB) {
	tb.Helper()
	n.Stop(tb)
	n.Start(tb)
	awaitReady(tb, n)
}

func awaitReady(tb testing.TB, n *Node) {
	tb.Helper()
	untilAsked(tb, readyLimit, "the node is ready", func() bool {
		status, err := n.TryCall(tb, http.MethodGet, "/readyz", nil, nil)
		return err == nil && status == http.StatusOK
	})
}

// awaitAcquainted waits until each of the nodes knows all of them.
func awaitAcquainted(tb testing.TB, nodes []*Node) {
	tb.Helper()
	for _, n := range nodes {
		untilAsked(tb, readyLimit, "the nodes know each other", func() bool { return len(n.Known(tb)) == len(nodes) })
	}
}

// Known are the ids of the nodes that this one knows, itself included; none where it does not answer.
func (n *Node) Known(tb testing.TB) []string {
	tb.Helper()
	var known struct {
		Nodes []struct {
			ID string `json:"id"`
		} `json:"nodes"`
	}
	if status, err := n.TryCall(tb, http.MethodGet, "/v1/cluster/nodes", nil, &known); err != nil || status != http.StatusOK {
		return nil
	}
	ids := make([]string, 0, len(known.Nodes))
	for _, one := range known.Nodes {
		ids = append(ids, one.ID)
	}
	return ids
}

// keys counts the signing keys that the node trusts.
func (n *Node) keys(tb testing.TB) int {
	tb.Helper()
	var set struct {
		Keys []struct{} `json:"keys"`
	}
	if status, err := n.TryCall(tb, http.MethodGet, "/.well-known/jwks.json", nil, &set); err != nil || status != http.StatusOK {
		return 0
	}
	return len(set.Keys)
}

// tokenFor makes a user token for the node of a configuration.
func tokenFor(tb testing.TB, config string) string {
	tb.Helper()
	var stderr bytes.Buffer
	token := exec.Command(Build(tb), "token", "--config", config)
	token.Stderr = &stderr
	out, err := token.Output()
	if err != nil {
		tb.Fatalf("lab: parley token: %v\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}
